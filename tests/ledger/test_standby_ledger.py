"""The standby ledger keeps the contract while its store answers, over each of the stores."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from mas_guard.ledger import MemoryLedger
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.ledger.standby import StandbyLedger
from mas_guard.testing.ledger_contract import LedgerContract, MakeLedger
from mas_guard.testing.ledger_machine import run_ledger_machine
from tests.ledger import sqlite_fixtures
from tests.ledger.redis_server import RedisServer

no_syncs = sqlite_fixtures.no_syncs

STEPS = int(os.environ.get("MAS_GUARD_TEST_LEDGER_STEPS", 5_000))


def standby(make, clock) -> StandbyLedger:
    return StandbyLedger(make, place="the store", now=clock)


class TestStandbyOverMemory(LedgerContract):
    @pytest.fixture
    def make_ledger(self) -> MakeLedger:
        return lambda clock: standby(lambda: MemoryLedger(clock), clock)


@pytest.mark.usefixtures("no_syncs")
class TestStandbyOverSqlite(LedgerContract):
    @pytest.fixture
    def make_ledger(self, tmp_path) -> MakeLedger:
        numbers = count()

        def make(clock):
            path = tmp_path / f"ledger-{next(numbers)}.db"
            return standby(lambda: SqliteLedger(path, clock=clock), clock)

        return make

    @pytest.fixture
    def elsewhere(self, ledger, clock) -> StandbyLedger:
        ledger.sweep()
        return standby(lambda: SqliteLedger(ledger.inner.path, clock=clock), clock)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class TestStandbyOverRedis(LedgerContract):
    @pytest.fixture
    def make_ledger(self, server) -> MakeLedger:
        from mas_guard.ledger.redis import RedisLedger

        def make(clock):
            prefix = os.urandom(8).hex()
            return standby(lambda: RedisLedger(server.url, clock=clock, prefix=prefix), clock)

        return make

    @pytest.fixture
    def elsewhere(self, server, ledger, clock) -> StandbyLedger:
        from mas_guard.ledger.redis import RedisLedger

        ledger.sweep()
        return standby(lambda: RedisLedger(server.url, clock=clock, prefix=ledger.inner.prefix), clock)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class TestStandbyAwaited(LedgerContract):
    """Every call that can be awaited is, on a loop in another thread."""

    @pytest.fixture
    def make_ledger(self, server, loop) -> MakeLedger:
        from mas_guard.ledger.redis import RedisLedger

        class Awaited(StandbyLedger):
            def reserve(self, ask):
                return asyncio.run_coroutine_threadsafe(self.reserve_async(ask), loop).result(60)

            def dispatch(self, hold_id, lease):
                return asyncio.run_coroutine_threadsafe(self.dispatch_async(hold_id, lease), loop).result(60)

            def settle(self, hold_id, actual):
                return asyncio.run_coroutine_threadsafe(self.settle_async(hold_id, actual), loop).result(60)

        def make(clock):
            prefix = os.urandom(8).hex()
            return Awaited(lambda: RedisLedger(server.url, clock=clock, prefix=prefix), place="the store", now=clock)

        return make

    @pytest.fixture
    def elsewhere(self, server, ledger, clock) -> StandbyLedger:
        from mas_guard.ledger.redis import RedisLedger

        ledger.sweep()
        return standby(lambda: RedisLedger(server.url, clock=clock, prefix=ledger.inner.prefix), clock)


def _make(clock):
    return standby(lambda: MemoryLedger(clock), clock)


@pytest.mark.parametrize("breaches", [False, True])
def test_it_behaves_as_its_store_does_under_whatever_happens(breaches):
    run_ledger_machine(_make, steps=STEPS, breaches=breaches, repeatable=True)
