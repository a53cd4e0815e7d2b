"""Remembers, in constant memory, what a process's runs came to: for the closing summary."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from mas_guard.hookspecs import hookimpl
from mas_guard.prices import model_facts
from mas_guard.types import ZERO, Amounts, Call, CallOutcome, Outcome

LINES = 20
"""Runs that are shown one by one; those that something ended come before those that completed."""

_SETTINGS = {
    "hops": "MAS_GUARD_MAX_HOPS",
    "deadline": "MAS_GUARD_DEADLINE",
    "repetition": "MAS_GUARD_REPETITION__STOP",
    "handoff": "[agents.NAME] targets",
    "ownership": "MAS_GUARD_OWNER",
}


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run of the summary.

    Attributes:
        number: The how-manieth run to end.
        name: The run's name, else the beginning of its id.
        status: completed, partial, escalated, aborted or suspended.
        hops: Hops made.
        spent: What was spent, per unit.
        unpriced: True where a model without a known price took part, so that the USD are too few.
        ended_by: What ended it, and the setting that changes it; empty for a run that completed.
    """

    number: int
    name: str
    status: str
    hops: int
    spent: Amounts
    unpriced: bool
    ended_by: str = ""


@dataclass(slots=True, eq=False)
class Recorder:
    """A plugin that listens to the ends of runs.

    Attributes:
        count: Runs that have ended.
        statuses: How many ended in which way.
        spent: What all of them spent together.
        unpriced_models: Models whose price nobody knows.
    """

    count: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    spent: Amounts = ZERO
    unpriced_models: set[str] = field(default_factory=set)
    _ended: list[RunLine] = field(default_factory=list)
    _completed: list[RunLine] = field(default_factory=list)
    _unpriced_runs: set[str] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """A forked child reports its own runs only."""
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self.count, self.spent, self._lock = 0, ZERO, threading.Lock()
        kept: tuple[Any, ...] = (self.statuses, self.unpriced_models, self._ended, self._completed)
        for collection in (*kept, self._unpriced_runs):
            collection.clear()

    @hookimpl
    def mas_guard_after_call(self, call: Call, outcome: CallOutcome, run: Any) -> None:
        """Note models without a price: their cost must not read as zero."""
        if call.kind != "model" or outcome.cached or outcome.usage.cost_nano_usd is not None:
            return
        if run.engine.plugins.has_price_hook or model_facts(call.model, run.policy).priced:
            return
        with self._lock:
            self._unpriced_runs.add(run.id)
            if len(self.unpriced_models) < LINES:
                self.unpriced_models.add(call.model)

    @hookimpl
    def mas_guard_run_finished(self, run: Any, outcome: Outcome) -> None:
        """Count the run, and keep its line while there is room."""
        status = "suspended" if run.suspended else outcome.status
        with self._lock:
            self.count += 1
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.spent = self.spent.plus(outcome.spent)
            unpriced = run.id in self._unpriced_runs
            self._unpriced_runs.discard(run.id)
            ended_by = "" if run.suspended else _ended_by(run, outcome)
            kept = self._ended if ended_by else self._completed
            if len(kept) < LINES:
                name = run.name or run.id[:12]
                kept.append(RunLine(self.count, name, status, outcome.hops, outcome.spent, unpriced, ended_by))

    def lines(self) -> list[RunLine]:
        """At most `LINES` runs, in the order in which they ended."""
        with self._lock:
            return sorted((self._ended + self._completed)[:LINES], key=lambda line: line.number)


def _ended_by(run: Any, outcome: Outcome) -> str:
    parts = []
    if outcome.status != "completed":
        setting = "" if "MAS_GUARD_" in outcome.reason else _SETTINGS.get(outcome.rule, "")
        reason = f"{outcome.rule}: {outcome.reason}" if outcome.rule else outcome.reason
        parts.append(f"{reason} (setting: {setting})" if setting else reason)
    if run.would_stop:
        settings = (f"{rule} ({_SETTINGS.get(rule, 'MAS_GUARD_BUDGET__…')})" for rule in sorted(run.would_stop))
        parts.append(f"observed only: enforce would have ended it by {', '.join(settings)}")
    return "; ".join(parts)
