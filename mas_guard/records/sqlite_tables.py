"""The records' tables in the store's SQLite file, their version, and how an older file becomes a newer one.

Names are our own throughout: the file holds the ledger, and perhaps an app's tables. A version that changes what a
column means gives the table another name, so that a process which has the older one in use fails and says so.
"""

from __future__ import annotations

import sqlite3

from mas_guard.errors import ConfigError
from mas_guard.ledger.sqlite.connection import Connections

FORGOTTEN_AT_ONCE = 4
"""Rows past their time that each write deletes: more than it adds, so that the file does not grow with what is over."""


def _forget_after(event: str) -> str:
    return f"""
        CREATE TRIGGER mas_guard_records_forget_after_{event.lower()} AFTER {event} ON mas_guard_records
        BEGIN
            DELETE FROM mas_guard_records WHERE number IN
            (SELECT number FROM mas_guard_records WHERE until <= NEW.written_at ORDER BY until LIMIT {FORGOTTEN_AT_ONCE});
        END
    """


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE mas_guard_records_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)",
        """
        CREATE TABLE mas_guard_records (
            number INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            key BLOB NOT NULL,         -- UTF-8, in which a name may hold what a TEXT does not take
            version INTEGER NOT NULL,
            made_at REAL NOT NULL,     -- seconds since the epoch, as are the next two
            written_at REAL NOT NULL,
            until REAL NOT NULL,       -- from when on it is forgotten
            value TEXT NOT NULL        -- JSON
        )
        """,
        "CREATE UNIQUE INDEX mas_guard_records_key ON mas_guard_records (kind, key)",
        "CREATE INDEX mas_guard_records_made ON mas_guard_records (kind, made_at)",
        "CREATE INDEX mas_guard_records_until ON mas_guard_records (until)",
        # In the statement that writes, and not in one of its own: so each write is one statement.
        _forget_after("INSERT"),
        _forget_after("UPDATE"),
    ),
)
"""What leads from each version to the next; the first makes a file without records one of version 1. Append, never
change."""


class RecordConnections(Connections):
    """Connections to the ledger's file that find the records in it."""

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        version, wanted = _version(connection), len(MIGRATIONS)
        if version > wanted:
            raise ConfigError(
                f"The records in {self.path} have version {version}, and this mas-guard knows versions up to {wanted}: "
                "a later mas-guard has written them. Update mas-guard here, or name another file in STORE.",
                source="STORE",
                key="STORE",
            )
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        if version < wanted:
            connection.execute("INSERT OR REPLACE INTO mas_guard_records_version VALUES (1, ?)", (wanted,))


def _version(connection: sqlite3.Connection) -> int:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'mas_guard_records_version'").fetchone()
    if there is None:
        return 0
    return int(connection.execute("SELECT version FROM mas_guard_records_version").fetchone()[0])
