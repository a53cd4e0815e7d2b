"""The SQLite ledger keeps the contract, and what only this store promises."""

from __future__ import annotations

from itertools import count

import pytest

from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.testing.ledger_contract import LedgerContract, MakeLedger
from tests.ledger import sqlite_fixtures
from tests.ledger.many_processes import ManyProcesses

no_syncs = sqlite_fixtures.no_syncs


pytestmark = pytest.mark.usefixtures("no_syncs")


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self, tmp_path) -> MakeLedger:
        numbers = count()
        return lambda clock: SqliteLedger(tmp_path / f"ledger-{next(numbers)}.db", clock=clock)

    @pytest.fixture
    def elsewhere(self, ledger, clock) -> SqliteLedger:
        return SqliteLedger(ledger.path, clock=clock)


class TestSqliteLedgerOfSeveralProcesses(LedgerContract):
    @pytest.fixture
    def make_ledger(self, tmp_path) -> MakeLedger:
        return lambda clock: ManyProcesses(lambda: SqliteLedger(tmp_path / "ledger.db", clock=clock))
