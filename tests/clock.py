"""The guard's time, moved by a test."""

from __future__ import annotations


class Clock:
    """Stands still unless it is moved; in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
