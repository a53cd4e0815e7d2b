"""The ledger in one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

from mas_guard.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
