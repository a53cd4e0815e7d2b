"""The global hop counter: at the cap control returns to the owner instead of being passed on once more.

Bounds MAST's FM-1.3 (step repetition) and FM-1.5 (unaware of termination) across agents, where each agent's
own iteration limit starts anew at every handoff.
"""

from __future__ import annotations

from typing import Any

from mas_guard.errors import HopLimitExceeded
from mas_guard.hookspecs import hookimpl
from mas_guard.types import Handoff, Verdict

RULE = "hops"


class HopsRule:
    """Denies the handoff that would be one more than `MAX_HOPS`."""

    @hookimpl
    def mas_guard_before_handoff(self, handoff: Handoff, run: Any) -> Verdict | None:
        """Stop a transfer past the cap; returns and declared sequences are not counted."""
        limit = run.hop_limit
        if handoff.kind != "transfer" or limit is None or run.hops < limit:
            return None
        target = ", ".join(handoff.targets)
        reason = (
            f"Run {run.id} made {run.hops} hops, the most it may (MAX_HOPS={limit}); "
            f"{handoff.source} -> {target} would be one more. Let agents conclude sooner, or raise MAS_GUARD_MAX_HOPS."
        )
        return Verdict(
            "deny",
            RULE,
            "stop",
            reason,
            message="not transferred: the hop limit of this run is reached",
            stop=HopLimitExceeded(reason, hops=run.hops, limit=limit),
            figures={"hops": run.hops, "limit": limit},
        )
