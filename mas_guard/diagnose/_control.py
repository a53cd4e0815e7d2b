"""Who has control, and how often it was passed on: the hop counter, offline."""

from __future__ import annotations

from collections.abc import Iterator

from mas_guard.config import Policy
from mas_guard.diagnose.findings import Finding, FindingAction

DEEPEST = 64  # delegations that are remembered


class Control:
    """Counts hops where the record does not: control that goes back to whoever passed it on is no hop."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._delegated: list[str] = []
        self._hops = 0

    def passed(self, event: int, agent: str) -> Iterator[Finding]:
        """*agent* acts now."""
        path = self._delegated
        if path and path[-1] == agent:
            return
        if len(path) > 1 and path[-2] == agent:
            path.pop()
            return
        if path:
            self._hops += 1
            yield from self.counted(event, f"{path[-1]} -> {agent}", self._hops)
        path.append(agent)
        del path[:-DEEPEST]

    def counted(self, event: int, route: str, hops: int) -> Iterator[Finding]:
        """Judge the hop that makes *hops*."""
        limit = self._policy.max_hops
        if limit is None or hops <= limit or self._policy.rule_mode("hops") == "off":
            return
        action = limit_action(self._policy)
        then = "control would have gone to the owner" if action == "redirect" else "the run would have ended"
        yield Finding(
            "hops",
            event,
            action,
            f"{route} was hop {hops}; the limit is {limit} (MAX_HOPS), and {then}",
            verdict="deny",
            figures={"subject": "hops", "hops": hops, "limit": limit},
        )


def limit_action(policy: Policy) -> FindingAction:
    """What a limit that is reached leads to: control goes to the owner, or the run ends, as ON_LIMIT says."""
    return "redirect" if policy.on_limit[:1] == ("owner",) else "stop"
