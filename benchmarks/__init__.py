"""Speed claims, as ratios of two things measured side by side in one run. `make bench` runs them all."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean


def fastest(seconds: Sequence[float]) -> float:
    """The mean of the fastest quarter of *seconds*: a busy machine only ever adds to a figure."""
    return mean(sorted(seconds)[: max(1, len(seconds) // 4)])
