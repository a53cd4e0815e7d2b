"""How a run ended is said by the process that began it, also where another one was stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mas_guard
from tests.fleet.conftest import Worker
from tests.fleet.test_one_budget import all_answers, carried

Start = Callable[..., Worker]


def test_a_run_that_was_stopped_in_a_worker_does_not_end_as_completed(guarded: mas_guard.Guard, start: Start) -> None:
    worker = start("asks.py")
    limits = {"budget": {"model_calls": 2}, "on_limit": "partial,abort"}
    with mas_guard.run("invoices", **limits) as run:
        assert all_answers([worker], carried(), 3)[0]["answered"] == 2
    assert (run.outcome.status, run.outcome.rule) == ("partial", "budget")


def test_where_nobody_can_conclude_the_end_raises_what_stopped_the_worker(
    guarded: mas_guard.Guard, start: Start
) -> None:
    worker = start("asks.py")
    with pytest.raises(mas_guard.BudgetExceeded) as raised, mas_guard.run("invoices", budget={"model_calls": 2}):
        all_answers([worker], carried(), 3)
    assert raised.value.outcome.status == "aborted"


def test_a_run_that_nobody_stopped_is_completed(guarded: mas_guard.Guard, start: Start) -> None:
    worker = start("asks.py")
    with mas_guard.run("invoices", budget={"model_calls": 3}) as run:
        all_answers([worker], carried(), 3)
    assert (run.outcome.status, run.outcome.spent.model_calls) == ("completed", 3)
