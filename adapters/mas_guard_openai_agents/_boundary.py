"""The run's boundary: every way of running an agent passes `AgentRunner.run` or `run_streamed`, whoever's runner it is.

`Runner` only forwards to the default runner, and `run_sync` drives `run`. A run inside of another one joins it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agents.exceptions import MaxTurnsExceeded
from agents.run_internal.run_steps import QueueCompleteSentinel

from mas_guard.adapter import (
    CallOutcome,
    GuardStopped,
    current_run,
    current_step,
    drive_async,
    ended_within,
    last_outcome,
    results,
    run_flow,
    stops_within,
    unguarded,
)
from mas_guard_openai_agents._frame import Frame, current_frame, runs_of_results, states
from mas_guard_openai_agents._opening import frame_for, with_room
from mas_guard_openai_agents._turns import Turns

if TYPE_CHECKING:
    from mas_guard_openai_agents._adapter import OpenAIAgentsAdapter

Make = Callable[..., Any]

_streaming: ContextVar[Frame | None] = ContextVar("mas_guard_openai_agents_streaming", default=None)
_ended: ContextVar[list[Any] | None] = ContextVar("mas_guard_openai_agents_ended", default=None)


def make_run(adapter: OpenAIAgentsAdapter, original: Make) -> Make:
    """Wrap `AgentRunner.run`."""

    @functools.wraps(original)
    async def run(self: Any, starting_agent: Any, input: Any, **keywords: Any) -> Any:
        frame = frame_for(adapter, starting_agent, input, keywords)
        if frame is None:
            return await original(self, starting_agent, input, **keywords)
        keywords = with_room(frame, input, keywords)
        return await _guarded(adapter, frame, lambda: original(self, starting_agent, input, **keywords))

    return run


def make_run_sync(original: Make) -> Make:
    """Wrap `AgentRunner.run_sync`: it runs in a task, whose context would keep the outcome to itself."""

    @functools.wraps(original)
    def run_sync(self: Any, *arguments: Any, **keywords: Any) -> Any:
        ended: list[Any] = []
        token = _ended.set(ended)
        try:
            return original(self, *arguments, **keywords)
        finally:
            _ended.reset(token)
            if ended:
                last_outcome.set(ended[-1])

    return run_sync


def make_run_streamed(adapter: OpenAIAgentsAdapter, original: Make) -> Make:
    """Wrap `AgentRunner.run_streamed`, which starts the loop in a task of its own."""

    @functools.wraps(original)
    def run_streamed(self: Any, starting_agent: Any, input: Any, **keywords: Any) -> Any:
        frame = frame_for(adapter, starting_agent, input, keywords)
        if frame is None:
            return original(self, starting_agent, input, **keywords)
        keywords = with_room(frame, input, keywords)
        entering: tuple[tuple[ContextVar[Any], Any], ...] = (
            (current_run, frame.run),
            (current_frame, frame),
            (_streaming, frame),
        )
        tokens = [(variable, variable.set(value)) for variable, value in entering]
        try:
            result = original(self, starting_agent, input, **keywords)
        finally:
            for variable, token in tokens:
                variable.reset(token)
        runs_of_results.put(result, frame.run)
        return result

    return run_streamed


def make_start_streaming(adapter: OpenAIAgentsAdapter, original: Make) -> Make:
    """Wrap `start_streaming`, the loop of a streamed run."""

    @functools.wraps(original)
    async def start_streaming(*arguments: Any, **keywords: Any) -> Any:
        frame = _streaming.get()
        if frame is None:
            return await original(*arguments, **keywords)
        _streaming.set(None)  # a run inside of this one has its own

        result, begun = keywords["streamed_result"], False

        async def loop() -> Any:
            nonlocal begun
            begun = True
            await original(*arguments, **keywords)
            return result

        try:
            await _guarded(adapter, frame, loop)
        finally:
            if not begun:  # refused before it began: whoever reads the stream must not wait for ever
                result.is_complete = True
                result._event_queue.put_nowait(QueueCompleteSentinel())
        return None

    return start_streaming


def make_stream_events(original: Make) -> Make:
    """Wrap `RunResultStreaming.stream_events`: whoever reads it to its end can ask for the outcome."""

    @functools.wraps(original)
    async def stream_events(self: Any) -> Any:
        try:
            async with aclosing(original(self)) as events:
                async for event in events:
                    yield event
        finally:
            run = runs_of_results.get(self)
            if run is not None and run.outcome is not None:
                last_outcome.set(run.outcome)

    return stream_events


async def _guarded(adapter: OpenAIAgentsAdapter, frame: Frame, start: Callable[[], Awaitable[Any]]) -> Any:
    run = frame.run

    async def send() -> Any:
        if run.stop is not None and frame.resumed is not None:
            raise run.raised()  # resumed without a raised limit: nothing of it is carried out
        if frame.unguarded:
            unguarded(frame.unguarded)
        try:
            result = await start()
        except MaxTurnsExceeded as error:
            _observe_turns(frame, error)
            raise
        finally:
            if run.stop is not None:
                frame.open_calls.owe(run, frame.items[1])
        _clean(frame, result)
        if getattr(result, "interruptions", None) and frame.opened:
            run.suspended = True
            run.clock.pause()
        return result

    if not frame.opened:
        return await _joined(frame, send)
    mark = frame.mark
    assert mark is not None
    flow = run_flow(
        run,
        state=frame.state,
        on_outcome=adapter.guard.on_outcome(mark.policy, mark.options),
        scope=((current_frame, frame), (stops_within, None)),
    )
    try:
        result = await drive_async(flow, send, functools.partial(_read, frame), run.engine.plugins.errors)
    except GuardStopped as stop:
        # The SDK puts the run's data on the error that it saw; the boundary raises its own.
        vars(stop).setdefault("run_data", getattr(stop.__cause__, "run_data", None))
        raise
    finally:
        ended = _ended.get()
        if ended is not None and run.outcome is not None:
            ended.append(run.outcome)
        if frame.resumed is not None:
            states.put(frame.resumed, run.snapshot())  # the SDK goes on in the app's own object
        frame.end()
    if run.outcome is not None:
        results.remember(result, run.outcome)
        runs_of_results.put(result, run)
    return result


def _read(frame: Frame, result: Any) -> CallOutcome:
    """How a run ended that raised nothing. A streamed one keeps its error for whoever reads it."""
    error = getattr(result, "_stored_exception", None)
    limit = getattr(result, "max_turns", None)
    if error is None and hasattr(result, "stream_events") and limit is not None and not result._max_turns_handled:
        if result.current_turn > limit:
            error = MaxTurnsExceeded(f"Max turns ({limit}) exceeded")
            _observe_turns(frame, error)
    given = getattr(result, "final_output", None)
    return CallOutcome(given if isinstance(given, str) else "", error=error)


def _observe_turns(frame: Frame, error: MaxTurnsExceeded) -> None:
    run = frame.run
    if run.policy.mode == "observe" and frame.opened and frame.owner() is not None and frame.has_others():
        run.engine.would_stop(run, "turns", str(error))


async def _joined(frame: Frame, send: Callable[[], Awaitable[Any]]) -> Any:
    around = current_step.get()
    step = frame.outer
    child = step.as_child() if step is not None and step is not around else nullcontext()
    entering: tuple[tuple[ContextVar[Any], Any], ...] = ((current_frame, frame), (current_step, step))
    tokens = [(variable, variable.set(value)) for variable, value in entering]
    try:
        with child:
            result = await send()
        stop = frame.run.stop
        if stop is not None and stop.phase == "latched" and frame.run.policy.mode == "enforce":
            raise frame.run.raised()  # it ends first; the outermost loop gives control to the owner
        return result
    except Exception as error:
        ended_within(error)
        raise
    finally:
        for variable, token in tokens:
            variable.reset(token)
        frame.end()


def _clean(frame: Frame, result: Any) -> None:
    """Take out what stands for model calls that were not sent: the app's list of replies holds replies."""
    raw = getattr(result, "raw_responses", None)
    if frame.placeholders and isinstance(raw, list):
        result.raw_responses = [reply for reply in raw if not any(reply is one for one in frame.placeholders)]
    turns = getattr(result, "max_turns", None)
    if isinstance(turns, Turns):
        turns.settle()
        if not hasattr(result, "stream_events"):  # a streamed result compares with it once more when it has been read
            result.max_turns = int(turns)
