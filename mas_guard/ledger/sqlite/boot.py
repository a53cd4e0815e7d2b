"""Whether the machine was started anew since the file was last open.

A loss of power keeps what was synced: every reserve, but not every dispatch. So a hold from before the start may
have been sent, whatever the file says, and is charged as such; that spares the dispatch a sync of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from mas_guard.ledger.sqlite.accounts import HELD, SENT

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id(path: str = BOOT_ID) -> str:
    """Name this start of the machine; empty where the system does not."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def note_boot(execute: Callable[..., sqlite3.Cursor], boot: str, now: float) -> None:
    """Where the file is from before this start, let all leases end: their processes are gone."""
    (before,) = execute("SELECT boot FROM mas_guard_ledger").fetchone()
    if before == boot:
        return
    execute("UPDATE mas_guard_ledger SET boot = ?", (boot,))
    if not before or not boot:
        return
    rows = execute(
        "SELECT hold_id, levels, model_calls, tool_calls FROM mas_guard_ledger_holds WHERE state = ?", (HELD,)
    )
    for hold_id, levels, model_calls, tool_calls in rows.fetchall():
        execute("UPDATE mas_guard_ledger_holds SET state = ? WHERE hold_id = ?", (SENT, hold_id))
        for level in levels.split():
            execute(
                "UPDATE mas_guard_ledger_accounts SET sent_model_calls = sent_model_calls + ?, "
                "sent_tool_calls = sent_tool_calls + ? WHERE id = ?",
                (model_calls, tool_calls, int(level)),
            )
    execute("UPDATE mas_guard_ledger_holds SET ends = ? WHERE state = ?", (now, SENT))
