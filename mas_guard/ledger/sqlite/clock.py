"""The ledger's time: what all processes that share the file measure leases by.

By default it is the system's monotonic clock, which every process of a machine reads alike, which no correction
of the wall clock moves, and which starts anew with the machine alone. Any other clock may jump. A jump ahead ends
leases early, which costs calls but no overspend; after a jump back, or a start of the machine, time goes on from
where it had been: so no lease gets longer. What time is ahead of the clock since then stands in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

_STORED_EVERY = 1.0  # seconds; a jump back by less than that may be missed by a process that did nothing meanwhile


class LedgerClock:
    """Reads the ledger's time.

    Args:
        clock: Seconds, the same for all processes of the machine; may jump.

    Attributes:
        time: The time of the transaction that is open.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.read = clock
        self.time = 0.0
        self._latest = float("-inf")

    def set(self, execute: Callable[..., sqlite3.Cursor], latest: float, ahead: float) -> None:
        """Set `time` inside a transaction that writes; *latest* and *ahead* are the file's."""
        before = max(latest, self._latest)  # before the clock is read, so that no other thread's reading is later
        now = self.read() + ahead
        if now < before:
            ahead += before - now
            now = before
            execute("UPDATE mas_guard_ledger SET latest = ?, ahead = ?", (now, ahead))
        elif now - latest >= _STORED_EVERY:
            execute("UPDATE mas_guard_ledger SET latest = ?", (now,))
        self.time = now
        self._latest = max(self._latest, now)

    def peek(self, latest: float, ahead: float) -> float | None:
        """The time as one who only reads sees it; `None` where the clock was set back, which must be written first."""
        before = max(latest, self._latest)
        now = self.read() + ahead
        if now < before:
            return None
        self._latest = max(self._latest, now)
        return now
