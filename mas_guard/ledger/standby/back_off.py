"""When a lost store is tried again: so that many clients do not come back in one moment."""

from __future__ import annotations

import math
from collections.abc import Callable

FIRST_WINDOW = 0.1
"""Seconds: the first try comes at random within so much of the loss."""

LONGEST_WINDOW = 5.0
"""Seconds: each window is twice as long as the one before, up to this."""


class BackOff:
    """When to try again: at random within a window that doubles (full jitter), so that many clients come back apart."""

    def __init__(self, now: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._now, self._jitter = now, jitter
        self._failures = 0
        self._until = self._back_at = -math.inf

    def lost(self) -> None:
        """The store was lost. One that had only just come back is not tried as if it were the first time."""
        if self._now() - self._back_at > LONGEST_WINDOW:
            self._failures = 0
        self.failed()

    def failed(self) -> None:
        """A try has failed."""
        window = min(LONGEST_WINDOW, FIRST_WINDOW * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._until = self._now() + self._jitter() * window

    def back(self) -> None:
        """The store is back."""
        self._back_at = self._now()

    def left(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._until - self._now())
