"""`Agent.execute_task` and its twin: one activation of an agent, on a task of the crew or one that was delegated to it."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mas_guard.adapter import (
    CallOutcome,
    GuardStopped,
    Handoff,
    Run,
    Step,
    StepScope,
    current_run,
    current_step,
    ended_within,
    guard_handoff,
    guard_step,
    guard_step_async,
)
from mas_guard_crewai._frame import Activation, current_activation, current_frame
from mas_guard_crewai._sent import current_sent
from mas_guard_crewai._signals import CrewStopped
from mas_guard_crewai._structure import role_of
from mas_guard_crewai._tool import in_tool
from mas_guard_crewai._translate import reply_text

Make = Callable[..., Any]

handed_over: ContextVar[bool] = ContextVar("mas_guard_crewai_handed_over", default=False)
A_MOMENT = 0.1  # seconds that CrewAI's own time-out has to come first


def make_execute_task(original: Make) -> Make:
    """Wrap `Agent.execute_task`."""

    @functools.wraps(original)
    def execute_task(self: Any, task: Any, context: Any = None, tools: Any = None) -> Any:
        run = current_run.get()
        if run is None or _is_repeated(self, task):
            return original(self, task, context, tools)
        with activated(run, self, task) as scope:
            return guard_step(
                run, Step(scope.agent, scope.identity), scope, lambda: original(self, task, context, tools), read
            )

    # An agent that talks A2A is told by `__wrapped__` on its method.
    execute_task.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    del execute_task.__wrapped__
    return execute_task


def make_aexecute_task(original: Make) -> Make:
    """Wrap `Agent.aexecute_task`."""

    @functools.wraps(original)
    async def aexecute_task(self: Any, task: Any, context: Any = None, tools: Any = None) -> Any:
        run = current_run.get()
        if run is None or _is_repeated(self, task):
            return await original(self, task, context, tools)
        with activated(run, self, task) as scope:
            return await guard_step_async(
                run, Step(scope.agent, scope.identity), scope, lambda: original(self, task, context, tools), read
            )

    return aexecute_task


def make_handle_error(original: Make) -> Make:
    """Wrap `Agent._handle_execution_error`, which runs the whole task again, its tools too."""

    @functools.wraps(original)
    def _handle_execution_error(self: Any, error: Any, task: Any, *arguments: Any, **keywords: Any) -> Any:
        if not _may_retry(self, task):
            raise error
        return original(self, error, task, *arguments, **keywords)

    return _handle_execution_error


def make_handle_error_async(original: Make) -> Make:
    """Wrap `Agent._handle_execution_error_async`."""

    @functools.wraps(original)
    async def _handle_execution_error_async(self: Any, error: Any, task: Any, *arguments: Any, **keywords: Any) -> Any:
        if not _may_retry(self, task):
            raise error
        return await original(self, error, task, *arguments, **keywords)

    return _handle_execution_error_async


def make_with_timeout(original: Make) -> Make:
    """Wrap `Agent._execute_with_timeout`: it returns once its time is over, where CrewAI waits for the thread."""

    @functools.wraps(original)
    def _execute_with_timeout(self: Any, task_prompt: Any, task: Any, timeout: Any) -> Any:
        run = current_run.get()
        if run is None or run.policy.mode != "enforce":
            return original(self, task_prompt, task, timeout)
        pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mas-guard step")
        work = functools.partial(self._execute_without_timeout, task_prompt=task_prompt, task=task)
        future = pool.submit(contextvars.copy_context().run, work)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError as error:
            step = current_step.get()
            if step is not None:
                step.start_clock(0)  # whatever its thread still asks for is refused
            concurrent.futures.wait((future,), 3 * A_MOMENT)  # its model call ends a moment later, and is booked
            if not future.done():
                run.note(f"a thread of {role_of(self)!r} goes on after its max_execution_time of {timeout} s")
            raise TimeoutError(
                f"Task {str(task.description)[:80]!r} was not done within max_execution_time, which is {timeout} s. "
                "Raise it, or give the task less to do."
            ) from error
        except Exception as error:
            from crewai.agent.core import _passthrough_exceptions

            if isinstance(error, _passthrough_exceptions):
                raise
            raise RuntimeError(f"Task execution failed: {error}") from error  # as without the guard
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return _execute_with_timeout


@contextmanager
def activated(run: Run, agent: Any, task: Any) -> Iterator[StepScope]:
    """One activation of *agent*; within another one's, it was delegated to, which is a hop."""
    run.signals.add(CrewStopped)
    role, outer = role_of(agent), current_step.get()
    told = handed_over.get()
    if current_activation.get() is not None and outer is not None and outer.agent != role and not told:
        guard_handoff(run, Handoff(outer.agent, (role,), carries=False))
        if run.stop is not None and run.policy.mode == "enforce":
            raise run.raised()
    scope = StepScope(run, role, outer=outer)
    _start_clock(run, scope, agent)
    frame = current_frame.get()
    if frame is not None and frame.run is run and task is not None:
        scope.sources = frame.sources_of(task)
        frame.begins(task, scope)
    entering: tuple[tuple[ContextVar[Any], Any], ...] = (
        (current_activation, Activation(agent, task)),
        (current_sent, None),
        (handed_over, False),
        (in_tool, None),
    )
    tokens = [(variable, variable.set(value)) for variable, value in entering]
    try:
        with scope.as_child():
            yield scope
    except Exception as error:
        if outer is not None:
            ended_within(error)
        if isinstance(error, GuardStopped) and run.stop is None and outer is not None:
            run.envelopes.settle_stop(run, role, error)
        raise
    finally:
        for variable, token in tokens:
            variable.reset(token)


def read(value: Any) -> CallOutcome:
    """What an activation gave, for the rules."""
    return CallOutcome(reply_text(value))


def _start_clock(run: Run, scope: StepScope, agent: Any) -> None:
    seconds = run.policy.agent_step_timeout(scope.agent) if run.policy.agents else run.policy.step_timeout
    own = getattr(agent, "max_execution_time", None)
    if isinstance(own, int | float) and own > 0 and run.policy.mode == "enforce":
        # Its model calls end with it, so that its thread does.
        seconds = own + A_MOMENT if seconds is None else min(seconds, own + A_MOMENT)
    if seconds is not None:
        scope.start_clock(seconds)


def _is_repeated(agent: Any, task: Any) -> bool:
    """True where CrewAI runs the task of this very activation again."""
    activation = current_activation.get()
    return activation is not None and activation.agent is agent and activation.task is task


def _may_retry(agent: Any, task: Any) -> bool:
    """False where a model call has failed and its client has tried again already: a tool's effect would happen twice."""
    run, activation = current_run.get(), current_activation.get()
    if run is None or activation is None or run.policy.mode != "enforce" or not _is_repeated(agent, task):
        return True
    allowed = run.policy.retries.per_task
    if allowed is None or not activation.call_failed:
        return True
    if activation.retries >= allowed:
        run.note(
            f"the task of {role_of(agent)!r} was not run again after a failed model call (RETRIES__PER_TASK={allowed})"
        )
        return False
    activation.retries += 1
    return True
