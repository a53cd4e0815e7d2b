"""`Agent.kickoff`: an agent without a crew, by itself, in a flow's method, or in another agent's tool."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import Run, Step, current_run, current_step, guard_step, guard_step_async
from mas_guard_crewai._agent import activated, read
from mas_guard_crewai._boundary import drive_run, drive_run_async, on_event_loop, open_for
from mas_guard_crewai._flow import flow_around
from mas_guard_crewai._frame import current_activation
from mas_guard_crewai._structure import role_of

if TYPE_CHECKING:
    from mas_guard_crewai._adapter import CrewAIAdapter, Mark

Make = Callable[..., Any]


def make_kickoff(adapter: CrewAIAdapter, original: Make) -> Make:
    """Wrap `Agent.kickoff`; on an event loop it hands on to `kickoff_async`."""

    @functools.wraps(original)
    def kickoff(self: Any, messages: Any, *arguments: Any, **keywords: Any) -> Any:
        def start() -> Any:
            return original(self, messages, *arguments, **keywords)

        if on_event_loop():
            return start()
        run = current_run.get()
        if run is not None:
            return _inside(run, self, start)
        opened = _opened(adapter, self)
        if opened is None:
            return start()
        run, mark = opened
        return drive_run(adapter, run, mark, functools.partial(_inside, run, self, start))

    return kickoff


def make_kickoff_async(adapter: CrewAIAdapter, original: Make) -> Make:
    """Wrap `Agent.kickoff_async`."""

    @functools.wraps(original)
    async def kickoff_async(self: Any, messages: Any, *arguments: Any, **keywords: Any) -> Any:
        async def start() -> Any:
            return await original(self, messages, *arguments, **keywords)

        run = current_run.get()
        if run is not None:
            return await _inside_async(run, self, start)
        opened = _opened(adapter, self)
        if opened is None:
            return await start()
        run, mark = opened
        return await drive_run_async(adapter, run, mark, functools.partial(_inside_async, run, self, start))

    return kickoff_async


def _opened(adapter: CrewAIAdapter, agent: Any) -> tuple[Run, Mark] | None:
    opened = open_for(adapter, agent, role_of(agent))
    if opened is not None and not opened[0].owner:
        run = opened[0]
        run.set_owner(role_of(agent))
        run.owner_has_model = lambda: True
        run.other_agents = lambda: any(name != run.owner for name in run.agents)
    return opened


def _inside(run: Run, agent: Any, start: Callable[[], Any]) -> Any:
    if _goes_on(agent):
        return start()
    _method_acts(run)
    with activated(run, agent, None) as scope:
        return guard_step(run, Step(scope.agent, scope.identity), scope, start, read)


async def _inside_async(run: Run, agent: Any, start: Callable[[], Any]) -> Any:
    if _goes_on(agent):
        return await start()
    _method_acts(run)
    with activated(run, agent, None) as scope:
        return await guard_step_async(run, Step(scope.agent, scope.identity), scope, start, read)


def _method_acts(run: Run) -> None:
    """A flow's method that has an agent work acts as one itself."""
    step = current_step.get()
    if step is not None and flow_around(run) is not None:
        run.agents.add(step.agent)


def _goes_on(agent: Any) -> bool:
    """True where one method of the agent has called another for the same kickoff."""
    activation = current_activation.get()
    return activation is not None and activation.agent is agent and activation.task is None
