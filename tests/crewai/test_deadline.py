"""The deadline cuts what can be cut, and CrewAI's own time limit is kept; nothing is sent after either."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crewai import Crew
from crewai.tools import tool

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.clock import Clock
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    CONCLUSION,
    DELEGATE,
    RESEARCHER,
    WRITER,
    Script,
    charging_crew,
    coworker_of,
    one_task,
    report_crew,
    report_script,
    role_of,
    streaming_crew,
)
from tests.crewai.endings import NOTHING, Ending, awaited, crew_ended, ended, in_time
from tests.crewai.more_crews import AsyncFlow, Batch, held, long_crew, parallel_crew, step_script
from tests.crewai.test_agent_budget import with_researcher

LEFT = 0.3  # seconds of real time that a call which never returns is waited for
DEADLINE = 60


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Holds a server's answer back until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def late(clock: Clock, crew: Crew, deadline: float = DEADLINE) -> Crew:
    """*crew*, which has used its time up, but for `LEFT`, before its first task."""

    def use_time(inputs: Any) -> Any:
        clock.advance(deadline - LEFT)
        return inputs

    crew.before_kickoff_callbacks.append(use_time)
    return crew


def hangs(clock: Clock, never: threading.Event, **fields: Any) -> Script:
    """A model that does not answer in time."""

    def script(request: Request) -> Reply:
        clock.advance(2 * DEADLINE)
        return text("too late, and long enough to be cut into pieces", wait_for=never, **fields)

    return script


KINDS: dict[str, tuple[Callable[[str], Crew], int]] = {
    "one task": (one_task, 1),
    "three tasks": (report_crew, 1),
    "at the same time": (lambda url: parallel_crew(url, 3), 3),
    "another client": (lambda url: one_task(url, "litellm"), 1),
    "responses": (lambda url: one_task(url, "responses"), 1),
    "streaming": (streaming_crew, 1),
    "in a thread of CrewAI's": (lambda url: one_task(url, max_execution_time=600), 1),
}


@pytest.mark.parametrize("way", ["kickoff", "akickoff"])
@pytest.mark.parametrize("name", KINDS)
def test_a_model_that_does_not_answer_is_cut_at_the_deadline_and_no_retry_leaves(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event, name: str, way: str
) -> None:
    make, at_once = KINDS[name]
    if way == "akickoff" and name == "streaming":
        pytest.skip("an async stream is read otherwise")
    with ModelServer(hangs(clock, never)) as server:
        app = guard.wrap(late(clock, make(server.url)), deadline=DEADLINE, on_limit="abort")
        ending = crew_ended(app) if way == "kickoff" else awaited(app.akickoff)
        assert server.wait_for_in_flight(0) and not never.is_set()  # the connections are closed, not waited for
        assert 1 <= server.count <= at_once
    assert isinstance(ending.error, mas_guard.DeadlineExceeded)
    assert (ending.outcome.status, ending.outcome.rule) == ("aborted", "deadline")
    assert at_once > 1 or ending.held == [NOTHING]
    # Charged as held, since it may be billed. Of several at once one may end the run before another has been charged.
    assert at_once > 1 or ending.outcome.spent.tokens > 500


def test_a_stream_that_falls_silent_is_cut(guard: mas_guard.Guard, clock: Clock, never: threading.Event) -> None:
    seen: list[str] = []
    with ModelServer(hangs(clock, never, hold_stream_after=2)) as server:

        def read() -> None:
            for chunk in guard.wrap(late(clock, streaming_crew(server.url)), deadline=DEADLINE).kickoff():
                seen.append(chunk.content)

        ending = ended(read)
        gc.collect()  # the client's stream is part of a cycle: its connection is closed when that is collected
        assert server.wait_for_in_flight(0) and server.count == 1
    assert isinstance(ending.error, mas_guard.DeadlineExceeded) and len(seen) < 4


@pytest.mark.parametrize("way", ["kickoff", "akickoff"])
def test_after_the_deadline_no_call_is_sent(guard: mas_guard.Guard, clock: Clock, way: str) -> None:
    def script(request: Request) -> Reply:
        clock.advance(25)
        return step_script(request)

    with ModelServer(script) as server:
        app = guard.wrap(long_crew(server.url, 9), deadline=DEADLINE, on_limit="abort")
        ending = crew_ended(app) if way == "kickoff" else awaited(app.akickoff)
        assert server.count == 3
    assert isinstance(ending.error, mas_guard.DeadlineExceeded)
    assert [output.raw for output in ending.error.outcome.partial] == [f"Worker{step} is done." for step in range(3)]


@pytest.mark.parametrize("way", ["kickoff", "akickoff"])
def test_the_owner_concludes_in_the_share_that_is_kept_for_it(guard: mas_guard.Guard, clock: Clock, way: str) -> None:
    def script(request: Request) -> Reply:
        if "[mas-guard]" in request.last_text:
            return text(CONCLUSION)
        clock.advance(30)
        return step_script(request)

    with ModelServer(script) as server:
        app = guard.wrap(long_crew(server.url, 9), deadline=100)
        ending = crew_ended(app) if way == "kickoff" else awaited(app.akickoff)
        assert server.count == 4
        assert role_of(server.requests[-1]) == "Worker8" and "10 s of it are kept" in server.requests[-1].last_text
    assert (ending.raw, ending.outcome.status, ending.outcome.rule) == (CONCLUSION, "partial", "deadline")


def test_a_concluding_turn_that_hangs_ends_at_the_whole_deadline(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event
) -> None:
    def script(request: Request) -> Reply:
        if "[mas-guard]" in request.last_text:
            clock.advance(DEADLINE)
            return text(CONCLUSION, wait_for=never)
        clock.advance(DEADLINE - LEFT)
        return step_script(request)

    with ModelServer(script) as server:
        ending = crew_ended(guard.wrap(long_crew(server.url, 9), deadline=DEADLINE))
        assert server.wait_for_in_flight(0) and not never.is_set()
        assert server.count == 2
    assert isinstance(ending.error, mas_guard.DeadlineExceeded)
    assert "concluding call failed" in ending.outcome.reason and ending.held == [NOTHING]


def test_a_tool_that_blocks_ends_and_nothing_is_sent_after_it(guard: mas_guard.Guard, clock: Clock) -> None:
    ran: list[int] = []
    with ModelServer(lambda request: call("work", page=request.index)) as server:

        @tool("work")
        def work(page: int) -> str:
            """Work."""
            ran.append(page)
            clock.advance(DEADLINE + 1)
            return "worked"

        ending = crew_ended(guard.wrap(one_task(server.url, tools=[work]), deadline=DEADLINE))
        assert server.count == 1
    assert ran == [0] and isinstance(ending.error, mas_guard.DeadlineExceeded)


def test_a_flow_keeps_the_deadline_for_the_crews_in_it(guard: mas_guard.Guard, clock: Clock) -> None:
    def script(request: Request) -> Reply:
        clock.advance(25)
        return report_script(request)

    with ModelServer(script) as server:
        flow = guard.wrap(Batch(server.url), deadline=DEADLINE, on_limit="abort")
        ending = ended(lambda: flow.kickoff(inputs={"count": 9}))
        assert server.count == 3
    assert isinstance(ending.error, mas_guard.DeadlineExceeded)
    assert (ending.error.outcome.run.name, ending.error.outcome.status) == ("Batch", "aborted")


def test_an_awaiting_flow_is_cut_at_its_deadline(guard: mas_guard.Guard, clock: Clock, never: threading.Event) -> None:
    def script(request: Request) -> Reply:
        if role_of(request) == ANALYST:
            return hangs(clock, never)(request)
        clock.advance(DEADLINE - LEFT)
        return report_script(request)

    with ModelServer(script) as server:
        flow = guard.wrap(AsyncFlow(server.url), deadline=DEADLINE, on_limit="abort")
        ending = awaited(flow.kickoff_async)
        assert server.wait_for_in_flight(0) and server.count == 2
    assert isinstance(ending.error, mas_guard.DeadlineExceeded)


# -- a step's own time ---------------------------------------------------------------------------------------------


def test_a_task_over_its_own_time_fails_and_the_others_are_done(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event
) -> None:
    def script(request: Request) -> Reply:
        if role_of(request) == RESEARCHER:
            clock.advance(1)
            return text("too late", wait_for=never)
        return report_script(request)

    with ModelServer(script) as server:
        ending = crew_ended(guard.wrap(report_crew(server.url), step_timeout=LEFT))
        assert server.wait_for_in_flight(0) and not never.is_set()
        assert server.count == 3
        assert "STEP_TIMEOUT" in server.requests[1].last_text
    assert (ending.raw, ending.outcome.status, ending.outcome.rule) == (ANSWERS[WRITER], "partial", "deadline")
    assert ending.outcome.envelopes[RESEARCHER].status == "failed"


def test_a_coworker_over_its_own_time_is_a_failure_to_who_delegated(
    guard: mas_guard.Guard, clock: Clock, never: threading.Event
) -> None:
    def script(request: Request) -> Reply:
        if role_of(request) == RESEARCHER:
            clock.advance(1)
            return text("too late", wait_for=never)
        if any(message["role"] == "tool" for message in request.messages):
            return text("The researcher did not answer in time.")
        return call(DELEGATE, task="Find out.", context="Tides.", coworker=coworker_of(request))

    with ModelServer(script) as server:
        app = guard.wrap(with_researcher(server.url), agents={RESEARCHER: {"step_timeout": LEFT}})
        ending = crew_ended(app)
        assert server.count == 3 and "status failed" in server.requests[-1].last_text
    assert ending.raw == "The researcher did not answer in time."
    assert (ending.outcome.status, ending.outcome.rule) == ("partial", "deadline")


# -- CrewAI's own time limit ---------------------------------------------------------------------------------------

OWN_LIMIT = 1  # second: CrewAI takes whole ones


def timed_out(ending: Ending) -> None:
    assert isinstance(ending.error, TimeoutError) and not isinstance(ending.error, mas_guard.GuardStopped)
    assert "max_execution_time" in str(ending.error) and ending.outcome.status == "aborted"


@pytest.mark.parametrize("way", ["kickoff", "akickoff"])
def test_max_execution_time_ends_a_model_call_and_its_thread(never: threading.Event, way: str) -> None:
    with ModelServer(held(never)) as server:
        app = mas_guard.wrap(one_task(server.url, max_execution_time=OWN_LIMIT))
        ending = crew_ended(app) if way == "kickoff" else awaited(app.akickoff)
        assert server.wait_for_in_flight(0) and not never.is_set()
        assert server.count == 1
        for thread in step_threads():
            thread.join()
    if way == "kickoff":
        timed_out(ending)
    assert ending.error is not None


def step_threads() -> list[threading.Thread]:
    """The threads in which tasks with a time limit are worked on."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("mas-guard step")]


def test_max_execution_time_ends_a_task_whose_tool_blocks_and_its_thread_is_reported(never: threading.Event) -> None:
    with ModelServer(lambda request: call("work", page=request.index)) as server:

        @tool("work")
        def work(page: int) -> str:
            """Work."""
            never.wait()
            return "worked"

        ending = crew_ended(mas_guard.wrap(one_task(server.url, tools=[work], max_execution_time=OWN_LIMIT)))
        timed_out(ending)
        assert any(RESEARCHER in note and "goes on" in note for note in ending.outcome.notes)
        never.set()
        for thread in step_threads():
            thread.join()
        assert server.count == 1  # its thread asked for nothing more


def test_a_task_in_time_is_untouched_by_max_execution_time() -> None:
    with ModelServer(report_script) as server:
        ending = crew_ended(mas_guard.wrap(one_task(server.url, max_execution_time=60)))
    assert (ending.raw, ending.outcome.status, ending.outcome.notes) == (ANSWERS[RESEARCHER], "completed", ())


def test_an_error_in_a_task_with_a_time_limit_is_the_bare_crews() -> None:
    seen = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(lambda request: Reply(status=400, error_message="no luck")) as server:
            try:
                wrap(charging_crew(server.url, [], max_execution_time=60)).kickoff()
            except Exception as error:
                seen.append((type(error), str(error)))
    assert seen[0] == seen[1]


# -- who no longer waits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["akickoff", "kickoff_async"])
def test_a_kickoff_that_is_cancelled_sends_nothing_more(way: str) -> None:
    release = threading.Event()
    outcomes: list[mas_guard.Outcome] = []

    async def cancelled(server: ModelServer) -> None:
        crew = mas_guard.wrap(long_crew(server.url, 5), on_outcome=outcomes.append)
        kickoff = asyncio.create_task(getattr(crew, way)())
        await asyncio.to_thread(server.wait_for_count, 1)
        kickoff.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await kickoff
        release.set()

    with ModelServer(lambda request: text("Done.", wait_for=release)) as server:
        in_time(lambda: asyncio.run(cancelled(server)))  # which waits for the threads, too
        assert server.count == 1
    assert [outcome.status for outcome in outcomes] == ["aborted"]
