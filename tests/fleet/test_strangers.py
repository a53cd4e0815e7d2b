"""What somebody else writes into the baggage neither breaks the app nor raises a limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

import mas_guard
from mas_guard.testing import ModelServer
from tests.fleet.conftest import Worker
from tests.fleet.test_one_budget import ask, carried

Start = Callable[..., Worker]


def made_up(**state: Any) -> dict[str, str]:
    return {"baggage": f"user=7,mas-guard={quote(json.dumps({'v': 1, **state}))}"}


@pytest.mark.parametrize(
    "carrier",
    [
        {"baggage": "mas-guard"},
        {"baggage": "mas-guard=" + "%5B" * 100_000},
        made_up(id=7),
        made_up(id="x", groups=7),
        made_up(id="x", groups=["nightly"]),
        made_up(id="x", groups=[{"name": "nightly", "scope": "group:1:nightly", "origin": "1.1", "limits": [1]}]),
        made_up(id="x", hops="many"),
        made_up(id="x", path={"a": 1}),
        made_up(id="x", spent=[1, 2, 3, None]),
        made_up(id="x", elapsed=float("inf")),
        made_up(id="x", origin="1.1"),
        made_up(id="x", origin="1.1", limits=[1, 2, 3]),
    ],
)
def test_baggage_that_inject_has_not_written_counts_as_absent(
    guarded: mas_guard.Guard, carrier: dict[str, str]
) -> None:
    with mas_guard.extract(carrier) as run:
        assert run is None


def test_what_inject_has_written_is_read(guarded: mas_guard.Guard) -> None:
    with mas_guard.group("nightly", usd=4), mas_guard.run("invoices", max_hops="none", deadline="none") as run:
        carrier = carried()
    with mas_guard.extract(carrier) as joined:
        assert joined is not None
        assert (joined.id, [group.name for group in joined.groups]) == (run.id, ["nightly"])


def test_a_made_up_header_does_not_raise_the_limit_of_a_run_that_is_there(
    guarded: mas_guard.Guard, start: Start, model_server: ModelServer
) -> None:
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("invoices", budget={"model_calls": 2}) as run:
        told = start("asks.py").tell({"carrier": made_up(id=run.id), "calls": 5}).hear()
        assert told["answered"] == 2
        ask()
    assert model_server.count == 2
