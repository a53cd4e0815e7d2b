"""Arms the seams and marks wrapped agents. The SDK is imported only when an app of it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import Adapter, Beside, Finding, PatchSet, apply_all

if TYPE_CHECKING:
    from mas_guard import Guard, Policy


@dataclass(slots=True)
class Mark:
    """What a wrapped agent carries: its policy, options such as `on_outcome`, and agents that its runs have reached
    in ways that its handoffs do not tell."""

    policy: Policy
    options: dict[str, Any] = field(default_factory=dict)
    reached: Beside[bool] = field(default_factory=Beside)


class OpenAIAgentsAdapter(Adapter):
    """Agents of the OpenAI Agents SDK, run by whatever runner.

    The seams are functions of the SDK, and a weak table marks the agents that are wrapped: agents, tools and models
    stay as they are. A wrapped copy would not do, since `as_tool` and handoffs go on to hold the original.
    """

    name = "openai-agents"
    target = "openai-agents"
    supports = ">=0.20,<0.25"
    module = "agents"

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._patches: tuple[PatchSet, ...] = ()
        self.marks: Beside[Mark] = Beside()

    @property
    def guard(self) -> Guard:
        """The guard that armed this adapter."""
        assert self._guard is not None
        return self._guard

    def can_wrap(self, app: Any) -> bool:
        """True for an `Agent`, a sandbox agent among them; a realtime agent is none of these."""
        return any(kind.__module__ == "agents.agent" and kind.__name__ == "Agent" for kind in type(app).__mro__)

    def arm(self, guard: Guard) -> None:
        """Put the seams in."""
        from mas_guard_openai_agents import _patches

        self._guard = guard
        if not self._patches:
            self._patches = _patches.patch_sets(self)
        apply_all(self._patches)

    def disarm(self) -> list[str]:
        """Take the seams back and forget the marks."""
        left = [seam for patches in self._patches for seam in patches.remove()]
        self.marks = Beside()
        return left

    def wrap(self, app: Any, guard: Guard, policy: Policy) -> Any:
        """Mark *app*, the entry agent, and return it: its runs are guarded, and those of every agent it can reach."""
        from mas_guard_openai_agents import _agents

        _agents.check_owner(app, policy)
        before = self.marks.get(app)
        # Wrapped again, an agent keeps what it was told first: its limits where they are narrower, and its options.
        if before is None:
            self.marks.put(app, Mark(policy))
        else:
            self.marks.put(app, Mark(before.policy.narrowed_by(policy), before.options, before.reached))
        return app

    def options_of(self, app: Any) -> dict[str, Any] | None:
        """The options of a wrapped agent."""
        mark = self.marks.get(app)
        return mark.options if mark is not None else None

    def mark_of(self, agent: Any) -> tuple[Any, Mark] | None:
        """The wrapped agent that a run starting at *agent* belongs to, and its mark; else the process's own mark."""
        mark = self.marks.get(agent)
        if mark is not None:
            return agent, mark
        if self.marks:
            from mas_guard_openai_agents._agents import reachable

            for entry, mark in self.marks.items():
                if mark.reached.get(agent) or any(found is agent for found in reachable(entry)):
                    return entry, mark
        policy = self.guard.process_policy
        return (agent, Mark(policy)) if policy is not None else None

    def declared_outputs(self, app: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """What the agents that *app* can reach declare to give, and who takes it."""
        from mas_guard_openai_agents import _contracts

        return _contracts.declared_outputs(app)

    def agent_names(self, app: Any) -> frozenset[str]:
        """The agents that *app* can reach by handoffs and as tools."""
        from mas_guard_openai_agents import _agents

        return (
            frozenset(str(agent.name) for agent in _agents.reachable(app)) if hasattr(app, "handoffs") else frozenset()
        )

    def examine(self, app: Any) -> list[Finding]:
        """What `doctor` says about *app*."""
        from mas_guard_openai_agents import _agents

        return _agents.examine(app)
