"""A clock of active time: it stands still while a run is suspended."""

from __future__ import annotations

import time
from collections.abc import Callable


class ActiveClock:
    """Counts active seconds against an optional limit.

    Attributes:
        limit: Seconds of active time allowed; `None` for no limit.
    """

    __slots__ = ("_before", "_now", "_since", "limit")

    def __init__(self, limit: float | None, *, already: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._now = now
        self._before = already
        self._since: float | None = now()

    @property
    def elapsed(self) -> float:
        """Active seconds so far."""
        since = self._since
        return self._before if since is None else self._before + max(0.0, self._now() - since)

    def left(self, keep: float = 0.0) -> float | None:
        """Seconds left after *keep* seconds are set aside, never below zero; `None` without a limit."""
        if self.limit is None:
            return None
        return max(0.0, self.limit - keep - self.elapsed)

    def pause(self) -> None:
        """Stand still: the run is suspended, or a child's activation goes on."""
        self._before, self._since = self.elapsed, None

    def go_on(self) -> None:
        """Count again after a pause."""
        if self._since is None:
            self._since = self._now()
