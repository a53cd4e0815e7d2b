"""The client retries by itself; each attempt is counted before it leaves."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import APIStatusError
from ways import MODEL, QUESTION

import mas_guard
from mas_guard.testing.replies import Reply, fault, text

AT_ONCE = {"retry-after-ms": "1"}


def _busy(status: int) -> Reply:
    return fault(status, "busy", headers=AT_ONCE)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retries_are_counted(serve: Any, client: Any, status: int) -> None:
    server = serve([_busy(status), _busy(status), text("Paid.", input_tokens=20, output_tokens=5)])
    with mas_guard.run("x") as run:
        client(server, max_retries=2).chat.completions.create(model=MODEL, messages=QUESTION)
    assert run.spent.model_calls == server.count == 3
    assert run.spent.tokens == 25


@pytest.mark.parametrize("status", [429, 500])
def test_retries_never_pass_the_budget_of_calls(serve: Any, client: Any, status: int) -> None:
    server = serve([_busy(status)])
    asking = client(server, max_retries=2)

    def ask(_: int) -> None:
        try:
            asking.chat.completions.create(model=MODEL, messages=QUESTION)
        except Exception:
            pass

    with (
        pytest.raises(mas_guard.BudgetExceeded),
        mas_guard.run("x", budget={"model_calls": 8}),
        ThreadPoolExecutor(10) as pool,
    ):
        list(pool.map(ask, range(30)))
    assert server.count == 8


async def test_asynchronous_retries_never_pass_the_budget_of_calls(serve: Any, async_client: Any) -> None:
    server = serve([_busy(500)])
    asking = async_client(server, max_retries=2)
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"model_calls": 8}):
        calls = (asking.responses.create(model=MODEL, input="What is owed?") for _ in range(30))
        await asyncio.gather(*calls, return_exceptions=True)
    assert server.count == 8


def test_a_stop_in_the_middle_of_retries_reaches_the_app_as_such(serve: Any, client: Any) -> None:
    server = serve([_busy(500)])
    with (
        pytest.raises(mas_guard.BudgetExceeded),
        mas_guard.run("x", budget={"model_calls": 2}) as run,
        pytest.raises(mas_guard.BudgetExceeded, match="2 spent|limit 2"),
    ):
        client(server, max_retries=5).chat.completions.create(model=MODEL, messages=QUESTION)
    assert run.spent.tokens == 0


def test_an_attempt_that_was_never_answered_is_charged_in_full(serve: Any, client: Any) -> None:
    lost = Reply(drop_connection=True)
    server = serve([lost, text("Paid.", input_tokens=20, output_tokens=5)])
    with mas_guard.run("x") as run:
        client(server, max_retries=1).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1000)
    assert run.spent.model_calls == server.count == 2
    assert run.spent.tokens > 1000 + 25
    assert any("never answered" in note for note in run.outcome.notes)


def test_an_unanswered_attempt_is_not_repeated_where_it_took_the_budget(serve: Any, client: Any) -> None:
    server = serve([Reply(drop_connection=True)])
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"tokens": 1500}) as run:
        client(server, max_retries=5).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1000)
    assert server.count == 1
    assert 1000 < run.spent.tokens <= 1500


def test_observe_mode_counts_retries_and_stops_none(serve: Any, client: Any) -> None:
    server = serve([_busy(500)])
    with mas_guard.run("x", mode="observe", budget={"model_calls": 1}) as run, pytest.raises(APIStatusError):
        client(server, max_retries=2).chat.completions.create(model=MODEL, messages=QUESTION)
    assert run.spent.model_calls == server.count == 3
