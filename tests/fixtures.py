"""What the tests of more than one adapter start from."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import mas_guard
from mas_guard._engine import Engine
from tests.clock import Clock


@pytest.fixture(autouse=True)
def unguarded_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test inherits another's patches, nor the developer's settings."""
    for name in list(os.environ):
        if name.startswith("MAS_GUARD_") and not name.startswith("MAS_GUARD_TEST_"):
            monkeypatch.delenv(name)
    mas_guard.uninstrument()
    yield
    mas_guard.uninstrument()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> Iterator[mas_guard.Guard]:
    """A guard whose clock stands still unless the test moves it."""
    guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=clock))
    yield guard
    guard.uninstrument()
