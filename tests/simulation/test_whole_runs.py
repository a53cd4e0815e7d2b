"""Whole runs, simulated: whatever the order, the faults and the cancellations, the promises hold at every step.

A failure names its seed. `MAS_GUARD_TEST_SEED=7` runs that one alone; `MAS_GUARD_TEST_SEEDS=20000` widens the range.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.simulation.app import App
from tests.simulation.world import World

PARTS = 10  # so that the seeds spread over the workers, and a failure stops one part alone


def seeds(part: int) -> Iterable[int]:
    only = os.environ.get("MAS_GUARD_TEST_SEED")
    if only is not None:
        return [int(only)] if part == 0 else []
    return range(part, int(os.environ.get("MAS_GUARD_TEST_SEEDS", "500")), PARTS)


@pytest.mark.parametrize("part", range(PARTS))
def test_budgets_hops_and_latches_hold_at_every_step(part: int) -> None:
    for seed in seeds(part):
        world = World(seed)
        try:
            App(world).run()
        except Exception as error:
            raise AssertionError(f"MAS_GUARD_TEST_SEED={seed}: {error}\n" + "\n".join(world.books.events)) from error
