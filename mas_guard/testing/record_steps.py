"""What the tests of record stores say and see: a clock, a store on it, and what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mas_guard.records import Record, RecordStore
from mas_guard.testing.ledger_steps import Clock

BEGINNING = 1_800_000_000.0  # what the clock shows, in seconds since the epoch, until it is moved


MakeStore = Callable[[Callable[[], float]], RecordStore]


def keys(records: Iterator[Record]) -> list[str]:
    """Their keys, in order."""
    return [record.key for record in records]


def written(record: Record | None) -> Record:
    """The record of a put that must have written."""
    assert record is not None, "the put was refused"
    return record


class RecordFixtures:
    """A store of its own for each test."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock of the store."""
        return Clock(BEGINNING)

    @pytest.fixture
    def store(self, make_store: MakeStore, clock: Clock) -> RecordStore:
        """A store without a record."""
        return make_store(clock)
