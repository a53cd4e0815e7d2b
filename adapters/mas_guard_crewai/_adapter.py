"""Arms the seams and marks wrapped crews, flows and agents. CrewAI is imported only when an app of it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import Adapter, Beside, Finding, PatchSet, apply_all

if TYPE_CHECKING:
    from mas_guard import Guard, Policy

APPS = {
    ("crewai.crew", "Crew"),
    ("crewai.agent.core", "Agent"),
    ("crewai.flow.runtime", "Flow"),
    ("crewai.flow.flow", "Flow"),
}


@dataclass(slots=True)
class Mark:
    """What a wrapped app carries: its policy, and options such as `on_outcome`."""

    policy: Policy
    options: dict[str, Any] = field(default_factory=dict)


class CrewAIAdapter(Adapter):
    """Crews, flows, and agents that are kicked off by themselves.

    The seams are methods of CrewAI's classes, and a weak table marks the apps that are wrapped: a crew stays itself, since
    a copy would lose the identities of its tasks and agents. `Crew.copy` hands the mark on.
    """

    name = "crewai"
    target = "crewai"
    supports = ">=1.15.24,<1.16"
    module = "crewai"

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._patches: PatchSet | None = None
        self.marks: Beside[Mark] = Beside()

    @property
    def guard(self) -> Guard:
        """The guard that armed this adapter."""
        assert self._guard is not None
        return self._guard

    def can_wrap(self, app: Any) -> bool:
        """True for a `Crew`, a `Flow`, or an `Agent`."""
        return any((kind.__module__, kind.__name__) in APPS for kind in type(app).__mro__)

    def arm(self, guard: Guard) -> None:
        """Put the seams in."""
        from mas_guard_crewai import _patches, _providers

        self._guard = guard
        if self._patches is None:
            self._patches = _patches.patch_set(self)
        apply_all((self._patches,))
        _providers.put_in()

    def disarm(self) -> list[str]:
        """Take the seams back and forget the marks."""
        from mas_guard_crewai import _providers

        left = _providers.take_out()
        if self._patches is not None:
            left += self._patches.remove()
        self.marks = Beside()
        return left

    def wrap(self, app: Any, guard: Guard, policy: Policy) -> Any:
        """Mark *app* and return it."""
        from mas_guard_crewai import _structure

        _structure.check_owner(app, policy)
        before = self.marks.get(app)
        # Wrapped again, an app keeps what it was told first: its limits where they are narrower, and its options.
        if before is None:
            self.marks.put(app, Mark(policy))
        else:
            self.marks.put(app, Mark(before.policy.narrowed_by(policy), before.options))
        return app

    def options_of(self, app: Any) -> dict[str, Any] | None:
        """The options of a wrapped app."""
        mark = self.marks.get(app)
        return mark.options if mark is not None else None

    def mark_of(self, app: Any) -> Mark | None:
        """The mark that applies to *app*: its own, else the process's under `instrument()`."""
        mark = self.marks.get(app)
        if mark is not None:
            return mark
        policy = self.guard.process_policy
        return Mark(policy) if policy is not None else None

    def declared_outputs(self, app: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """What the tasks' agents declare to give, and the agents that take it."""
        from mas_guard_crewai import _structure

        return _structure.declared_outputs(app)

    def agent_names(self, app: Any) -> frozenset[str]:
        """The roles of *app*'s agents."""
        from mas_guard_crewai import _structure

        return frozenset(_structure.role_of(agent) for agent in _structure.agents_of(app))

    def examine(self, app: Any) -> list[Finding]:
        """What `doctor` says about *app*."""
        from mas_guard_crewai import _structure

        return _structure.examine(app)
