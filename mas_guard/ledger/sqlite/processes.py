"""Who uses the file: each process's number, and when it was last heard of."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable

SELDOM = 60.0  # seconds between two signs of life
WAITING = 2.0  # seconds between two while somebody waits: others pass over those whose process is gone


class Process:
    """This process in the file.

    Attributes:
        id: Its number; 0 before it has one.
    """

    def __init__(self) -> None:
        self.id = 0
        self._last = 0.0

    def due(self, now: float, *, waits: bool) -> bool:
        """True where a sign of life is due."""
        return not self.id or now - self._last >= (WAITING if waits else SELDOM)

    def sign(self, execute: Callable[..., sqlite3.Cursor], now: float, accounts: Iterable[int]) -> None:
        """Note that the process lives; where the file does not know it, also which accounts it has open."""
        self._last = now
        if self.id and execute("UPDATE mas_guard_ledger_processes SET seen = ? WHERE id = ?", (now, self.id)).rowcount:
            return
        number = self.id or None
        found = execute("INSERT INTO mas_guard_ledger_processes VALUES (?, ?, ?)", (number, os.getpid(), now))
        self.id = self.id or found.lastrowid or 0
        for account in accounts:
            execute(
                "INSERT OR IGNORE INTO mas_guard_ledger_openers "
                "SELECT id, ? FROM mas_guard_ledger_accounts WHERE id = ? AND closed = 0",
                (self.id, account),
            )
