"""What the records say to SQLite: each a statement that is whole by itself."""

from __future__ import annotations

STANDS = "SELECT version, made_at FROM mas_guard_records WHERE kind = ? AND key = ? AND until > ?"

MAKE = """
    INSERT INTO mas_guard_records (kind, key, version, made_at, written_at, until, value) VALUES (?1, ?2, 1, ?3, ?3, ?4, ?5)
    ON CONFLICT (kind, key) DO UPDATE SET
    version = 1, made_at = excluded.made_at, written_at = excluded.written_at, until = excluded.until,
    value = excluded.value
    WHERE until <= excluded.written_at
"""
"""Make a record, or take the place of one whose time is over."""

REPLACE = """
    UPDATE mas_guard_records SET version = version + 1, written_at = ?3, until = ?4, value = ?5
    WHERE kind = ?1 AND key = ?2 AND until > ?3 AND version = ?6 AND made_at = ?7
"""

DELETE = "DELETE FROM mas_guard_records WHERE kind = ?1 AND key = ?2 AND until > ?3 AND (?4 IS NULL OR version = ?4)"

GET = "SELECT key, value, version, made_at, written_at FROM mas_guard_records WHERE kind = ? AND key = ? AND until > ?"

PAGE = """
    SELECT key, value, version, made_at, written_at, number FROM mas_guard_records
    WHERE kind = ? AND until > ? AND (made_at, number) < (?, ?) ORDER BY made_at DESC, number DESC LIMIT ?
"""

KEYS = """
    SELECT key FROM mas_guard_records WHERE kind = ? AND key >= ? AND key < ? AND until > ?
    ORDER BY made_at DESC, number DESC
"""
