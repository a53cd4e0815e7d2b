"""Arms the seams and marks wrapped apps. The framework is imported only when an app of it is there."""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import Adapter, Finding, PatchSet, apply_all

if TYPE_CHECKING:
    from mas_guard import Guard, Policy


@dataclass(slots=True)
class Mark:
    """What a wrapped app carries: its policy, and options such as `on_outcome`."""

    policy: Policy
    options: dict[str, Any] = field(default_factory=dict)


class LangGraphAdapter(Adapter):
    """LangGraph graphs and functional apps, LangChain chat models and tools.

    Class-level patches carry the guard, and a weak table marks the apps that are wrapped: the wrapped app keeps its
    exact type, and nothing of ours rides in its attributes, which `copy`, `with_config` and the server rebuild.
    """

    name = "langgraph"
    target = "langgraph"
    supports = ">=1.1,<1.3"
    module = "langgraph.pregel"

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._patches: tuple[PatchSet, ...] = ()
        self.marks: weakref.WeakKeyDictionary[Any, Mark] = weakref.WeakKeyDictionary()

    @property
    def guard(self) -> Guard:
        """The guard that armed this adapter."""
        assert self._guard is not None
        return self._guard

    def can_wrap(self, app: Any) -> bool:
        """True for a compiled graph, a functional app, and a `StateGraph`."""
        return any(
            kind.__module__.startswith(("langgraph.pregel", "langgraph.graph"))
            and kind.__name__ in ("Pregel", "StateGraph")
            for kind in type(app).__mro__
        )

    def arm(self, guard: Guard) -> None:
        """Put the seams in."""
        from mas_guard_langgraph import _patches

        self._guard = guard
        if not self._patches:
            self._patches = _patches.patch_sets(self)
        apply_all(self._patches)

    def disarm(self) -> list[str]:
        """Take the seams back and forget the marks."""
        from mas_guard_langgraph import _notes

        _notes.take_out()
        left = [seam for patches in self._patches for seam in patches.remove()]
        self.marks = weakref.WeakKeyDictionary()
        return left

    def wrap(self, app: Any, guard: Guard, policy: Policy) -> Any:
        """Return a copy of *app* that is marked; the original stays as it was."""
        from mas_guard_langgraph import _graph

        wrapped = copy.copy(app)
        if not hasattr(app, "stream"):
            for name, value in vars(app).items():
                if isinstance(value, dict | set | list):
                    setattr(wrapped, name, copy.copy(value))
        else:
            _graph.check_owner(wrapped, policy)
        # Wrapped again, an app keeps its first limits where they are narrower.
        before = self.marks.get(app)
        self.marks[wrapped] = Mark(before.policy.narrowed_by(policy) if before is not None else policy)
        return wrapped

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
        """What the nodes of *app* declare to give, and who takes it."""
        from mas_guard_langgraph import _contracts

        return _contracts.declared_outputs(app.compile() if hasattr(app, "compile") else app)

    def agent_names(self, app: Any) -> frozenset[str]:
        """The nodes of *app* that may be agents, of graphs in it too, and the names of those graphs."""
        from mas_guard_langgraph import _graph

        return _graph.agent_names(app.compile() if hasattr(app, "compile") else app)

    def examine(self, app: Any) -> list[Finding]:
        """What `doctor` says about *app*."""
        from mas_guard_langgraph import _graph

        return _graph.examine(app)
