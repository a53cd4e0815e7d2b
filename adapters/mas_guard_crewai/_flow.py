"""Flows: the run around the crews that a flow's methods kick off, each of which is a run of its own.

A flow keeps the deadline and counts the hops between its methods; only limits that were set on the flow itself cap the sum
of its crews.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import (
    CallOutcome,
    GuardStopped,
    Handoff,
    Run,
    Step,
    StepScope,
    current_run,
    guard_handoff,
    guard_step_async,
)
from mas_guard.config import Budget
from mas_guard_crewai._boundary import drive_run, drive_run_async, on_event_loop, open_for
from mas_guard_crewai._frame import current_activation

if TYPE_CHECKING:
    from mas_guard_crewai._adapter import CrewAIAdapter, Mark

Make = Callable[..., Any]

UNITS = ("tokens", "model_calls", "tool_calls", "usd")
REMEMBERED = 1_000
_pending: dict[str, dict[str, Any]] = {}


@dataclass(slots=True)
class FlowFrame:
    """One kickoff of a flow."""

    flow: Any
    run: Run
    mark: Mark
    last: str = ""  # the method that acted as an agent last


current_flow: ContextVar[FlowFrame | None] = ContextVar("mas_guard_crewai_flow", default=None)


def flow_around(run: Run) -> FlowFrame | None:
    """The flow whose method is at work, outside of any agent."""
    frame = current_flow.get()
    return frame if frame is not None and frame.run is run and current_activation.get() is None else None


def make_kickoff(adapter: CrewAIAdapter, original: Make, *, resumes: bool = False) -> Make:
    """Wrap `Flow.kickoff` and `Flow.resume`, which run their asynchronous twins in a loop of their own."""

    @functools.wraps(original)
    def kickoff(self: Any, *arguments: Any, **keywords: Any) -> Any:
        def start() -> Any:
            return original(self, *arguments, **keywords)

        frame = None if on_event_loop() else _opened(adapter, self, resumes)
        if frame is None:
            return start()
        scope = ((current_flow, frame),)

        def send() -> Any:
            with _ended_by_a_crew(frame.run):
                return _looked_at(frame, start())

        return drive_run(adapter, frame.run, frame.mark, send, scope=scope)

    return kickoff


def make_kickoff_async(adapter: CrewAIAdapter, original: Make, *, resumes: bool = False) -> Make:
    """Wrap `Flow.kickoff_async` and `Flow.resume_async`."""

    @functools.wraps(original)
    async def kickoff_async(self: Any, *arguments: Any, **keywords: Any) -> Any:
        async def start() -> Any:
            return await original(self, *arguments, **keywords)

        frame = _opened(adapter, self, resumes)
        if frame is None:
            return await start()

        async def send() -> Any:
            with _ended_by_a_crew(frame.run):
                return _looked_at(frame, await start())

        return await drive_run_async(adapter, frame.run, frame.mark, send, scope=((current_flow, frame),))

    return kickoff_async


def make_execute_method(original: Make) -> Make:
    """Wrap `Flow._execute_method`: one step; coming back to one that has acted as an agent before is a hop."""

    @functools.wraps(original)
    async def _execute_method(self: Any, method_name: Any, *arguments: Any, **keywords: Any) -> Any:
        run, frame = current_run.get(), current_flow.get()
        if run is None or frame is None or frame.flow is not self or frame.run is not run:
            return await original(self, method_name, *arguments, **keywords)
        name = str(method_name)
        if frame.last and frame.last != name and name in run.agents:
            guard_handoff(run, Handoff(frame.last, (name,), carries=False))
            if run.stop is not None and run.policy.mode == "enforce":
                raise run.raised()
        scope = StepScope(run, name)
        timeout = run.policy.agent_step_timeout(name) if run.policy.agents else run.policy.step_timeout
        if timeout is not None:
            scope.start_clock(timeout)
        try:
            return await guard_step_async(
                run,
                Step(name, scope.identity),
                scope,
                lambda: original(self, method_name, *arguments, **keywords),
                lambda _: CallOutcome(),
            )
        finally:
            if name in run.agents:  # it asked a model, or had an agent or a crew do so; other methods are code
                frame.last = name
                run.visit(name)

    return _execute_method


def _opened(adapter: CrewAIAdapter, flow: Any, resumes: bool) -> FlowFrame | None:
    """A run for *flow*; none for CrewAI's own flows, for streams, which come back, and inside of another run."""
    if getattr(type(flow), "is_crewai_internal", False) or getattr(flow, "stream", False):
        return None
    if current_run.get() is not None:
        return None
    mark = adapter.mark_of(flow)
    own = replace(mark, policy=_own_limits(mark.policy)) if mark is not None else None
    opened = open_for(adapter, flow, str(getattr(flow, "name", None) or type(flow).__name__), mark=own)
    if opened is None or mark is None:
        return None
    run, _ = opened
    saved = _pending.pop(_id_of(flow), None) if resumes else None
    if saved is not None:
        run.adopt(saved, human_input=True)
    return FlowFrame(flow, run, mark)


def _own_limits(policy: Any) -> Any:
    """The flow's policy: of the budget only what was set on the flow in code."""
    kept = {
        unit: getattr(policy.budget, unit) if policy.explain(f"BUDGET__{unit.upper()}").source == "code" else None
        for unit in UNITS
    }
    return replace(policy, budget=Budget(**kept))


@contextmanager
def _ended_by_a_crew(run: Run) -> Iterator[None]:
    """A crew's stop that comes out of the flow's methods is what ended the flow."""
    try:
        yield
    except GuardStopped as stop:
        if run.stop is None and run.policy.mode == "enforce":
            run.latch(stop).abort("a crew of it was stopped")
            run.engine.record_stop(run)
        raise


def _looked_at(frame: FlowFrame, given: Any) -> Any:
    """A flow that waits for a person's feedback returns what it waits for: its run is suspended."""
    if type(given).__name__ == "HumanFeedbackPending":
        frame.run.suspended = True
        frame.run.clock.pause()
        _pending[_id_of(frame.flow)] = frame.run.snapshot()
        while len(_pending) > REMEMBERED:
            _pending.pop(next(iter(_pending)))
    return given


def _id_of(flow: Any) -> str:
    return str(getattr(flow, "flow_id", "") or "")
