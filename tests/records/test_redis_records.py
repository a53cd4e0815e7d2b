"""Records on Redis keep the contract, and what only this store promises."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import pytest

from mas_guard.testing.record_contract import MakeStore, SharedRecordContract
from mas_guard.testing.record_workers import OpenStore
from tests.ledger.redis_server import RedisServer

pytest.importorskip("redis", reason="the Redis store needs redis-py")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Of a test's own."""
    return os.urandom(8).hex()


@pytest.fixture
def make(server: RedisServer, prefix: str):
    """Makes stores of the same records, as the processes of one fleet do."""
    from mas_guard.records.redis import RedisRecordStore

    return lambda **more: RedisRecordStore(server.url, **{"prefix": prefix, **more})


class TestRedisRecords(SharedRecordContract):
    @pytest.fixture
    def make_store(self, make) -> MakeStore:
        return lambda clock: make(clock=clock)

    @pytest.fixture
    def open_store(self, server, prefix) -> OpenStore:
        from mas_guard.records.redis import RedisRecordStore

        return functools.partial(RedisRecordStore, server.url, 10.0, prefix=prefix)
