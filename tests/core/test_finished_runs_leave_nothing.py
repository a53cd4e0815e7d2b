"""What a run opens goes with it once it is forgotten, and not before: a late call still finds its budget."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextvars import copy_context

import pytest

import mas_guard
import mas_guard._engine
from mas_guard._guard import shared_guard
from mas_guard.adapter import CallOutcome, ToolCall, current_run, guard_call
from mas_guard.ledger import MemoryLedger


@pytest.fixture(autouse=True)
def few_remembered_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mas_guard._engine, "REMEMBERED_RUNS", 3)
    return


def use_a_tool() -> None:
    run = current_run.get()
    assert run is not None
    guard_call(run, ToolCall("search"), lambda: None, lambda _: CallOutcome("a page"))


def open_accounts() -> int:
    gc.collect()
    ledger = shared_guard().engine.ledger
    assert isinstance(ledger, MemoryLedger)
    return len(ledger._accounts)


def finish(runs: int) -> None:
    for number in range(runs):
        with (
            mas_guard.group(f"group {number}", tool_calls=9),
            mas_guard.run("outer", agent_budget={"tool_calls": 5}) as run,
            mas_guard.run("inner", budget={"tool_calls": 4}),
            run.step("agent"),
        ):
            use_a_tool()


def test_the_accounts_of_forgotten_runs_their_agents_inner_runs_and_groups_are_closed() -> None:
    finish(4)
    after_a_few = open_accounts()
    finish(20)
    assert open_accounts() == after_a_few


def test_a_call_that_outlives_an_inner_run_is_booked_and_still_meets_its_limit() -> None:
    with mas_guard.run("outer") as run:
        with mas_guard.run("inner", budget={"tool_calls": 2}):
            use_a_tool()
            later = copy_context()
        later.run(use_a_tool)
        later.run(use_a_tool)
    assert run.spent.tool_calls == 2
