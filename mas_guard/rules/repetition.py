"""Repetition: the same agent makes the same call and gets the same result, again and again (MAST FM-1.3), or hands on
the same thing to the same agent.

Route, arguments and result count together, so that a polling tool whose answer changes, a supervisor that asks
its workers once each, or equal samples drawn in parallel are never touched. A call is a repeat only if it began
after the same agent had received the earlier equal call's result. A handoff is judged by route and content together;
one that carries nothing but control has no content, and the hop counter alone judges it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from mas_guard.errors import RepetitionDetected
from mas_guard.hookspecs import hookimpl
from mas_guard.rules.arguments import hash_of
from mas_guard.types import Call, CallOutcome, Handoff, ModelCall, ToolCall, Verdict

RULE = "repetition"
SHORT_REPLY = 60  # characters; shorter replies are routing lines and acknowledgements, not answers
REMEMBERED = 1024  # different calls per run; the oldest is forgotten, so that a long run stays small


@dataclass(slots=True)
class _Seen:
    """One call and how often it gave the same result in a row."""

    times: int = 0
    result: int = 0
    ended_at: int = 0
    replies: int = -1
    progress: int = 0


class _History:
    """What one run's agents have called. `tick` orders starts and ends; `replies` counts model replies, `progress`
    the tool results that an agent had never had before."""

    __slots__ = ("progress", "replies", "results", "seen", "started", "tick")

    def __init__(self) -> None:
        self.tick = 0
        self.seen: OrderedDict[Any, _Seen] = OrderedDict()
        self.replies: dict[str, int] = {}
        self.progress: dict[str, int] = {}
        self.results: OrderedDict[tuple[str, int], None] = OrderedDict()
        self.started: dict[int, tuple[int, Any]] = {}

    def entry(self, key: Any) -> _Seen:
        found = self.seen.get(key)
        if found is None:
            while len(self.seen) >= REMEMBERED:
                self.seen.popitem(last=False)
            found = self.seen[key] = _Seen()
        return found

    def note_result(self, agent: str, result: int) -> None:
        """Count *result* as progress of *agent* where it is new to it."""
        if (agent, result) in self.results:
            return
        while len(self.results) >= REMEMBERED:
            self.results.popitem(last=False)
        self.results[agent, result] = None
        self.progress[agent] = self.progress.get(agent, 0) + 1


class RepetitionRule:
    """Redirects the third equal call, blocks the fourth, stops the run at the sixth (all three are settings)."""

    @hookimpl
    def mas_guard_before_call(self, call: Call, run: Any) -> Verdict | None:
        """Judge *call* by how often its equals have given the same result."""
        if isinstance(call, ToolCall) and call.is_handoff:
            return None
        with run.lock:
            history = _history_of(run)
            history.tick += 1
            key = _key(call)
            history.started[id(call)] = history.tick, key
            entry = history.seen.get(key)
            if entry is None or not entry.times:
                return None
            if isinstance(call, ToolCall) and history.replies.get(call.agent, 0) <= entry.replies:
                return None  # the agent has not read the earlier result yet: not a repeat
            if isinstance(call, ToolCall) and history.progress.get(call.agent, 0) > entry.progress:
                # Something new came in between, as when tests run again after an edit: the count starts anew.
                entry.times = 1
            verdict = self._verdict(call, entry.times + 1, run)
            if verdict is not None and run.policy.rule_mode(RULE) == "enforce" and isinstance(call, ToolCall):
                # A call that is answered instead of made has no result of its own, yet it counts.
                entry.times += 1
                entry.replies = history.replies.get(call.agent, 0)
                history.started.pop(id(call), None)
            return verdict

    @hookimpl
    def mas_guard_after_call(self, call: Call, outcome: CallOutcome, run: Any) -> None:
        """Remember what *call* gave."""
        if isinstance(call, ToolCall) and call.is_handoff:
            return
        with run.lock:
            history = _history_of(run)
            started, key = history.started.pop(id(call), (0, None))
            if isinstance(call, ModelCall):
                if outcome.error is not None:
                    return
                history.replies[call.agent] = history.replies.get(call.agent, 0) + 1
                if outcome.tool_calls or len(outcome.text) < SHORT_REPLY:
                    return
            result = hash(outcome.text) if outcome.error is None else hash(repr(outcome.error))
            if isinstance(call, ToolCall):
                history.note_result(call.agent, result)
            entry = history.entry(key if key is not None else _key(call))
            if not entry.times or result != entry.result:
                entry.times, entry.result = 1, result
            elif started > entry.ended_at and (
                isinstance(call, ModelCall) or history.replies.get(call.agent, 0) > entry.replies
            ):
                entry.times += 1
            entry.progress = history.progress.get(call.agent, 0)
            history.tick += 1
            entry.ended_at = history.tick
            entry.replies = history.replies.get(call.agent, 0)

    @hookimpl
    def mas_guard_before_handoff(self, handoff: Handoff, run: Any) -> Verdict | None:
        """Judge a handoff by how often its equals were asked for since its source last learned something new."""
        refused = bool(handoff.problems) or not _all_known(handoff)
        if not (handoff.content or refused):
            return None
        with run.lock:
            history = _history_of(run)
            entry = history.entry(("handoff", handoff.source, handoff.targets, hash(handoff.content)))
            progress = history.progress.get(handoff.source, 0)
            times = 1 if progress > entry.progress else entry.times + 1
            entry.times, entry.progress = times, progress
        return self._handoff_verdict(handoff, times, refused, run)

    @staticmethod
    def _handoff_verdict(handoff: Handoff, times: int, refused: bool, run: Any) -> Verdict | None:
        limits = run.policy.repetition
        targets = ", ".join(handoff.targets)
        route = f"{handoff.source} -> {targets}"
        figures = {"call": route, "times": times, **limits_of(limits)}
        what = f"{route} was asked for {times} times with the same content"
        if limits.stop is not None and times >= limits.stop:
            reason = f"Run {run.id}: {what}; the limit is {limits.stop} (MAS_GUARD_REPETITION__STOP). Change the task."
            error = RepetitionDetected(reason, evidence=figures)
            message = "not transferred: the same was handed over too often, and this run ends"
            return Verdict("deny", RULE, "stop", reason, message, error, figures)
        if refused:
            return None  # it is refused for those, with a better reason
        if limits.block is not None and times >= limits.block:
            message = (
                f"blocked: this handoff to {targets} was made {times - 1} times with the same content and brought "
                "nothing new; it is not made again. Answer with what you have, or say what is missing."
            )
            return Verdict("deny", RULE, "block", f"{what} (MAS_GUARD_REPETITION__BLOCK).", message, None, figures)
        if limits.redirect is not None and times >= limits.redirect:
            message = (
                f"not transferred: {targets} has had this from you {times - 1} times already, with the same content. "
                "Do not repeat it: hand over something new, choose another agent, or answer with what you know."
            )
            return Verdict(
                "deny", RULE, "redirect", f"{what} (MAS_GUARD_REPETITION__REDIRECT).", message, None, figures
            )
        return None

    @staticmethod
    def _verdict(call: Call, times: int, run: Any) -> Verdict | None:
        limits = run.policy.repetition
        redirect, block, stop = limits.redirect, limits.block, limits.stop
        name = call.tool if isinstance(call, ToolCall) else f"model {call.model}"
        setting = "MAS_GUARD_REPETITION__STOP"
        if isinstance(call, ToolCall):
            setting = f"[tools.{call.tool}] repeat, or MAS_GUARD_POLL_TOOLS={call.tool}"
            allowance = run.policy.repeat_allowance(call.tool)
            if allowance is not None:
                more = max(0, allowance + 1 - (redirect or allowance + 1))
                redirect, block, stop = (limit and limit + more for limit in (redirect, block, stop))
        figures = {"call": name, "times": times, "redirect": redirect, "block": block, "stop": stop}
        what = f"{call.agent or 'The agent'} made the same call of {name} {times} times with the same result"
        if stop is not None and times >= stop:
            reason = f"Run {run.id}: {what}; the limit is {stop}. Change the task, or allow it with {setting}."
            return Verdict(
                "deny",
                RULE,
                "stop",
                reason,
                stop=RepetitionDetected(reason, evidence=figures),
                figures=figures,
            )
        if block is not None and times >= block:
            message = (
                f"blocked: {name} was called {times - 1} times with the same arguments and gave the same result; "
                "it is not called again. Use what you have, or answer with what is missing."
            )
            return Verdict("deny", RULE, "block", f"{what}; allow it with {setting}.", message, None, figures)
        if redirect is not None and times >= redirect:
            message = (
                f"not called: {name} has already given the same result {times - 1} times for the same arguments. "
                "Do not repeat it: change the arguments, use another tool, or answer with what you know. "
                f"(To allow repeats: {setting}.)"
            )
            return Verdict("deny", RULE, "redirect", f"{what}; allow it with {setting}.", message, None, figures)
        return None


def _history_of(run: Any) -> _History:
    found = run.rule_state.get(RULE)
    if found is None:
        found = run.rule_state[RULE] = _History()
    return found  # type: ignore[no-any-return]


def _all_known(handoff: Handoff) -> bool:
    return handoff.known_targets is None or handoff.known_targets.issuperset(handoff.targets)


def limits_of(limits: Any) -> dict[str, Any]:
    """The three limits, for the record."""
    return {"redirect": limits.redirect, "block": limits.block, "stop": limits.stop}


def _key(call: Call) -> Any:
    if isinstance(call, ModelCall):
        return ("model", call.agent, call.model, hash(call.last_message))
    return ("tool", call.agent, call.tool, hash_of(call.arguments))
