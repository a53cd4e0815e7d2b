"""Our own events: verdicts are in them already, and are read again under the settings in force now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mas_guard.config import Policy
from mas_guard.diagnose._calls import over_budget
from mas_guard.diagnose._control import limit_action
from mas_guard.diagnose.diagnosis import Diagnosis
from mas_guard.diagnose.findings import Finding, FindingAction, Report
from mas_guard.diagnose.modes import STEP_REPETITION
from mas_guard.records import EVENT_VERSION

MOST_OPEN = 10_000  # runs without an end that are kept; the oldest is reported as it stands

_RECOUNTED = frozenset({"hops", "budget", "agent_budget", "deadline", "repetition"})
"""Rules whose stops are worked out anew from the record; what others stopped is taken from it."""

_AS_RECORDED: dict[str, FindingAction] = {"redirect": "redirect", "block": "block", "stop": "stop"}


class _Open:
    __slots__ = ("diagnosis", "seen")

    def __init__(self, run: str, policy: Policy) -> None:
        self.diagnosis = Diagnosis(run, policy)
        self.seen = 0


class OwnEvents:
    """Takes the events of many runs, mixed as they were written, and reports a run where it ends."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def take(self, event: Mapping[str, Any], refuse: Callable[[str], None]) -> Iterator[Report]:
        """Take one event."""
        if event.get("v") != EVENT_VERSION:
            refuse(f"schema version {event.get('v')!r}, this mas-guard reads {EVENT_VERSION}")
            return
        run, name = event.get("run"), event["event"]
        if not isinstance(run, str):
            refuse("an event without a run")
            return
        if not run:  # it happened outside of every run
            return
        found = self._open.get(run)
        if found is None:
            found = self._open[run] = _Open(run, self._policy)
        index, found.seen = found.seen, found.seen + 1
        found.diagnosis.add(self._findings(found.diagnosis, index, event))
        if name == "run_finished" and event.get("status") != "suspended":
            yield self._open.pop(run).diagnosis.report()
        elif len(self._open) > MOST_OPEN:
            yield self._open.popitem(last=False)[1].diagnosis.report()

    def unfinished(self) -> Iterator[Report]:
        """Report the runs without an end."""
        while self._open:
            yield self._open.popitem(last=False)[1].diagnosis.report()

    def _findings(self, diagnosis: Diagnosis, index: int, event: Mapping[str, Any]) -> Iterator[Finding]:
        name = event["event"]
        if name == "call":
            spent = {f"{event.get('kind')}_calls": 1}
            if event.get("kind") == "model" and not event.get("cached"):
                spent["tokens"] = _whole(event.get("input_tokens")) + _whole(event.get("output_tokens"))
            yield from diagnosis.calls.spend(index, spent)
        elif name == "handoff" and event.get("kind") == "transfer":
            diagnosis.handoff(index, str(event.get("agent")), str(event.get("target")), _whole(event.get("hops")))
        elif name == "verdict":
            yield from self._verdict(diagnosis, index, event)
        elif name in ("stop", "would_stop"):
            yield from self._stop(index, event)
        elif name == "run_finished":
            yield from self._totals(index, event)

    def _stop(self, index: int, event: Mapping[str, Any]) -> Iterator[Finding]:
        rule, figures = event.get("rule"), event.get("figures") or {}
        if rule not in _RECOUNTED:
            yield _recorded(index, event, "stop")
            return
        # A run that the guard ended cannot show what more it would have taken. Where today's limit is no higher than
        # the one that ended it, that would have ended it, too.
        subject = "nano_usd" if figures.get("unit") == "usd" else str(figures.get("unit"))
        ended_at, limit = figures.get("limit"), getattr(self._policy.budget.limits, subject, None)
        if rule == "deadline":
            subject, ended_at, limit = "deadline", figures.get("seconds"), self._policy.deadline
        if isinstance(ended_at, int | float) and limit is not None and limit <= ended_at:
            reason, figures = str(event.get("reason")), {**figures, "subject": subject}
            yield Finding(str(rule), index, limit_action(self._policy), reason, verdict="deny", figures=figures)

    def _verdict(self, diagnosis: Diagnosis, index: int, event: Mapping[str, Any]) -> Iterator[Finding]:
        rule, figures = event.get("rule"), event.get("figures") or {}
        if rule == "repetition":
            yield from self._repetition(index, event, figures)
        elif rule == "hops":
            yield from diagnosis.control.counted(index, "a transfer", _whole(figures.get("hops")) + 1)
        elif rule not in _RECOUNTED:
            said = event.get("verdict")
            action = _AS_RECORDED.get(str(event.get("action")), "warn" if said in ("warn", "modify") else "block")
            yield _recorded(index, event, action)

    def _repetition(self, index: int, event: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[Finding]:
        times, call = _whole(figures.get("times")), str(figures.get("call"))
        limits, more = self._policy.repetition, 0
        allowance = self._policy.repeat_allowance(call)
        if allowance is not None:
            more = max(0, allowance + 1 - (limits.redirect or allowance + 1))
        steps: tuple[tuple[FindingAction, int | None], ...] = (
            ("redirect", limits.redirect),
            ("block", limits.block),
            ("stop", limits.stop),
        )
        reached = [action for action, limit in steps if limit is not None and times >= limit + more]
        if reached and self._policy.rule_mode("repetition") != "off":
            yield Finding(
                "repetition",
                index,
                reached[-1],
                f"the same call of {call} was made {times} times with the same result",
                STEP_REPETITION,
                str(event.get("verdict")),
                {"subject": call, "times": times},
            )

    def _totals(self, index: int, event: Mapping[str, Any]) -> Iterator[Finding]:
        spent = event.get("spent") or {}
        for unit in ("tokens", "model_calls", "tool_calls", "nano_usd"):
            yield from over_budget(self._policy, index, unit, _whole(spent.get(unit)))
        seconds, limit = event.get("seconds"), self._policy.deadline
        if isinstance(seconds, int | float) and limit is not None and seconds > limit:
            yield Finding(
                "deadline",
                index,
                limit_action(self._policy),
                f"the run was active for {seconds:.0f} s; the limit is {limit:.0f} s (DEADLINE)",
                verdict="deny",
                figures={"subject": "deadline", "seconds": seconds, "limit": limit},
            )


def _recorded(index: int, event: Mapping[str, Any], action: FindingAction) -> Finding:
    rule = str(event.get("rule"))
    return Finding(
        rule,
        index,
        action,
        str(event.get("reason") or f"the rule {rule} said so"),
        verdict=str(event.get("verdict") or "deny"),
        figures={"subject": str(event.get("figures") or ""), **(event.get("figures") or {})},
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
