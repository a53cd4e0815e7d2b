"""Recorded calls under the live rule: the same call with the same result, and the counts that a budget limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from mas_guard.config import Policy
from mas_guard.diagnose._control import limit_action
from mas_guard.diagnose.findings import Finding, FindingAction
from mas_guard.diagnose.modes import STEP_REPETITION
from mas_guard.rules.repetition import RULE, SHORT_REPLY, RepetitionRule
from mas_guard.types import Call, CallOutcome, ModelCall, ToolCall, Verdict

_ACTIONS: dict[str, FindingAction] = {"redirect": "redirect", "block": "block", "stop": "stop"}


class _RecordedRun:
    """What the rule asks of a run, without one."""

    def __init__(self, run: str, policy: Policy) -> None:
        self.id = run
        self.policy = policy
        self.lock = threading.Lock()
        self.rule_state: dict[str, Any] = {}


class Calls:
    """Feeds calls to the repetition rule, and counts them against the run's budget."""

    def __init__(self, run: str, policy: Policy) -> None:
        self._policy = policy
        self._rule = RepetitionRule() if policy.rule_mode(RULE) != "off" else None
        self._run = _RecordedRun(run, policy)
        # Messages are judged apart from calls: what is in a record of messages is not all that the model was sent.
        self._exchanges = _RecordedRun(run, policy)
        self._spent = {"tokens": 0, "model_calls": 0, "tool_calls": 0}

    def forget_exchanges(self) -> None:
        """The next message answers something new, even where it is the same."""
        self._exchanges.rule_state.clear()

    def exchanged(self, event: int, agent: str, before: str, text: str) -> Iterator[Finding]:
        """*agent* answered the message *before* with *text*: a model call, as far as a record of messages shows it."""
        if self._rule is None or not before or len(text) < SHORT_REPLY:
            return
        call = ModelCall("", agent, last_message=before)
        verdict = self._rule.mas_guard_before_call(call, self._exchanges)
        self._rule.mas_guard_after_call(call, CallOutcome(text), self._exchanges)
        if verdict is not None:
            what = f"{agent} gave the same answer to the same message {verdict.figures['times']} times"
            yield _repetition(event, verdict, agent, what)

    def started(self, event: int, call: Call) -> Iterator[Finding]:
        """Judge *call* as the live rule does before it is made."""
        yield from self.spend(event, {f"{call.kind}_calls": 1})
        if self._rule is not None:
            verdict = self._rule.mas_guard_before_call(call, self._run)
            if verdict is not None:
                name = call.tool if isinstance(call, ToolCall) else f"model {call.model}"
                times = verdict.figures["times"]
                what = f"{call.agent or 'the agent'} made the same call of {name} {times} times with the same result"
                yield _repetition(event, verdict, f"{call.agent}, {name}", what)

    def ended(self, call: Call, outcome: CallOutcome) -> None:
        """Remember what *call* gave."""
        if self._rule is not None:
            self._rule.mas_guard_after_call(call, outcome, self._run)

    def spend(self, event: int, more: dict[str, int]) -> Iterator[Finding]:
        """Count *more* tokens, model calls or tool calls."""
        for unit, amount in more.items():
            self._spent[unit] += amount
            yield from over_budget(self._policy, event, unit, self._spent[unit])


def over_budget(policy: Policy, event: int, unit: str, used: int) -> Iterator[Finding]:
    """Find that *used* passes the run's limit of *unit*."""
    limit = getattr(policy.budget.limits, unit)
    if limit is None or used <= limit or policy.rule_mode("budget") == "off":
        return
    summary = f"the run came to {used:,} {unit.replace('_', ' ')}; the limit is {limit:,} (BUDGET__{unit.upper()})"
    if unit == "nano_usd":
        summary = f"the run came to {used / 1e9:.4f} USD; the limit is {limit / 1e9:.4f} (BUDGET__USD)"
    yield Finding(
        "budget",
        event,
        limit_action(policy),
        summary,
        verdict="deny",
        figures={"subject": unit, "unit": unit, "used": used, "limit": limit},
    )


def _repetition(event: int, verdict: Verdict, subject: str, what: str) -> Finding:
    return Finding(
        RULE,
        event,
        _ACTIONS[verdict.action],
        what,
        STEP_REPETITION,
        verdict.kind,
        {"subject": subject, **{name: verdict.figures[name] for name in ("times", "redirect", "block", "stop")}},
    )
