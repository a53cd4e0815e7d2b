"""Budgets as accounts: reserve before a call is sent, settle or release after it."""

from __future__ import annotations

from mas_guard.ledger.base import (
    REMEMBERED_BREACHES,
    REMEMBERED_IDS,
    UNDISPATCHED_LEASE,
    Account,
    AccountLost,
    Ask,
    Balance,
    Breach,
    CrashedHold,
    Grant,
    Ledger,
    Refusal,
    Settlement,
    Ticket,
)
from mas_guard.ledger.memory import MemoryLedger

__all__ = [
    "REMEMBERED_BREACHES",
    "REMEMBERED_IDS",
    "UNDISPATCHED_LEASE",
    "Account",
    "AccountLost",
    "Ask",
    "Balance",
    "Breach",
    "CrashedHold",
    "Grant",
    "Ledger",
    "MemoryLedger",
    "Refusal",
    "Settlement",
    "Ticket",
]
