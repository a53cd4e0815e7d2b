"""A ledger over a store that may be lost: what lives in this process alone goes on without it."""

from __future__ import annotations

from mas_guard.ledger.standby.ledger import StandbyLedger

__all__ = ["StandbyLedger"]
