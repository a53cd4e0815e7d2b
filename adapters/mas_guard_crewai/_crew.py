"""The boundary of a crew: `kickoff` and `akickoff`, which every other way of running one ends in."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import (
    GuardStopped,
    Run,
    Scope,
    current_run,
    current_step,
    ended_within,
    inner_app_scope,
    last_outcome,
    results,
)
from mas_guard_crewai._boundary import drive_run, drive_run_async, open_for
from mas_guard_crewai._checkpoint import begin, is_restored, save, take_over
from mas_guard_crewai._conclusion import conclude, concluded_output, partial_output
from mas_guard_crewai._flow import flow_around
from mas_guard_crewai._frame import Frame, current_activation, current_frame
from mas_guard_crewai._signals import CrewStopped
from mas_guard_crewai._structure import agents_of, default_owner, is_hierarchical, named, role_of

if TYPE_CHECKING:
    from mas_guard_crewai._adapter import CrewAIAdapter, Mark

Make = Callable[..., Any]

_begun: ContextVar[list[Run] | None] = ContextVar("mas_guard_crewai_begun", default=None)
_items: ContextVar[list[GuardStopped] | None] = ContextVar("mas_guard_crewai_items", default=None)


def make_kickoff(adapter: CrewAIAdapter, original: Make) -> Make:
    """Wrap `Crew.kickoff`."""

    @functools.wraps(original)
    def kickoff(self: Any, *arguments: Any, **keywords: Any) -> Any:
        def start() -> Any:
            return original(self, *arguments, **keywords)

        if getattr(self, "stream", False):
            return start()  # it comes back here in a thread of its own, as the stream is read
        outer = current_run.get()
        if outer is not None and flow_around(outer) is None:
            with _joined(adapter, outer, self):
                return start()
        opened = _opened(adapter, self, outer)
        if opened is None:
            return start()
        run, mark, frame = opened
        frame.restoring = is_restored(arguments, keywords)
        begin(frame)
        try:
            scope: Scope = ((current_frame, frame),)
            return drive_run(adapter, run, mark, functools.partial(_carried_out, frame, start), frame.state, scope)
        except GuardStopped as stop:
            return _as_item(stop)
        finally:
            save(frame)
            frame.let_go()

    return kickoff


def make_akickoff(adapter: CrewAIAdapter, original: Make) -> Make:
    """Wrap `Crew.akickoff`."""

    @functools.wraps(original)
    async def akickoff(self: Any, *arguments: Any, **keywords: Any) -> Any:
        async def start() -> Any:
            return await original(self, *arguments, **keywords)

        if getattr(self, "stream", False):
            return await start()
        outer = current_run.get()
        if outer is not None and flow_around(outer) is None:
            with _joined(adapter, outer, self):
                return await start()
        opened = _opened(adapter, self, outer)
        if opened is None:
            return await start()
        run, mark, frame = opened
        frame.restoring = is_restored(arguments, keywords)
        begin(frame)
        try:
            scope: Scope = ((current_frame, frame),)
            carried_out = functools.partial(_carried_out_async, frame, start)
            return await drive_run_async(adapter, run, mark, carried_out, frame.state, scope)
        except GuardStopped as stop:
            return _as_item(stop)
        finally:
            save(frame)
            frame.let_go()

    return akickoff


def make_kickoff_async(original: Make) -> Make:
    """Wrap `Crew.kickoff_async`, which runs `kickoff` in a thread: whoever awaits it can ask for the outcome."""

    @functools.wraps(original)
    async def kickoff_async(self: Any, *arguments: Any, **keywords: Any) -> Any:
        begun: list[Run] = []
        token = _begun.set(begun)
        try:
            given = await original(self, *arguments, **keywords)
        except GuardStopped as stop:
            if stop.outcome is not None:
                last_outcome.set(stop.outcome)
            raise
        except asyncio.CancelledError:
            for run in begun:  # its thread cannot be cancelled; what it still asks for is refused
                run.latch(GuardStopped("Whoever waited for this crew has gone.", rule="cancelled")).abort("client gone")
            raise
        finally:
            _begun.reset(token)
        try:
            last_outcome.set(results.find(given))
        except LookupError:
            pass  # unguarded, or a stream that is still to be read
        return given

    return kickoff_async


def make_for_each(original: Make) -> Make:
    """Wrap `Crew.kickoff_for_each`: one item's stop stops no other; the first is raised once all have ended."""

    @functools.wraps(original)
    def kickoff_for_each(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with _each_by_itself() as stops:
            given = original(self, *arguments, **keywords)
        return _given_or_raised(stops, given)

    return kickoff_for_each


def make_for_each_async(original: Make) -> Make:
    """Wrap `Crew.kickoff_for_each_async` and `akickoff_for_each`."""

    @functools.wraps(original)
    async def for_each(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with _each_by_itself() as stops:
            given = await original(self, *arguments, **keywords)
        return _given_or_raised(stops, given)

    return for_each


def make_copy(adapter: CrewAIAdapter, original: Make) -> Make:
    """Wrap `Crew.copy`: a copy of a wrapped crew is wrapped."""

    @functools.wraps(original)
    def copy(self: Any) -> Any:
        copied = original(self)
        mark = adapter.marks.get(self)
        if mark is not None:
            adapter.marks.put(copied, mark)
        return copied

    return copy


def _opened(adapter: CrewAIAdapter, crew: Any, outer: Run | None) -> tuple[Run, Mark, Frame] | None:
    around = flow_around(outer) if outer is not None else None
    inherited = around.mark if around is not None and adapter.marks.get(crew) is None else None
    opened = open_for(adapter, crew, str(crew.name or "crew"), mark=inherited, within=outer)
    if opened is None:
        return None
    run, mark = opened
    step = current_step.get()
    if outer is not None and step is not None:
        outer.agents.add(step.agent)  # a method that kicks a crew off acts as an agent
    owner = default_owner(crew)
    if not run.owner and owner:
        run.set_owner(owner)
    managed = is_hierarchical(crew)
    run.owner_has_model = lambda: managed or named(crew, run.owner) is not None
    run.other_agents = lambda: (
        managed or any(name != run.owner for name in (*map(role_of, agents_of(crew)), *run.agents))
    )
    if (begun := _begun.get()) is not None:
        begun.append(run)
    frame = Frame(run, crew, root=True)
    frame.owner = named(crew, run.owner)
    return run, mark, frame


@contextmanager
def _joined(adapter: CrewAIAdapter, run: Run, crew: Any) -> Iterator[None]:
    """A crew inside of another app's run is part of that run, with what narrower budget it was wrapped with."""
    around = current_frame.get()
    if around is not None and around.restoring:
        take_over(around, crew)
        yield
        return
    if around is not None and around.crew is crew and current_activation.get() is None:
        yield  # the same kickoff, by a wrapper of ours that another library has kept in place
        return
    run.signals.add(CrewStopped)
    mark, step = adapter.marks.get(crew), current_step.get()
    inner = inner_app_scope(run, step, str(crew.name or "crew"), mark.policy) if mark is not None else None
    token, step_token = current_frame.set(Frame(run, crew, root=False)), current_step.set(inner or step)
    try:
        try:
            yield
        finally:
            if inner is not None and inner.stopped is not None and run.policy.mode == "enforce":
                raise run.raised(inner.stopped)  # what CrewAI makes of it is no result
        if run.stop is not None and run.stop.phase == "latched" and run.policy.mode == "enforce":
            raise run.raised()  # the outermost boundary answers it
    except Exception as error:
        ended_within(error)
        raise
    finally:
        current_step.reset(step_token)
        current_frame.reset(token)


def _carried_out(frame: Frame, start: Callable[[], Any]) -> Any:
    try:
        given = start()
    except Exception as error:
        _let_end(frame, error)
        given = None
    if _must_conclude(frame):
        conclude(frame)
    return _result(frame, given)


async def _carried_out_async(frame: Frame, start: Callable[[], Any]) -> Any:
    try:
        given = await start()
    except Exception as error:
        _let_end(frame, error)
        given = None
    if _must_conclude(frame):
        await asyncio.to_thread(conclude, frame)  # CrewAI's own model calls are made in threads, too
    return _result(frame, given)


def _let_end(frame: Frame, error: Exception) -> None:
    """Nothing came of the kickoff: an error, unless the run was stopped and has an answer of its own."""
    stop = frame.run.stop
    stopped = stop is not None and frame.run.policy.mode == "enforce" and stop.action in ("owner", "partial")
    no_output = isinstance(error, ValueError) and not any(output.raw for output in frame.outputs)
    if stopped and (isinstance(error, GuardStopped) or no_output):
        return
    if no_output and frame.errors:
        first = frame.errors[0]
        if isinstance(first, GuardStopped) and stop is None:
            frame.run.latch(first).abort("no task of the crew gave anything")
            frame.run.engine.record_stop(frame.run)
        raise first
    raise error


def _must_conclude(frame: Frame) -> bool:
    stop = frame.run.stop
    if stop is None or frame.run.policy.mode != "enforce":
        return False
    return stop.action == "owner" and stop.phase == "latched"


def _result(frame: Frame, given: Any) -> Any:
    stop = frame.run.stop
    if stop is None or frame.run.policy.mode != "enforce":
        if given is not None and frame.ends_without_result():
            given.raw, given.pydantic, given.json_dict = frame.crew.tasks[-1].output.raw, None, None
        return given
    if stop.action == "owner" and stop.phase == "concluded":
        return given if given is not None and given.raw == stop.result else concluded_output(frame)
    if stop.action == "partial":
        return given if given is not None else partial_output(frame)
    raise frame.run.raised()


@contextmanager
def _each_by_itself() -> Iterator[list[GuardStopped]]:
    stops: list[GuardStopped] = []
    token = _items.set(stops)
    try:
        yield stops
    finally:
        _items.reset(token)


def _as_item(stop: GuardStopped) -> Any:
    """What stands in a list for a crew that was stopped; by itself the stop is raised."""
    stops = _items.get()
    if stops is None:
        raise stop
    from crewai.crews.crew_output import CrewOutput

    stops.append(stop)
    return CrewOutput(raw="", tasks_output=[])


def _given_or_raised(stops: list[GuardStopped], given: Any) -> Any:
    if not stops:
        return given
    stop = stops[0]
    stop.results = given
    raise stop
