"""The counting store keeps the ledger contract: it supplies a factory, and nothing else."""

from __future__ import annotations

import pytest
from counting_store import CountingLedger

from mas_guard.testing.ledger_contract import LedgerContract, MakeLedger


class TestCountingLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self) -> MakeLedger:
        return lambda clock: CountingLedger(clock=clock)
