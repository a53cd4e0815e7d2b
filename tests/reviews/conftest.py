"""Desks over all stores, on a wall clock that stands still unless a test moves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.records import open_records
from mas_guard.reviews import (
    Desk,
    MemoryReviewStore,
    RecordReviewStore,
    ReviewStore,
    SQLiteReviewStore,
    callables,
    open_store,
)
from tests.clock import Clock
from tests.ledger.redis_server import RedisServer

BEGINNING = 1_800_000_000.0
FALLBACK = "We will get back to you."


@pytest.fixture(autouse=True)
def _no_function_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callables, "_registered", [])


@pytest.fixture
def clock() -> Clock:
    """The wall clock."""
    clock = Clock()
    clock.advance(BEGINNING)
    return clock


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for all tests; each has a prefix of its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "records", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ReviewStore:
    """Each kind of store in turn."""
    if request.param == "memory":
        return MemoryReviewStore()
    if request.param == "sqlite":
        return SQLiteReviewStore(tmp_path / "reviews.db")
    if request.param == "records":
        return RecordReviewStore(open_records(f"sqlite:///{tmp_path}/records.db"))
    server = request.getfixturevalue("redis_server")
    return open_store(f"{server.url}?prefix={os.urandom(8).hex()}")


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(clock: Clock, store: ReviewStore) -> MakeDesk:
    """Makes desks over the one store; settings of reviews by name."""

    def make(plugins: Any = None, *, over: ReviewStore | None = None, **settings: Any) -> Desk:
        review = {"channel": "queue", "fallback": FALLBACK, **settings}
        return Desk(policy_of(review=review), plugins, store=over if over is not None else store, now=clock)

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """A desk with the channel `queue`."""
    return make_desk()
