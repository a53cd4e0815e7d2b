"""Per node: where every task of every mode runs, also subgraphs', `Send`s', and functional tasks.

The stop of a run passes through user code as an exception. Where a graph can be ended in place, its task ends
without writes here and the superstep is committed, so that the state so far is kept and valid.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mas_guard.adapter import GuardStopped, Run, StepScope, check_time, current_step, seconds_left
from mas_guard_langgraph._frame import Frame, current_frame, current_task
from mas_guard_langgraph._owed import answer_in_place, runs_while_settling
from mas_guard_langgraph._step import is_judged, judged, judged_async, settle_output

GRACE = 0.1  # seconds; calls inside a node are cut first and answer for themselves, then the node is


def make_run(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `run_with_retry`."""

    @functools.wraps(original)
    def run_with_retry(task: Any, *arguments: Any, **keywords: Any) -> Any:
        frame = current_frame.get()
        if frame is None:
            return original(task, *arguments, **keywords)
        if not _may_begin(frame, task):
            return None
        scope = frame.scope_for(task)
        in_task = current_task.set((frame, task))
        in_step = current_step.set(scope) if scope is not None else None
        try:
            # The plain path first: every node of every superstep comes through here.
            if scope is None or task.name not in frame.agents:
                return original(task, *arguments, **keywords)
            with _own_time(scope):
                if is_judged(frame, task):
                    result = judged(frame, task, scope, lambda: original(task, *arguments, **keywords))
                else:
                    result = original(task, *arguments, **keywords)
            settle_output(frame, task)
            return result
        except GuardStopped as stop:
            if not _ends_in_place(frame, task, scope, stop):
                raise
            return None
        finally:
            if in_step is not None:
                current_step.reset(in_step)
            current_task.reset(in_task)

    return run_with_retry


def _may_begin(frame: Frame, task: Any) -> bool:
    """False where *task* is put off or answered in place; raises the stop where no node of the run may begin."""
    if frame.refused:
        raise frame.run.raised()
    if frame.settling and not runs_while_settling(frame, task):
        return False
    if frame.resumed_stopped:
        raise frame.run.raised()
    return True


def make_arun(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `arun_with_retry`; a node is cancelled when the run's or its own time is over."""

    @functools.wraps(original)
    async def arun_with_retry(task: Any, *arguments: Any, **keywords: Any) -> Any:
        frame = current_frame.get()
        if frame is None:
            return await original(task, *arguments, **keywords)
        if not _may_begin(frame, task):
            return None
        scope = frame.scope_for(task)
        in_task = current_task.set((frame, task))
        in_step = current_step.set(scope) if scope is not None else None
        try:

            async def send() -> Any:
                return await _in_time(frame, task, scope, lambda: original(task, *arguments, **keywords))

            if scope is None or task.name not in frame.agents:
                return await send()
            with _own_time(scope):
                if is_judged(frame, task):
                    result = await judged_async(frame, task, scope, send)
                else:
                    result = await send()
            settle_output(frame, task)
            return result
        except GuardStopped as stop:
            if not _ends_in_place(frame, task, scope, stop):
                raise
            return None
        finally:
            if in_step is not None:
                current_step.reset(in_step)
            current_task.reset(in_task)

    return arun_with_retry


async def _in_time(frame: Frame, task: Any, scope: StepScope | None, send: Callable[[], Awaitable[Any]]) -> Any:
    run = frame.run
    concluding = run.stop is not None and run.stop.phase in ("concluding", "asked")
    seconds = seconds_left(run, scope, concluding) if frame.root and not frame.settling else None
    if seconds is None:
        return await send()
    try:
        async with asyncio.timeout(seconds + GRACE) as limit:
            if scope is not None and scope.clock is not None:
                scope.timer = _timer(run, scope, limit, concluding)
            return await send()
    except TimeoutError:
        if limit.expired():
            task.writes.clear()
            check_time(run, scope, concluding=concluding)
        raise


def _timer(run: Run, scope: StepScope, limit: asyncio.Timeout, concluding: bool) -> Callable[[], None]:
    """What moves the cut of an activation while its own clock stands still; the run's deadline stays."""
    loop = asyncio.get_running_loop()

    def reset() -> None:
        left = run.time_left(concluding=concluding) if scope.children else seconds_left(run, scope, concluding)
        when = None if left is None else loop.time() + left + GRACE
        if not limit.expired():
            # A child may end in another thread than the one whose loop cuts.
            loop.call_soon_threadsafe(lambda: limit.reschedule(when) if not limit.expired() else None)

    return reset


def _own_time(scope: StepScope) -> AbstractContextManager[None]:
    return nullcontext() if scope.outer is None else scope.as_child()


def _ends_in_place(frame: Frame, task: Any, scope: StepScope | None, stop: GuardStopped) -> bool:
    run: Run = frame.run
    if run.stop is None and stop.rule in ("budget", "deadline"):
        return _ends_as_failed(frame, task, scope, stop)
    if run.stop is not None and answer_in_place(frame, task):
        return True
    if run.stop is None or not frame.in_place or run.stop.action == "abort":
        return False
    if run.stop.action == "owner" and not _can_conclude(run):
        return False
    task.writes.clear()
    return True


def _ends_as_failed(frame: Frame, task: Any, scope: StepScope | None, stop: GuardStopped) -> bool:
    """An agent's own budget or time is over: its invocation ends as failed, whoever called it is told, and the run
    goes on. False where *stop* belongs to an activation further out."""
    outer = scope.outer if scope is not None else current_step.get()
    while outer is not None:
        if outer.stopped is not None and str(outer.stopped) == str(stop):
            return False
        outer = outer.outer
    if task.name not in frame.agents:
        return frame.root and answer_in_place(frame, task)
    task.writes.clear()
    frame.run.envelopes.settle_stop(frame.run, task.name, stop)
    frame.run.note(f"agent {task.name} was ended by its own limit: {stop}")
    for writer in task.writers:
        writer.invoke(None, task.config)
    return True


def _can_conclude(run: Run) -> bool:
    return run.stop is not None and run.stop.phase in ("latched", "concluded") and run.owner_can_answer
