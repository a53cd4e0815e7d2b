"""The SQLite ledger under whatever may happen to it, held against a plain model after every step.

`MAS_GUARD_TEST_LEDGER_STEPS=200000` runs more steps, over stories that are new each time.
"""

from __future__ import annotations

import os
from itertools import count

import pytest

from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.testing.ledger_machine import run_ledger_machine
from tests.ledger import sqlite_fixtures
from tests.ledger.many_processes import ManyProcesses

no_syncs = sqlite_fixtures.no_syncs


DEFAULT_STEPS = 3_000
STEPS = int(os.environ.get("MAS_GUARD_TEST_LEDGER_STEPS", DEFAULT_STEPS))

pytestmark = pytest.mark.usefixtures("no_syncs")


def _stories(folder):
    numbers = count()
    return lambda clock: SqliteLedger(folder / f"{next(numbers)}.db", clock=clock)


def test_no_level_is_ever_overspent_and_nothing_leaks(tmp_path):
    done = run_ledger_machine(_stories(tmp_path), steps=STEPS, repeatable=STEPS == DEFAULT_STEPS)
    assert done >= STEPS


def test_the_truth_is_booked_when_calls_use_more_than_they_hold(tmp_path):
    run_ledger_machine(_stories(tmp_path), steps=STEPS // 5, breaches=True, repeatable=STEPS == DEFAULT_STEPS)


def test_several_processes_keep_one_ledger_and_one_queue(tmp_path):
    make_ledger = _stories(tmp_path)

    def several(clock):
        path = make_ledger(clock).path
        return ManyProcesses(lambda: SqliteLedger(path, clock=clock))

    run_ledger_machine(several, steps=STEPS // 4, repeatable=STEPS == DEFAULT_STEPS)
