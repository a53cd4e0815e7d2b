"""The Redis ledger keeps the contract where its calls are awaited, state machine included.

`MAS_GUARD_TEST_LEDGER_STEPS=200000` runs more steps of the state machine, over stories that are new each time.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from mas_guard.testing.ledger_contract import LedgerContract, MakeLedger
from mas_guard.testing.ledger_machine import run_ledger_machine
from tests.ledger.redis_server import RedisServer

pytest.importorskip("redis", reason="the Redis store needs redis-py")

DEFAULT_STEPS = 2_000
STEPS = int(os.environ.get("MAS_GUARD_TEST_LEDGER_STEPS", DEFAULT_STEPS))

_in_task: ContextVar[bool] = ContextVar("in_task", default=False)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def awaited(loop):
    """Makes ledgers on books of their own whose usual calls are awaited by tasks of *loop*."""
    from mas_guard.ledger.redis import RedisLedger

    class InTasks(RedisLedger):
        def reserve(self, ask):
            return super().reserve(ask) if _in_task.get() else self._await(self.reserve_async(ask))

        def dispatch(self, hold_id, lease):
            return (
                super().dispatch(hold_id, lease) if _in_task.get() else self._await(self.dispatch_async(hold_id, lease))
            )

        def settle(self, hold_id, actual):
            return (
                super().settle(hold_id, actual) if _in_task.get() else self._await(self.settle_async(hold_id, actual))
            )

        def _await(self, call):
            async def task():
                _in_task.set(True)  # what is not usual comes back here, in a thread that has the task's context
                return await call

            return asyncio.run_coroutine_threadsafe(task(), loop).result(60)

    with RedisServer() as server:
        yield lambda clock, prefix="": InTasks(server.url, 20.0, clock=clock, prefix=prefix or os.urandom(8).hex())


class TestAwaitedRedisLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self, awaited) -> MakeLedger:
        return awaited

    @pytest.fixture
    def elsewhere(self, awaited, ledger, clock):
        return awaited(clock, ledger.prefix)


def test_no_level_is_ever_overspent_and_nothing_leaks(awaited):
    assert run_ledger_machine(awaited, steps=STEPS, repeatable=STEPS == DEFAULT_STEPS) >= STEPS


def test_the_truth_is_booked_when_calls_use_more_than_they_hold(awaited):
    run_ledger_machine(awaited, steps=STEPS // 3, breaches=True, repeatable=STEPS == DEFAULT_STEPS)
