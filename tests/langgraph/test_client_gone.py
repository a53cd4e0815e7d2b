"""A consumer that stops reading ends its run as `client gone`: nothing is held, nothing more is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.graph import MessagesState

import mas_guard
from mas_guard.testing import ModelServer, text
from tests.langgraph.apps import QUESTION, chain, hand_on_for_ever, model, swarm


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def nothing_is_held(outcome: mas_guard.Outcome) -> None:
    balance = outcome.run.ledger.read(outcome.run.account)
    assert not any(balance.held)


def test_a_sync_stream_that_is_left_early() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(hand_on_for_ever) as server:
        stream = mas_guard.wrap(swarm(server.url), on_outcome=outcomes.append).stream(QUESTION, stream_mode="updates")
        next(stream)
        stream.close()
        sent = server.count
        assert sent < 14
    (outcome,) = outcomes
    assert (outcome.status, outcome.reason) == ("aborted", "client gone")
    assert outcome.spent.model_calls <= sent
    nothing_is_held(outcome)


def test_leaving_by_break_leaks_no_run_into_the_caller() -> None:
    with ModelServer(hand_on_for_ever) as server:
        for _ in mas_guard.wrap(swarm(server.url)).stream(QUESTION, stream_mode="updates"):
            break
        # Outside of the run the owner's limits do not apply, and nothing is counted.
        chat = model(server.url)
        assert chat.invoke("on its own").text
    outcome = mas_guard.last_outcome()
    assert outcome is not None and outcome.reason == "client gone"


async def test_an_async_stream_that_is_left_early() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(swarm(server.url), on_outcome=outcomes.append)
        stream = app.astream(QUESTION, stream_mode="updates")
        await anext(stream)
        await stream.aclose()
    (outcome,) = outcomes
    assert (outcome.status, outcome.reason) == ("aborted", "client gone")
    nothing_is_held(outcome)


async def test_a_task_that_is_cancelled_inside_a_call(never: threading.Event) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer([text("never read", wait_for=never)]) as server:
        chat = model(server.url)

        async def node(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await chat.ainvoke("go on")]}

        app = mas_guard.wrap(chain(node), on_outcome=outcomes.append)
        task = asyncio.create_task(app.ainvoke(QUESTION))
        await asyncio.to_thread(server.wait_for_count, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (outcome,) = outcomes
    assert (outcome.status, outcome.reason) == ("aborted", "client gone")
    assert outcome.spent.model_calls == 1  # it was sent, and the provider may bill it
    nothing_is_held(outcome)


def test_a_model_stream_that_its_node_leaves_early_is_charged_as_held() -> None:
    with ModelServer([text("12345678", chunk_count=8)], repeat_last=True) as server:
        chat = model(server.url)

        def node(state: MessagesState) -> dict[str, Any]:
            stream = chat.stream("count")
            first = next(stream)
            stream.close()
            return {"messages": [("ai", first.text)]}

        outcome = mas_guard.outcome(mas_guard.wrap(chain(node)).invoke(QUESTION))
    assert outcome.status == "completed"
    assert outcome.spent.model_calls == 1 and outcome.spent.tokens > 0
    assert any("estimated" in note for note in outcome.notes)
    nothing_is_held(outcome)
