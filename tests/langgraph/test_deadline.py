"""The deadline cuts what can be cut, lets finish what cannot, and nothing is sent after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.clock import Clock
from tests.langgraph.apps import (
    OWNER_ANSWER,
    QUESTION,
    chain,
    fan_out,
    model,
    supervisor_with_tools,
    swarm,
    talking_node,
    toolbox,
)

THREAD = {"configurable": {"thread_id": "1"}}
LEFT = 0.2  # seconds of real time that a call which never returns is waited for


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Holds a server's answer back until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def leave_little(clock: Clock, deadline: float) -> Callable[[MessagesState], dict[str, Any]]:
    """A node that uses its run's time up, but for `LEFT`."""

    def node(state: MessagesState) -> dict[str, Any]:
        clock.advance(deadline - clock.seconds - LEFT)
        return {}

    return node


def hangs(clock: Clock, never: threading.Event, **fields: Any) -> Callable[[Request], Reply]:
    """A model that does not answer in time."""

    def script(request: Request) -> Reply:
        clock.advance(100)
        return text("too late, and long enough to be cut into pieces", wait_for=never, **fields)

    return script


def test_a_sync_node_inside_a_call_gets_the_time_left_and_no_retry_leaves(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event
) -> None:
    with ModelServer(hangs(clock, never)) as server:
        chat = model(server.url, max_retries=2)
        app = guard.wrap(chain(leave_little(clock, 60), talking_node(chat, "writer")), deadline=60)
        with pytest.raises(mas_guard.DeadlineExceeded) as caught:
            app.invoke(QUESTION)
        assert server.count == 1
    assert caught.value.seconds == 60
    assert "MAS_GUARD_DEADLINE" in str(caught.value)
    outcome = caught.value.outcome
    assert outcome.status == "aborted"
    assert outcome.spent.model_calls == 1 and outcome.spent.tokens > 1000  # charged as held: it may be billed


def test_a_sync_node_between_calls_sends_no_further_call(guard: mas_guard.Guard, clock: Clock) -> None:
    with ModelServer([text("one")], repeat_last=True) as server:
        chat = model(server.url)

        def node(state: MessagesState) -> dict[str, Any]:
            for _ in range(5):
                chat.invoke("go on")
                clock.advance(25)
            return {}

        with pytest.raises(mas_guard.DeadlineExceeded):
            guard.wrap(chain(node), deadline=60).invoke(QUESTION)
        assert server.count == 3


def test_a_sync_node_without_a_call_runs_to_its_end_before_the_stop_is_raised(
    guard: mas_guard.Guard, clock: Clock
) -> None:
    ran = []

    def slow(state: MessagesState) -> dict[str, Any]:
        clock.advance(61)
        ran.append("slow")
        return {"messages": [AIMessage("slow work")]}

    def following(state: MessagesState) -> dict[str, Any]:
        ran.append("following")
        return {}

    with pytest.raises(mas_guard.DeadlineExceeded) as caught:
        guard.wrap(chain(slow, following), deadline=60).invoke(QUESTION)
    assert ran == ["slow"]
    assert caught.value.outcome.partial["messages"][-1].content == "slow work"


@pytest.mark.parametrize("asks_model", [True, False], ids=["in a call", "in its own code"])
async def test_an_async_node_is_cut(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event, asks_model: bool
) -> None:
    ended: list[str] = []
    with ModelServer(hangs(clock, never)) as server:
        chat = model(server.url, max_retries=2)

        async def node(state: MessagesState) -> dict[str, Any]:
            try:
                if asks_model:
                    await chat.ainvoke("go on")
                else:
                    clock.advance(100)
                    await asyncio.Event().wait()
            except BaseException as error:
                ended.append(type(error).__name__)
                raise
            raise AssertionError("it was to be cut")

        app = guard.wrap(chain(leave_little(clock, 60), node), deadline=60)
        with pytest.raises(mas_guard.DeadlineExceeded):
            await app.ainvoke(QUESTION)
        assert server.count == asks_model
    assert ended == ["DeadlineExceeded" if asks_model else "CancelledError"]


@pytest.mark.parametrize("mode", ["messages", "updates"])
def test_an_open_stream_raises_after_its_last_chunk(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event, mode: str
) -> None:
    seen: list[str] = []
    with ModelServer([text("12345678", chunk_count=8)], repeat_last=True) as server:
        chat = model(server.url)

        def node(state: MessagesState) -> dict[str, Any]:
            for chunk in chat.stream("count"):
                seen.append(chunk.text)
                clock.advance(25)
            return {}

        with pytest.raises(mas_guard.DeadlineExceeded):
            list(guard.wrap(chain(node), deadline=60).stream(QUESTION, stream_mode=mode))
        assert server.count == 1
    assert [chunk for chunk in seen if chunk] == ["1", "2"]  # the first chunk is empty and takes 25 s too


def test_an_agent_whose_tokens_are_streamed_ends_at_the_deadline(guard: mas_guard.Guard, clock: Clock) -> None:
    read, seen = threading.Event(), ""
    answer = text("12345678", chunk_count=8, wait_for=read, hold_stream_after=3)
    with ModelServer([answer], repeat_last=True) as server:
        app = guard.wrap(toolbox(server.url, look_up), deadline=60)
        with pytest.raises(mas_guard.DeadlineExceeded):
            for chunk, _ in app.stream(QUESTION, stream_mode="messages"):
                seen += chunk.text
                if seen:
                    clock.advance(100)
                    read.set()
        assert server.count == 1
    assert seen in ("1", "12", "123", "1234")  # the model's thread may have been ahead of its reader


async def test_an_async_stream_that_falls_silent_is_cut(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event
) -> None:
    seen: list[str] = []
    with ModelServer(hangs(clock, never, hold_stream_after=2)) as server:
        chat = model(server.url)

        async def node(state: MessagesState) -> dict[str, Any]:
            async for chunk in chat.astream("count"):
                seen.append(chunk.text)
            return {}

        app = guard.wrap(chain(leave_little(clock, 60), node), deadline=60)
        with pytest.raises(mas_guard.DeadlineExceeded):
            await app.ainvoke(QUESTION)
        assert server.count == 1
    assert len(seen) < 4


def look_up(order: str) -> str:
    """Look an order up."""
    return "found"


def test_the_owner_concludes_in_the_share_that_is_kept_for_it(guard: mas_guard.Guard, clock: Clock) -> None:
    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none":
            return text(OWNER_ANSWER)
        clock.advance(30)
        return call(request.tool_names[0])

    with ModelServer(script) as server:
        state = guard.wrap(swarm(server.url), deadline=100).invoke(QUESTION)
        assert server.count == 4
        assert "90 s" in server.requests[-1].last_text or "10 s of it are kept" in server.requests[-1].last_text
    assert state["messages"][-1].content == OWNER_ANSWER
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule) == ("partial", "deadline")


def test_a_concluding_turn_that_hangs_ends_at_the_whole_deadline(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event
) -> None:
    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none":
            clock.advance(100)
            return text(OWNER_ANSWER, wait_for=never)
        clock.advance(100 - LEFT)
        return call(request.tool_names[0])

    with ModelServer(script) as server:
        with pytest.raises(mas_guard.DeadlineExceeded) as caught:
            guard.wrap(swarm(server.url, max_retries=2), deadline=100).invoke(QUESTION)
        assert server.count == 2
    assert "concluding call failed" in caught.value.outcome.reason


def ask_human(state: MessagesState) -> dict[str, Any]:
    return {"messages": [("user", interrupt("What else?"))]}


def test_the_clock_stands_still_while_the_run_is_suspended(guard: mas_guard.Guard, clock: Clock) -> None:
    with ModelServer([text("fine")], repeat_last=True) as server:
        app = guard.wrap(
            chain(ask_human, talking_node(model(server.url), "writer"), checkpointer=InMemorySaver()), deadline=60
        )
        app.invoke(QUESTION, THREAD)
        clock.advance(100_000)
        state = app.invoke(Command(resume="Nothing."), THREAD)
    assert state["messages"][-1].content == "fine"
    assert mas_guard.outcome(state).status == "completed"


@pytest.mark.parametrize(("seconds", "in_time"), [(15, True), (25, False)], ids=["in time", "too late"])
def test_only_active_time_counts_over_a_breakpoint(
    guard: mas_guard.Guard, clock: Clock, seconds: float, in_time: bool
) -> None:
    def work(state: MessagesState) -> dict[str, Any]:
        clock.advance(40)
        return {}

    def more_work(state: MessagesState) -> dict[str, Any]:
        clock.advance(seconds)
        return {}

    with ModelServer([text("fine")], repeat_last=True) as server:
        writer = talking_node(model(server.url), "writer")
        bare = chain(work, writer, more_work, writer, checkpointer=InMemorySaver(), interrupt_before=["more_work"])
        app = guard.wrap(bare, deadline=60)
        app.invoke(QUESTION, THREAD)
        clock.advance(100_000)
        if in_time:
            app.invoke(None, THREAD)
        else:
            with pytest.raises(mas_guard.DeadlineExceeded):
                app.invoke(None, THREAD)
        assert server.count == (2 if in_time else 1)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
def test_at_a_budget_stop_the_calls_already_reserved_finish(asynchronous: bool) -> None:
    stopped = threading.Event()
    answers: list[str] = []

    class OpensTheGate:
        @mas_guard.hookimpl
        def mas_guard_on_event(self, event: dict[str, Any]) -> None:
            if event["event"] == "stop":
                stopped.set()

    with ModelServer([text("a whole answer", wait_for=stopped)], repeat_last=True) as server:
        chat = model(server.url)

        def worker(state: dict[str, Any]) -> dict[str, Any]:
            answers.append(chat.invoke(str(state["job"])).text)
            return {"answers": answers[-1:]}

        async def async_worker(state: dict[str, Any]) -> dict[str, Any]:
            answers.append((await chat.ainvoke(str(state["job"]))).text)
            return {"answers": answers[-1:]}

        plugin = OpensTheGate()
        mas_guard.register(plugin)
        try:
            app = mas_guard.wrap(fan_out(async_worker if asynchronous else worker), budget={"model_calls": 3})
            with pytest.raises(mas_guard.BudgetExceeded) as caught:
                jobs = {"jobs": list(range(8)), "answers": []}
                asyncio.run(app.ainvoke(jobs)) if asynchronous else app.invoke(jobs)
        finally:
            mas_guard.unregister(plugin)
        assert (server.count, server.answered, server.abandoned) == (3, 3, 0)
    assert answers == ["a whole answer"] * 3
    assert caught.value.outcome.spent.model_calls == 3
    assert not any("estimated" in note for note in caught.value.outcome.notes)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_step_over_its_own_time_fails_and_the_run_goes_on(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event, asynchronous: bool
) -> None:
    def script(request: Request) -> Reply:
        if request.system == "You are clerk.":
            clock.advance(1)
            return text("too late", wait_for=never)
        if any(message["role"] == "tool" for message in request.messages):
            return text("The clerk did not answer in time.")
        return call("transfer_to_clerk")

    with ModelServer(script) as server:
        app = guard.wrap(supervisor_with_tools(server.url, look_up), step_timeout=LEFT)
        state = asyncio.run(app.ainvoke(QUESTION)) if asynchronous else app.invoke(QUESTION)
        assert server.count == 3
        assert "STEP_TIMEOUT" in server.requests[-1].last_text
    assert state["messages"][-1].content == "The clerk did not answer in time."
    assert mas_guard.outcome(state).status == "partial"
