"""The memory ledger under whatever may happen to it, held against a plain model after every step.

`MAS_GUARD_TEST_LEDGER_STEPS=200000` runs more steps, over stories that are new each time.
"""

from __future__ import annotations

import os

from mas_guard.ledger import MemoryLedger
from mas_guard.testing.ledger_machine import run_ledger_machine

DEFAULT_STEPS = 20_000
STEPS = int(os.environ.get("MAS_GUARD_TEST_LEDGER_STEPS", DEFAULT_STEPS))


def _make_ledger(clock):
    return MemoryLedger(clock=clock)


def test_no_level_is_ever_overspent_and_nothing_leaks():
    done = run_ledger_machine(_make_ledger, steps=STEPS, repeatable=STEPS == DEFAULT_STEPS)
    assert done >= STEPS


def test_the_truth_is_booked_when_calls_use_more_than_they_hold():
    run_ledger_machine(_make_ledger, steps=STEPS // 5, breaches=True, repeatable=STEPS == DEFAULT_STEPS)
