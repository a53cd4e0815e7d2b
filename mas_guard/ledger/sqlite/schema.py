"""The tables, their version, and how an older file becomes a newer one.

Names are our own throughout, because the file may hold an app's tables, or other records of ours; so the version
stands in a table and not in the file's header.

Money and counts are integers. What is kept twice (`held_…` is the sum over the live holds) is written in one
transaction. The database refuses overspend itself: whatever a process tries, `held_…` never rises past a limit.
"""

from __future__ import annotations

import random
import sqlite3

from mas_guard.errors import ConfigError
from mas_guard.types import UNITS

_FIRST_ID = 1 << 40
"""Ids of accounts begin at a random number up to this: a handle from a file that was deleted since never names
another account in the new one."""


def _four(template: str, joined: str = ", ") -> str:
    return joined.join(template.format(unit=unit) for unit in UNITS)


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE mas_guard_ledger (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            version INTEGER NOT NULL,
            boot TEXT NOT NULL,      -- of the machine, when the file was last opened
            latest REAL NOT NULL,    -- the ledger's time, at most a second old
            ahead REAL NOT NULL,     -- what the ledger's time is ahead of the clock, because that was set back
            looked_at INTEGER NOT NULL  -- the account that was last looked at for retention
        )
        """,
        f"""
        CREATE TABLE mas_guard_ledger_accounts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            scope TEXT NOT NULL,
            closed INTEGER NOT NULL DEFAULT 0,
            touched REAL NOT NULL,
            waiting INTEGER NOT NULL DEFAULT 0,    -- asks in the queue that name this account
            ended INTEGER NOT NULL DEFAULT 0,      -- holds that ended, over all time
            forgotten INTEGER NOT NULL DEFAULT 0,  -- of them those that are no longer remembered
            charged INTEGER NOT NULL DEFAULT 0,
            breached INTEGER NOT NULL DEFAULT 0,
            {_four("limit_{unit} INTEGER")},
            {_four("settled_{unit} INTEGER NOT NULL DEFAULT 0")},
            {_four("held_{unit} INTEGER NOT NULL DEFAULT 0 CHECK (held_{unit} >= 0)")},
            {_four("crashed_{unit} INTEGER NOT NULL DEFAULT 0")},
            sent_model_calls INTEGER NOT NULL DEFAULT 0,
            sent_tool_calls INTEGER NOT NULL DEFAULT 0
        )
        """,
        "CREATE UNIQUE INDEX mas_guard_ledger_open_scopes ON mas_guard_ledger_accounts (scope) WHERE closed = 0",
        "CREATE INDEX mas_guard_ledger_closed ON mas_guard_ledger_accounts (id) WHERE closed = 1",
        f"""
        CREATE TRIGGER mas_guard_ledger_no_overspend
        BEFORE UPDATE OF {_four("held_{unit}")} ON mas_guard_ledger_accounts
        WHEN {
            _four(
                "(NEW.held_{unit} > OLD.held_{unit} AND NEW.settled_{unit} + NEW.held_{unit} > NEW.limit_{unit})",
                " OR ",
            )
        }
        BEGIN SELECT RAISE(ABORT, 'mas-guard: this hold would pass the limit of its account'); END
        """,
        """
        CREATE TABLE mas_guard_ledger_holds (
            hold_id TEXT PRIMARY KEY,
            first INTEGER NOT NULL,  -- the account that remembers it
            levels TEXT NOT NULL,    -- the ids of all its accounts, the first one first
            output INTEGER NOT NULL,
            tokens INTEGER NOT NULL,
            model_calls INTEGER NOT NULL,
            tool_calls INTEGER NOT NULL,
            nano_usd INTEGER NOT NULL,
            ends REAL NOT NULL,      -- when its lease ends
            state INTEGER NOT NULL,  -- see `holds.py`
            process INTEGER NOT NULL,
            ended INTEGER,           -- its number among those that ended on the first account
            late INTEGER NOT NULL DEFAULT 0,
            breaches TEXT NOT NULL DEFAULT ''
        ) WITHOUT ROWID
        """,
        "CREATE INDEX mas_guard_ledger_leases ON mas_guard_ledger_holds (ends) WHERE state < 2",
        "CREATE INDEX mas_guard_ledger_remembered ON mas_guard_ledger_holds (first, ended) WHERE state >= 2",
        """
        CREATE TABLE mas_guard_ledger_charges (
            account INTEGER NOT NULL, charge_id TEXT NOT NULL, number INTEGER NOT NULL,
            PRIMARY KEY (account, charge_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX mas_guard_ledger_charge_order ON mas_guard_ledger_charges (account, number)",
        """
        CREATE TABLE mas_guard_ledger_breaches (
            account INTEGER NOT NULL, number INTEGER NOT NULL,
            hold_id TEXT NOT NULL, unit INTEGER NOT NULL, held INTEGER NOT NULL, actual INTEGER NOT NULL,
            PRIMARY KEY (account, number)
        ) WITHOUT ROWID
        """,
        # Who has an account open. It is forgotten when the last of them closes it.
        """
        CREATE TABLE mas_guard_ledger_openers (
            account INTEGER NOT NULL, process INTEGER NOT NULL, PRIMARY KEY (account, process)
        ) WITHOUT ROWID
        """,
        "CREATE TABLE mas_guard_ledger_processes (id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER, seen REAL NOT NULL)",
        # The queue, over all processes. `result` is for a process that was answered by another one.
        """
        CREATE TABLE mas_guard_ledger_waiters (
            arrival INTEGER PRIMARY KEY AUTOINCREMENT,
            process INTEGER NOT NULL, ask TEXT NOT NULL, result TEXT
        )
        """,
        "CREATE INDEX mas_guard_ledger_waiters_of ON mas_guard_ledger_waiters (process)",
        """
        CREATE TABLE mas_guard_ledger_lines (
            account INTEGER NOT NULL, line INTEGER NOT NULL, arrival INTEGER NOT NULL,
            PRIMARY KEY (account, line, arrival)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX mas_guard_ledger_lines_of ON mas_guard_ledger_lines (arrival)",
        """
        CREATE TABLE mas_guard_ledger_inside (
            arrival INTEGER NOT NULL, hold_id TEXT NOT NULL, PRIMARY KEY (arrival, hold_id)
        ) WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE mas_guard_ledger_accounts ADD COLUMN halted INTEGER NOT NULL DEFAULT 0",
        # What an ask says of halted accounts is its last field.
        "UPDATE mas_guard_ledger_waiters SET ask = substr(ask, 1, length(ask) - 1) || ', false]'",
    ),
)
"""What leads from each version to the next; the first makes an empty file one of version 1. Append, never change."""


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables, or bring older ones up to this version, in one transaction that must be open already.

    Raises:
        ConfigError: The file was written by a later mas-guard.
    """
    version = _version(connection)
    wanted = len(MIGRATIONS)
    if version > wanted:
        raise ConfigError(
            f"The ledger in {path} has version {version}, and this mas-guard knows versions up to {wanted}: a later "
            "mas-guard has written it. Update mas-guard here, or name another file in STORE.",
            source="STORE",
            key="STORE",
        )
    for step in MIGRATIONS[version:]:
        for statement in step:
            connection.execute(statement)
    if not version:
        connection.execute("INSERT INTO mas_guard_ledger VALUES (1, ?, '', -1e18, 0, 0)", (wanted,))
        connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('mas_guard_ledger_accounts', ?)",
            (random.SystemRandom().randrange(_FIRST_ID),),
        )
    elif version < wanted:
        connection.execute("UPDATE mas_guard_ledger SET version = ?", (wanted,))


def _version(connection: sqlite3.Connection) -> int:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'mas_guard_ledger'").fetchone()
    if there is None:
        return 0
    found = connection.execute("SELECT version FROM mas_guard_ledger").fetchone()
    return int(found[0])
