"""Handoff targets: control goes only to agents that exist, can be reached and, where the user listed them, are allowed.

A transfer to an agent that does not exist ends some frameworks' runs as a silent success and others' with an error;
here the model is told and goes on. The same holds for a disabled target and for input that the handoff does not take.
"""

from __future__ import annotations

from typing import Any

from mas_guard.hookspecs import hookimpl
from mas_guard.types import Handoff, Verdict

RULE = "handoff"


class HandoffRule:
    """Blocks transfers to unknown agents, and to agents outside `[agents.NAME] targets`."""

    @hookimpl
    def mas_guard_before_handoff(self, handoff: Handoff, run: Any) -> Verdict | None:
        """Block with what is wrong, and the list of agents that control may go to."""
        if handoff.problems:
            return self._block(handoff, list(handoff.targets), self._others(handoff), "; ".join(handoff.problems))
        if handoff.known_targets is not None:
            unknown = [target for target in handoff.targets if target not in handoff.known_targets]
            if unknown:
                return self._block(handoff, unknown, sorted(handoff.known_targets), "does not exist")
        settings = run.policy.agents.get(handoff.source)
        allowed = settings.targets if settings is not None else None
        if allowed is not None and handoff.kind == "transfer":
            outside = [target for target in handoff.targets if target not in allowed]
            if outside:
                return self._block(handoff, outside, sorted(allowed), "is not among its allowed targets")
        return None

    @staticmethod
    def _others(handoff: Handoff) -> list[str]:
        return sorted(handoff.known_targets) if handoff.known_targets is not None else list(handoff.targets)

    @staticmethod
    def _block(handoff: Handoff, wrong: list[str], right: list[str], why: str) -> Verdict:
        names, choices = ", ".join(wrong), ", ".join(right) or "nobody"
        told = f" ({handoff.details}): correct it and hand over again" if handoff.details else ""
        return Verdict(
            "deny",
            RULE,
            "block",
            f"{handoff.source} -> {names}: the target {why}. It may hand on to: {choices}. "
            f"Change the transfer, or [agents.{handoff.source}] targets.",
            message=f"not transferred: {names} {why}{told}. You can transfer to: {choices}. Go on with the task otherwise.",
            figures={"target": names, "problem": why},
        )
