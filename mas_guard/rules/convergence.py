"""Convergence: a declared loop ends when it is done, when its rounds are used up, or when they bring nothing new.

A round of a planner or manager is asking and getting something back. What came back is compared with all that came before it: changed numbers and new facts are progress, other words for the same are none.
(MAST FM-1.5, unaware of termination conditions.)
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from mas_guard.errors import ConfigError, NotConverging
from mas_guard.hookspecs import hookimpl
from mas_guard.similarity import Sketch, made_progress, sketch, together
from mas_guard.types import Call, CallOutcome, ModelCall, Verdict

RULE = "convergence"
LONGEST_JSON = 100_000  # characters that are parsed for the field of `done_when`


class _Rounds:
    """The rounds of one loop so far."""

    __slots__ = ("came", "done", "idle", "rounds", "seen")

    def __init__(self) -> None:
        self.came: list[str] = []
        self.seen: Sketch | None = None
        self.rounds = 0
        self.idle = 0
        self.done = False


class ConvergenceRule:
    """Ends the loops of agents that are declared ones."""

    @hookimpl
    def mas_guard_after_call(self, call: Call, outcome: CallOutcome, run: Any) -> None:
        """Take in what comes back to a loop: its own tools' results, and other agents' answers."""
        if outcome.error is not None or not outcome.text:
            return
        for name, settings in run.policy.agents.items():
            if not settings.loop:
                continue
            own_tool = call.kind == "tool" and call.agent == name
            others_answer = call.kind == "model" and call.agent not in ("", name) and not outcome.tool_calls
            if own_tool or others_answer:
                with run.lock:
                    _rounds_of(run, name).came.append(outcome.text)

    @hookimpl
    def mas_guard_before_call(self, call: Call, run: Any) -> Verdict | None:
        """Judge a loop's next round by the last ones."""
        if not isinstance(call, ModelCall):
            return None
        settings = run.policy.agents.get(call.agent)
        if settings is None or not settings.loop:
            return None
        with run.lock:
            rounds = _rounds_of(run, call.agent)
            came, rounds.came = rounds.came, []
        if not came:
            return None
        if settings.done_when is not None and any(is_done(settings.done_when, text) for text in came):
            rounds.done = True
            return _done(call.agent, settings.done_when)
        # Pieces that came twice, such as an agent's answer and the tool's result that holds it, count once.
        now = sketch("\n".join(dict.fromkeys(came)))
        rounds.rounds += 1
        if rounds.seen is not None:
            rounds.idle = 0 if made_progress(rounds.seen, now) else rounds.idle + 1
        rounds.seen = now if rounds.seen is None else together(rounds.seen, now)
        if settings.patience is not None and rounds.idle >= settings.patience:
            what = f"its last {rounds.idle} rounds brought nothing new; its patience is {settings.patience}"
            return _stop(run, call.agent, what, f"raise [agents.{call.agent}] patience", rounds)
        if settings.max_rounds is not None and rounds.rounds >= settings.max_rounds:
            what = f"it has used its {settings.max_rounds} rounds"
            return _stop(run, call.agent, what, f"raise [agents.{call.agent}] max_rounds", rounds)
        return None


def is_done(done_when: str, text: str) -> bool:
    """True where *text* meets the criterion: a function says so, or the field of that name is true in it.

    Raises:
        ConfigError: Where the function cannot be imported.
    """
    if ":" in done_when:
        return bool(_function(done_when)(text))
    if len(text) > LONGEST_JSON:
        return False
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get(done_when) in (True, "true", "yes", "approved", "done")


def _function(path: str) -> Callable[[str], object]:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"done_when = {path!r} cannot be imported: {error}. Give module:function, or the name of a field.",
            source="done_when",
            key="AGENTS__*__DONE_WHEN",
        ) from error


def _done(agent: str, done_when: str) -> Verdict:
    message = (
        f"[mas-guard] The criterion that ends this loop is met ({done_when}): give your final answer now, and ask for "
        "nothing more."
    )
    reason = f"{agent}'s loop is done ({done_when}); it was told to conclude."
    return Verdict("deny", RULE, "redirect", reason, message, None, {"agent": agent})


def _stop(run: Any, agent: str, what: str, step: str, rounds: _Rounds) -> Verdict:
    figures = {"agent": agent, "rounds": rounds.rounds, "idle": rounds.idle}
    reason = f"Run {run.id}: the loop of {agent!r} ends after {rounds.rounds} rounds: {what}. Conclude, or {step}."
    error = NotConverging(reason, agent=agent, rounds=rounds.rounds, idle=rounds.idle)
    return Verdict("deny", RULE, "stop", reason, "", error, figures)


def _rounds_of(run: Any, agent: str) -> _Rounds:
    return run.rule_state.setdefault(RULE, {}).setdefault(agent, _Rounds())  # type: ignore[no-any-return]
