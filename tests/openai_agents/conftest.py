"""Each test starts and ends with an unguarded process, and sends no traces."""

from __future__ import annotations

import pytest

from tests.doubtful_results import judged, queue, refunds_need_a_person
from tests.fixtures import clock, guard, unguarded_process

__all__ = ["clock", "guard", "judged", "queue", "refunds_need_a_person", "unguarded_process"]


@pytest.fixture(autouse=True)
def no_traces_leave_the_machine() -> None:
    """The SDK would send its traces to the provider."""
    from agents import set_tracing_disabled

    set_tracing_disabled(True)
