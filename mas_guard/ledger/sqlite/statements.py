"""The statements of the usual path, written once for all units."""

from __future__ import annotations

from mas_guard.types import UNITS


def _four(template: str, joined: str = ", ") -> str:
    return joined.join(template.format(unit=unit, place=place + 1) for place, unit in enumerate(UNITS))


_ACCOUNT_FIELDS = (
    f"id, scope, waiting, {_four('limit_{unit}')}, {_four('settled_{unit}')}, {_four('held_{unit}')}, "
    f"sent_model_calls, sent_tool_calls, halted"
)

ACCOUNT = f"SELECT {_ACCOUNT_FIELDS} FROM mas_guard_ledger_accounts WHERE id = ? AND closed = 0"
"""An open account, for the arithmetic of refusals and of the queue."""

ANY_ACCOUNT = f"SELECT {_ACCOUNT_FIELDS} FROM mas_guard_ledger_accounts WHERE id = ?"

SPENT = f"SELECT {_four('limit_{unit}')}, {_four('settled_{unit}')} FROM mas_guard_ledger_accounts WHERE id = ? AND closed = 0"

SOONEST_LEASE = "SELECT min(ends) FROM mas_guard_ledger_holds WHERE state < 2"

BALANCE = (
    f"SELECT {_four('limit_{unit}')}, {_four('settled_{unit}')}, {_four('held_{unit}')}, {_four('crashed_{unit}')}, "
    f"breached, latest, ahead, ({SOONEST_LEASE}), halted "
    "FROM mas_guard_ledger_accounts, mas_guard_ledger WHERE id = ? AND closed = 0"
)
"""How an account stands, and what tells whether a lease has to be ended first."""

LATEST_BREACHES = "SELECT hold_id, unit, held, actual FROM mas_guard_ledger_breaches WHERE account = ? ORDER BY number"

HOLD_IF_IT_FITS = (
    "UPDATE mas_guard_ledger_accounts SET touched = ?10, "
    + _four("held_{unit} = held_{unit} + ?{place}")
    + " WHERE id = ?5 AND closed = 0 AND waiting = 0 AND halted <= ?11 AND "
    + " AND ".join(
        f"(?{place + 1} = 0 OR limit_{unit} IS NULL"
        f" OR settled_{unit} + held_{unit} + ?{place + 1} + ?{place + 6} <= limit_{unit})"
        for place, unit in enumerate(UNITS)
    )
)
"""Hold four amounts (1-4) on account 5 beside what is withheld there (6-9), at time 10, halted or not where 11 is 1. A unit that
is not asked for does not refuse: it may be overdrawn by a charge."""

NEW_HOLD = (
    "INSERT OR IGNORE INTO mas_guard_ledger_holds "
    f"(hold_id, first, levels, output, {', '.join(UNITS)}, ends, state, process) VALUES (?,?,?,?,?,?,?,?,?,0,?)"
)

HOLD = (
    f"SELECT hold_id, first, levels, output, {', '.join(UNITS)}, ends, state, late, breaches, a.closed, a.ended "
    "FROM mas_guard_ledger_holds h LEFT JOIN mas_guard_ledger_accounts a ON a.id = h.first "
)

BOOK = (
    "UPDATE mas_guard_ledger_accounts SET "
    + _four("held_{unit} = held_{unit} + ?{place}")
    + ", "
    + ", ".join(f"settled_{unit} = settled_{unit} + ?{place + 5}" for place, unit in enumerate(UNITS))
    + ", sent_model_calls = sent_model_calls + ?9, sent_tool_calls = sent_tool_calls + ?10"
    + ", touched = ?11, ended = ended + ?12 WHERE id = ?13"
)
"""Add to what is held (1-4), settled (5-8), sent (9, 10) at time 11, and to the holds that ended (12), on account 13."""

BOOK_CRASHED = (
    "UPDATE mas_guard_ledger_accounts SET " + _four("crashed_{unit} = crashed_{unit} + ?{place}") + " WHERE id = ?5"
)

END_HOLD = "UPDATE mas_guard_ledger_holds SET state = ?, ended = ?, late = ?, breaches = ? WHERE hold_id = ?"

ANYBODY_WAITS = "SELECT 1 FROM mas_guard_ledger_lines LIMIT 1"

NEW_ACCOUNT = (
    f"INSERT INTO mas_guard_ledger_accounts (scope, touched, {_four('limit_{unit}')}) VALUES (?, ?, ?, ?, ?, ?)"
)

SET_LIMITS = f"UPDATE mas_guard_ledger_accounts SET {_four('limit_{unit} = ?{place}')}, touched = ?5 WHERE id = ?6 AND closed = 0"

HALT = "UPDATE mas_guard_ledger_accounts SET halted = ?, touched = ? WHERE id = ? AND closed = 0"

LEASES = f"SELECT latest, ahead, ({SOONEST_LEASE}) FROM mas_guard_ledger"

_FOREIGN_WAITERS = "SELECT 1 FROM mas_guard_ledger_waiters WHERE process <> ?1"

QUEUE = (
    "SELECT EXISTS (SELECT 1 FROM mas_guard_ledger_waiters WHERE process = ?1 AND result IS NOT NULL), "
    "EXISTS (SELECT 1 FROM mas_guard_ledger_waiters w LEFT JOIN mas_guard_ledger_processes p ON p.id = w.process "
    "WHERE w.process <> ?1 AND coalesce(p.seen, -1e18) < ?2), "
    "EXISTS (SELECT 1 FROM mas_guard_ledger_holds WHERE state < 2 AND process <> ?1) "
    f"OR EXISTS ({_FOREIGN_WAITERS})"
)
"""For process 1: whether another one has answered one of its calls; whether one waits whose process was not heard of
since 2; whether others hold something, or wait."""

FORGET_CHARGES = (
    "DELETE FROM mas_guard_ledger_charges WHERE account = ?1 "
    "AND number <= (SELECT charged FROM mas_guard_ledger_accounts WHERE id = ?1) - ?2"
)

BALANCES = (
    f"SELECT id, scope, {_four('limit_{unit}')}, {_four('settled_{unit}')}, {_four('held_{unit}')}, "
    f"{_four('crashed_{unit}')}, halted FROM mas_guard_ledger_accounts "
    "WHERE id > ?1 AND closed = 0 AND substr(scope, 1, ?2) = ?3 ORDER BY id LIMIT ?4"
)

CRASHED_HOLDS = (
    f"SELECT hold_id, levels, {', '.join(UNITS)} FROM mas_guard_ledger_holds h JOIN mas_guard_ledger_accounts a "
    "ON a.id = h.first WHERE state = ? AND a.closed = 0 ORDER BY hold_id"
)
"""Looks through all that is remembered: for an operator."""
