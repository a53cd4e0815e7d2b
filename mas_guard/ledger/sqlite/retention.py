"""What is forgotten, a little with every transaction: the file neither grows with the runs that ended, nor does
anybody wait while it is cleaned up.

What belongs to a closed account goes first, then the account. An account that nobody closed (its process was
killed, or just exited) is closed here once it was not used for the retention and no process that has it open was
heard of in that time. Rows that were deleted leave room in the file for the next ones; the file keeps its size.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

A_LITTLE = 16  # rows that any transaction deletes while there is something to delete
MORE = 64  # rows that opening and closing an account delete: each run that ends makes room for the next
LOOKED_AT = 4  # accounts that are looked at with each one that is opened: more than come in

_DELETE = (
    "DELETE FROM mas_guard_ledger_holds WHERE hold_id IN "
    "(SELECT hold_id FROM mas_guard_ledger_holds WHERE state >= 2 AND first = ?1 LIMIT ?2)",
    *(
        f"DELETE FROM mas_guard_ledger_{table} WHERE account = ?1 AND {key} IN "
        f"(SELECT {key} FROM mas_guard_ledger_{table} WHERE account = ?1 LIMIT ?2)"
        for table, key in (("charges", "charge_id"), ("breaches", "number"), ("openers", "process"))
    ),
)


class Retention:
    """Deletes what is not needed any more.

    Args:
        seconds: How long an account is kept that nobody uses and nobody closed.

    Attributes:
        work_left: True where there is something to delete, as far as this process knows.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.work_left = True

    def delete(self, execute: Callable[..., sqlite3.Cursor], rows: int) -> None:
        """Delete at most about *rows* rows of closed accounts."""
        while rows > 0:
            found = execute("SELECT id FROM mas_guard_ledger_accounts WHERE closed = 1 LIMIT 1").fetchone()
            if found is None:
                self.work_left = False
                return
            for statement in _DELETE:
                rows -= execute(statement, (found[0], rows)).rowcount
                if rows <= 0:
                    self.work_left = True
                    return
            execute("DELETE FROM mas_guard_ledger_accounts WHERE id = ?", found)
            rows -= 1
        self.work_left = True

    def look(self, execute: Callable[..., sqlite3.Cursor], now: float) -> None:
        """Close the next few accounts that nobody uses; forget processes that were not heard of."""
        (last,) = execute("SELECT looked_at FROM mas_guard_ledger").fetchone()
        rows = execute(
            "SELECT id, touched, held_tokens OR held_model_calls OR held_tool_calls OR held_nano_usd OR waiting "
            "FROM mas_guard_ledger_accounts WHERE id > ? AND closed = 0 ORDER BY id LIMIT ?",
            (last, LOOKED_AT),
        ).fetchall()
        oldest = now - self._seconds
        for account_id, touched, busy in rows:
            if touched >= oldest or busy:
                execute(
                    "DELETE FROM mas_guard_ledger_openers WHERE account = ? "
                    "AND process NOT IN (SELECT id FROM mas_guard_ledger_processes)",
                    (account_id,),
                )
                continue
            seen = execute(
                "SELECT max(seen) FROM mas_guard_ledger_openers o JOIN mas_guard_ledger_processes p ON p.id = o.process "
                "WHERE account = ?",
                (account_id,),
            ).fetchone()[0]
            if seen is None or seen < oldest:
                execute("UPDATE mas_guard_ledger_accounts SET closed = 1 WHERE id = ?", (account_id,))
                self.work_left = True
        next_one = rows[-1][0] if len(rows) == LOOKED_AT else 0
        execute("UPDATE mas_guard_ledger SET looked_at = ?", (next_one,))
        if not next_one:
            execute("DELETE FROM mas_guard_ledger_processes WHERE seen < ?", (oldest,))
