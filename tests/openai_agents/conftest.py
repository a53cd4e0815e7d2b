"""Each test starts and ends with an unguarded process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import mas_guard


@pytest.fixture(autouse=True)
def unguarded_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test inherits another's patches, nor the developer's settings."""
    for name in list(os.environ):
        if name.startswith("MAS_GUARD_") and not name.startswith("MAS_GUARD_TEST_"):
            monkeypatch.delenv(name)
    mas_guard.uninstrument()
    yield
    mas_guard.uninstrument()


@pytest.fixture(autouse=True)
def no_traces_leave_the_machine() -> None:
    """The SDK would send its traces to the provider."""
    from agents import set_tracing_disabled

    set_tracing_disabled(True)
