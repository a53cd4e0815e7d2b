"""What recorded runs needed: seven figures a run, kept in arrays, so that a million runs fit."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mas_guard.config import Policy
from mas_guard.prices import cost, model_facts, worst_cost
from mas_guard.types import NANO_USD_PER_USD, Usage

FIGURES = ("tokens", "model_calls", "tool_calls", "usd", "hops", "seconds", "repeats")

# A hold is larger than what is settled: the input is bounded by its bytes, and the output may take a quarter of what
# is left. A limit that is to refuse or cut nothing must leave this much before each call.
_INPUT_ROOM = 8  # times the input tokens: bytes per token, and the quarter for the output
_OUTPUT_ROOM = 4  # times the output tokens: the inverse of the quarter
_REQUEST_ROOM = 2_000  # tokens: names, roles and schemas that the bound counts and the provider does not


@dataclass(slots=True)
class _Open:
    """A run whose end has not been read yet."""

    settled: int = 0
    settled_nano: int = 0
    room: float = 0
    room_nano: float = 0
    would_stop: set[str] = field(default_factory=set)


class RecordedRuns:
    """Takes events and keeps the figures of runs that have finished.

    Attributes:
        figures: One array per figure, a place per run.
        needs: The `tokens` and `usd` that a limit must allow beside the owner's share, a place per run.
        statuses: How many runs ended in which way.
        ended_by: How many runs the guard ended, by rule.
        would_stop: How many runs enforce would have ended, by rule, as observe mode recorded it.
        unpriced: Models without a known price.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.figures = {name: array("d") for name in FIGURES}
        self.needs = {name: array("d") for name in ("tokens", "usd")}
        self._status: list[str] = []
        self._rule: list[str] = []
        self._row_of: dict[str, int] = {}
        self._open: dict[str, _Open] = {}
        self._suspended: set[str] = set()
        self.would_stop: dict[str, int] = {}
        self.unpriced: set[str] = set()

    @property
    def count(self) -> int:
        """Runs that have finished."""
        return len(self._status)

    @property
    def unfinished(self) -> int:
        """Runs with calls and no end in the records, those that wait for a human apart."""
        return len(set(self._open) - self._suspended)

    @property
    def suspended(self) -> int:
        """Runs that wait for a human."""
        return len(self._suspended)

    @property
    def statuses(self) -> dict[str, int]:
        """How many runs ended in which way."""
        return _counted(self._status)

    @property
    def ended_by(self) -> dict[str, int]:
        """How many runs the guard ended, by rule."""
        return _counted(rule for rule in self._rule if rule)

    def free_rows(self) -> list[int]:
        """The places of the runs that the guard did not end: what the others needed is not known."""
        return [row for row, rule in enumerate(self._rule) if not rule]

    def take(self, event: Mapping[str, Any]) -> str:
        """Take one event; returns what is wrong with it, or an empty string."""
        name, run = event["event"], event.get("run")
        if name not in ("call", "would_stop", "run_finished") or not run:
            return ""
        if not isinstance(run, str):
            return "the run's id is no text"
        try:
            if name == "call":
                self._call(self._opened(run), event)
            elif name == "would_stop":
                self._opened(run).would_stop.add(str(event.get("rule", "")))
            else:
                self._finished(run, event)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return f"a {name} whose figures cannot be read ({type(error).__name__}: {error})"
        return ""

    def _opened(self, run: str) -> _Open:
        found = self._open.get(run)
        if found is None:
            found = self._open[run] = _Open()
        return found

    def _call(self, run: _Open, event: Mapping[str, Any]) -> None:
        if event.get("kind") != "model" or event.get("cached"):
            return
        held = event.get("held")
        read, written = event.get("input_tokens"), event.get("output_tokens")
        if read is None or written is None:
            read, written = (int(held[0]) if held else 0), 0
        read, written = int(read), int(written)
        room = float(max(_INPUT_ROOM * read + _REQUEST_ROOM, _OUTPUT_ROOM * written))
        run.room = max(run.room, run.settled + room)
        run.settled += read + written
        facts = model_facts(str(event.get("model", "")), self._policy)
        paid = cost(facts, Usage(read, written))
        if paid is None:
            if len(self.unpriced) < 1_000:
                self.unpriced.add(str(event.get("model", "")))
            return
        widest = max(
            worst_cost(facts, _INPUT_ROOM * read + _REQUEST_ROOM, 0) or 0,
            worst_cost(facts, 0, _OUTPUT_ROOM * written) or 0,
        )
        run.room_nano = max(run.room_nano, run.settled_nano + widest)
        run.settled_nano += paid

    def _finished(self, run: str, event: Mapping[str, Any]) -> None:
        spent = event["spent"]
        row = {
            "tokens": float(spent["tokens"]),
            "model_calls": float(spent["model_calls"]),
            "tool_calls": float(spent["tool_calls"]),
            "usd": spent["nano_usd"] / NANO_USD_PER_USD,
            "hops": float(event["hops"]),
            "seconds": float(event["seconds"]),
            "repeats": float(event.get("repeats", 0)),
        }
        status, rule = str(event["status"]), str(event.get("rule", ""))
        if status == "suspended":
            self._opened(run)
            self._suspended.add(run)
            return
        self._suspended.discard(run)
        seen = self._open.pop(run, None) or _Open()
        needs = {
            "tokens": max(row["tokens"], seen.room),
            "usd": max(row["usd"], seen.room_nano / NANO_USD_PER_USD),
        }
        for rule_seen in seen.would_stop:
            self.would_stop[rule_seen] = self.would_stop.get(rule_seen, 0) + 1
        self._keep(run, row, needs, status, rule)

    def _keep(self, run: str, row: Mapping[str, float], needs: Mapping[str, float], status: str, rule: str) -> None:
        at = self._row_of.get(run)
        if at is None:
            for name, value in row.items():
                self.figures[name].append(value)
            for name, value in needs.items():
                self.needs[name].append(value)
            self._status.append(status)
            self._rule.append(rule)
            at = len(self._status) - 1
        else:  # it was stopped, topped up and resumed: the same run, with what it came to in the end
            for name, value in row.items():
                self.figures[name][at] = max(self.figures[name][at], value)
            for name, value in needs.items():
                self.needs[name][at] = max(self.needs[name][at], value)
            self._status[at], self._rule[at] = status, rule
        if status != "completed":
            self._row_of[run] = at


def _counted(values: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items(), key=lambda entry: -entry[1]))
