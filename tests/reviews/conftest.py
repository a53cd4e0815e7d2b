"""Desks over both stores, on a wall clock that stands still unless a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.reviews import Desk, MemoryReviewStore, ReviewStore, SQLiteReviewStore, callables
from tests.clock import Clock

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


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ReviewStore:
    """Each kind of store in turn."""
    return MemoryReviewStore() if request.param == "memory" else SQLiteReviewStore(tmp_path / "reviews.db")


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
