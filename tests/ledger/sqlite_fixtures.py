"""A ledger in a file, what its connection is told, and a disk that is left alone where durability is not asked."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from mas_guard.ledger.sqlite import SqliteLedger, transactions
from mas_guard.testing.ledger_steps import Clock
from mas_guard.types import Limits


@pytest.fixture
def no_syncs(monkeypatch):
    """Let every commit count as done once the system has it."""
    monkeypatch.setattr(transactions, "SYNCED", "OFF")
    monkeypatch.setattr(transactions, "UNSYNCED", "OFF")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(path, clock):
    return SqliteLedger(path, clock=clock)


def rows(path, question, *values):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, values).fetchall()


@pytest.fixture
def statements(ledger):
    """What the ledger's connection is told, once it is open."""
    ledger.open("before", Limits())
    said: list[str] = []
    ledger._connections.writer().set_trace_callback(said.append)
    return said
