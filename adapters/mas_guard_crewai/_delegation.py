"""Delegation to a coworker, by the tools that CrewAI gives an agent for it: put to the guard before the coworker begins.

Whatever goes wrong with the coworker, the tool gives back as text: so a refusal is text as well, and a stop of the run
is met at the delegating agent's next model call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard import GuardError
from mas_guard.adapter import Answer, Handoff, Run, current_run, current_step, guard_handoff
from mas_guard_crewai._agent import handed_over
from mas_guard_crewai._structure import role_of

Make = Callable[..., Any]


def make_execute(original: Make) -> Make:
    """Wrap `BaseAgentTool._execute`."""

    @functools.wraps(original)
    def _execute(self: Any, agent_name: Any, task: Any, context: Any = None) -> Any:
        run, step = current_run.get(), current_step.get()
        if run is None or step is None:
            return original(self, agent_name, task, context)
        try:
            answer = _ask(run, step.agent, self, agent_name, task, context)
        except GuardError:
            raise
        except Exception as error:  # the guard's own bug never breaks the app
            run.engine.plugins.errors.report("Judging a delegation of CrewAI", error)
            answer = None
        if answer is not None:
            return answer.text
        token = handed_over.set(True)
        try:
            return original(self, agent_name, task, context)
        finally:
            handed_over.reset(token)

    return _execute


def _ask(run: Run, source: str, tool: Any, name: Any, task: Any, context: Any) -> Answer | None:
    roles = {tool.sanitize_agent_name(role_of(agent)): role_of(agent) for agent in tool.agents}
    target = roles.get(tool.sanitize_agent_name(str(name or "")), str(name or ""))
    parts = (("Task", task), ("Context", context))
    return guard_handoff(
        run,
        Handoff(
            source,
            (target,),
            "transfer" if target != source else "return",
            known_targets=frozenset(roles.values()),
            content="\n".join(f"{name}: {said}" for name, said in parts if said),
        ),
    )
