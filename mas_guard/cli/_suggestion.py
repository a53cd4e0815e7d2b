"""From the figures of recorded runs to limits that would have ended none of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mas_guard.cli._recorded_runs import FIGURES, RecordedRuns
from mas_guard.config import policy_of
from mas_guard.config.table import BY_KEY
from mas_guard.config.writing import written

KEYS = {
    "tokens": "BUDGET__TOKENS",
    "model_calls": "BUDGET__MODEL_CALLS",
    "tool_calls": "BUDGET__TOOL_CALLS",
    "usd": "BUDGET__USD",
    "hops": "MAX_HOPS",
    "seconds": "DEADLINE",
    "repeats": "REPETITION__STOP",
}
COUNT_MARGIN = 1.25  # of calls and hops
SPEND_MARGIN = 1.1  # of tokens and USD, on top of the room that holds need
TIME_MARGIN = 2.0  # of seconds: another machine, a slow afternoon
SHORTEST_DEADLINE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class LimitReport:
    """One limit over all recorded runs.

    Attributes:
        figure: What is measured, one of `FIGURES`.
        p50, p95, p99, most: Percentiles by nearest rank, and the maximum.
        default: The default as it is written.
        ended_by_default: How many runs the default would have ended.
        suggested: The limit as it is written; empty where the default may stay or nothing can be said.
    """

    figure: str
    p50: float
    p95: float
    p99: float
    most: float
    default: str
    ended_by_default: int
    suggested: str

    @property
    def key(self) -> str:
        """The setting."""
        return KEYS[self.figure]


def limit_reports(runs: RecordedRuns) -> list[LimitReport]:
    """One report per limit."""
    defaults = policy_of()
    free = runs.free_rows()
    reports = []
    for name in FIGURES:
        values = sorted(runs.figures[name])
        default = defaults.values[KEYS[name]]
        reports.append(
            LimitReport(
                name,
                percentile(values, 50),
                percentile(values, 95),
                percentile(values, 99),
                values[-1],
                written(default, BY_KEY[KEYS[name]]),
                sum(_ended(name, value, default) for value in values),
                _suggested(name, runs, free, float(defaults.owner_reserve)),
            )
        )
    return reports


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted *values*: always one of them."""
    return values[max(0, math.ceil(share / 100 * len(values)) - 1)]


def _ended(name: str, value: float, default: Any) -> bool:
    if default is None:
        return False
    return value >= default if name == "repeats" else value > float(default)


def _suggested(name: str, runs: RecordedRuns, free: Sequence[int], kept: float) -> str:
    """The limit as it is written. *kept* is the owner's share, which ordinary calls may not touch."""
    if not free:
        return ""
    source = runs.needs.get(name, runs.figures[name])
    most = max(source[row] for row in free)
    if name == "usd" and (runs.unpriced or not max(runs.figures["usd"][row] for row in free)):
        return ""
    if name == "repeats":
        return str(int(most) + 2) if most + 1 >= _default_stop() else ""
    if not most:
        return ""
    if name == "hops":
        return str(max(int(most) + 1, math.ceil(most * COUNT_MARGIN)))
    if name == "model_calls":
        return str(math.ceil(most * COUNT_MARGIN) + 1)  # one call is kept for the owner
    if name == "tool_calls":
        return str(math.ceil(most * COUNT_MARGIN / (1 - kept)) + 1)
    if name == "seconds":
        return _duration(max(SHORTEST_DEADLINE, most * TIME_MARGIN / (1 - kept)))
    ample = most * SPEND_MARGIN / (1 - kept)
    return str(int(round_up(ample))) if name == "tokens" else _money(ample)


def _default_stop() -> int:
    return int(BY_KEY["REPETITION__STOP"].default)


def round_up(value: float) -> float:
    """*value* rounded up to two significant digits."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / step - 1e-9) * step


def _money(usd: float) -> str:
    digits = max(2, 1 - math.floor(math.log10(usd)))
    return f"{round_up(usd):.{digits}f}"


def _duration(seconds: float) -> str:
    if seconds <= 600:
        return f"{math.ceil(seconds / 10) * 10}s"
    return f"{math.ceil(seconds / 60)}m"


def as_environment(reports: Sequence[LimitReport]) -> list[str]:
    """The suggested settings as variables."""
    return [f"{BY_KEY[report.key].variable}={report.suggested}" for report in reports if report.suggested]


def as_toml(reports: Sequence[LimitReport]) -> list[str]:
    """The suggested settings as lines of mas-guard.toml."""
    plain: list[str] = []
    tables: dict[str, list[str]] = {}
    for report in reports:
        if report.suggested:
            *group, name = report.key.lower().split("__")
            value = f'"{report.suggested}"' if report.figure == "seconds" else report.suggested
            (tables.setdefault(group[0], []) if group else plain).append(f"{name} = {value}")
    for table, lines in tables.items():
        plain += ["", f"[{table}]", *lines]
    return plain[1:] if plain and not plain[0] else plain
