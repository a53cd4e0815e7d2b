"""Re-plan, not retry: whoever gave a worker a task that failed is told what is known, and is to change something.

The same request to the same worker is refused once, with the brief; a changed one passes. How often in a row a worker
that keeps failing is asked anew is counted and capped. Only failures that are certain count: a result that is empty may
be a right one. (MAST FM-1.3, step repetition, where the step is a delegation.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mas_guard.hookspecs import hookimpl
from mas_guard.rules.arguments import hash_of
from mas_guard.types import Call, CallOutcome, Handoff, ToolCall, Verdict

if TYPE_CHECKING:
    from mas_guard._envelope_book import Settled

RULE = "replan"
LONGEST_LIST = 10  # names that are listed in a brief


class _Delegations:
    """What one run's agents have delegated: which requests failed, and how often a worker did in a row."""

    __slots__ = ("asked", "failed", "in_a_row")

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.failed: dict[Any, tuple[str, bool]] = {}
        self.in_a_row: dict[tuple[str, str], int] = {}


class ReplanRule:
    """Refuses a delegation that has just failed, once; and one more re-plan than `REPLAN_MAX`."""

    @hookimpl
    def mas_guard_before_call(self, call: Call, run: Any) -> Verdict | None:
        """Judge a tool call by what the same one brought."""
        # First what costs nothing: as long as no delegation has failed, no tool call is compared with any.
        if RULE not in run.rule_state or not isinstance(call, ToolCall) or call.is_handoff:
            return None
        return self._judge(run, ("call", call.agent, call.tool), hash_of(call.arguments), call.tool)

    @hookimpl
    def mas_guard_after_call(self, call: Call, outcome: CallOutcome, run: Any) -> None:
        """Remember what a delegation brought."""
        if not isinstance(call, ToolCall) or not call.worker:
            return
        settled = run.envelopes.latest.get(call.worker)
        self._remember(run, ("call", call.agent, call.tool), hash_of(call.arguments), call.worker, settled)

    @hookimpl
    def mas_guard_before_handoff(self, handoff: Handoff, run: Any) -> Verdict | None:
        """Judge a handoff by what its target brought."""
        if handoff.kind == "return" or not handoff.carries or len(handoff.targets) != 1 or handoff.problems:
            return None
        (target,) = handoff.targets
        route, content = ("handoff", handoff.source, target), hash(handoff.packet or handoff.content)
        before = _delegations_of(run).asked.get(f"{handoff.source} -> {target}")
        if before is not None:
            self._remember(run, route, before, target, run.envelopes.latest.get(target))
        verdict = self._judge(run, route, content, target)
        if verdict is None:
            with run.lock:
                _delegations_of(run).asked[f"{handoff.source} -> {target}"] = content
        return verdict

    def _remember(self, run: Any, route: Any, request: int, worker: str, settled: Settled | None) -> None:
        delegations = _delegations_of(run)
        failed = settled is not None and settled.envelope.status == "failed"
        certain = settled is not None and (settled.proven or run.policy.envelopes == "require")
        with run.lock:
            key = (route, request)
            if failed and certain:
                if key not in delegations.failed:
                    delegations.failed[key] = (worker, False)
                    delegations.in_a_row[route] = delegations.in_a_row.get(route, 0) + 1
            else:
                delegations.failed.pop(key, None)
                delegations.in_a_row.pop(route, None)

    def _judge(self, run: Any, route: Any, request: int, name: str) -> Verdict | None:
        state = run.rule_state.get(RULE)
        if state is None or not state.failed:
            return None
        with run.lock:
            failed = state.failed.get((route, request))
            times = state.in_a_row.get(route, 0)
            again = failed is not None and not failed[1]
            if failed is not None and again:
                state.failed[route, request] = (failed[0], True)
        limit = run.policy.replan_max
        if again and failed is not None:
            worker = failed[0]
            message = f"not delegated again: the same request to {name} has just failed. {brief(run, worker, times)}"
            reason = f"{route[1] or 'an agent'} asked {worker} for exactly what had just failed; it was told to change the plan."
            return Verdict("deny", RULE, "redirect", reason, message, None, {"worker": worker, "failures": times})
        if limit is not None and times > limit:
            message = (
                f"not delegated: {name} has failed {times} times in a row. Do without it: answer with what is known, "
                f"and say what is missing. {brief(run, name, times)}"
            )
            reason = f"{name} failed {times} times in a row; REPLAN_MAX={limit}. Mend the worker, or raise MAS_GUARD_REPLAN_MAX."
            return Verdict("deny", RULE, "block", reason, message, None, {"worker": name, "failures": times})
        return None


def brief(run: Any, worker: str, times: int) -> str:
    """What a plan is changed by: what failed and why, what was tried, what is not touched by it, what is left."""
    settled = run.envelopes.latest.get(worker)
    why = settled.envelope.reason if settled is not None and settled.envelope.reason else "no reason is known"
    good = [agent for agent, one in run.envelopes.latest.items() if one.envelope.status == "success"]
    left = run.unspent()
    figures = [
        f"{amount} {words}"
        for amount, words in (
            (left.model_calls, "model calls"),
            (left.tool_calls, "tool calls"),
            (left.tokens, "tokens"),
        )
        if amount is not None
    ]
    return (
        f"What failed: {worker} ({why}). Tried so far: {max(1, times)} requests. Not touched by it: "
        f"{', '.join(good[:LONGEST_LIST]) or 'nothing is known'}. Left: {', '.join(figures) or 'no limit is set'}. "
        "Change the plan: another request, another way, or an answer without it that says what is missing."
    )


def _delegations_of(run: Any) -> _Delegations:
    found = run.rule_state.get(RULE)
    if found is None:
        found = run.rule_state[RULE] = _Delegations()
    return found  # type: ignore[no-any-return]
