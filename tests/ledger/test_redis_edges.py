"""The Redis ledger where something rare meets something else: each of these went wrong once, or could."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from mas_guard.testing.ledger_steps import Clock, InQueue, asking, granted, tokens
from mas_guard.types import ZERO, Limits
from tests.ledger.redis_server import RedisServer

pytest.importorskip("redis", reason="the Redis store needs redis-py")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return os.urandom(8).hex()


@pytest.fixture
def make(server, prefix):
    from mas_guard.ledger.redis import RedisLedger

    return lambda **more: RedisLedger(server.url, prefix=prefix, **more)


def _lose(server, prefix, scope):
    (key,) = server.keys(f"{prefix}:*:account:{scope}")
    server.ask("DEL", key)


def test_who_waits_on_an_account_that_is_lost_hears_of_it_and_nobody_else_does(make, server, prefix):
    from mas_guard.ledger.redis import BooksLost

    ledger = make()
    lost, kept = ledger.open("lost", Limits(tokens=100)), ledger.open("kept", Limits(tokens=100))
    for hold_id, run in (("a", lost), ("b", kept)):
        granted(ledger.reserve(asking(hold_id, run, tokens(100))))
    theirs = [InQueue(ledger, asking(f"theirs {n}", lost, tokens(60))) for n in range(2)]
    mine = InQueue(ledger, asking("mine", kept, tokens(60)))
    _lose(server, prefix, "lost")
    ledger.sweep()
    for queued in theirs:
        assert queued.wakes == 1
        with pytest.raises(BooksLost, match="lost"):
            queued.ticket.result  # noqa: B018 - reading it raises
        ledger.cancel(queued.ticket)
    assert mine.waits
    ledger.settle("b", ZERO)
    granted(mine.granted)


def test_an_ask_that_the_server_cannot_count_does_not_get_into_the_queue(make):
    ledger = make()
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(100))))
    with pytest.raises(ValueError, match="exactly"):
        ledger.wait(asking("too much", run, tokens(2**54)), lambda: None)
    queued = InQueue(ledger, asking("b", run, tokens(60)))
    ledger.settle("a", ZERO)
    granted(queued.granted)


def test_reading_ends_however_many_leases_are_over(make, monkeypatch):
    monkeypatch.setattr("mas_guard.ledger.redis.requests.SWEPT_AT_ONCE", 1)
    clock = Clock()
    ledger = make(clock=clock)
    run = ledger.open("run", Limits())
    for number in range(1_200):
        ledger.reserve(asking(f"{number}", run, tokens(1), lease=1.0))
    clock.now += 2
    assert ledger.read(run).held == ZERO


def test_an_account_that_is_only_charged_is_kept_after_its_last_use(make, server, prefix):
    ledger = make(retention=1_000.0)
    run = ledger.open("run", Limits())
    keys = [*server.keys(f"{prefix}:*:account:run"), f"{prefix}:{{ledger}}"]
    for key in keys:
        server.ask("PEXPIRE", key, "5000")
    ledger.charge((run,), tokens(1), "spent")
    assert min(server.milliseconds_to_live(key) for key in keys) > 900_000


def test_closing_costs_the_same_however_many_have_an_account_open(make, server, prefix):
    ledger = make()
    run = ledger.open("run", Limits())
    (key,) = server.keys(f"{prefix}:*:account:run")
    for _ in range(3):
        make().open("run", Limits())
    again = ledger.open("run", Limits())
    assert again is run
    assert server.ask("HGET", key, "open") == b"$1\r\n4\r\n"
    ledger.close(run)
    ledger.exchange.call(run.books, ledger.requests.close(run))  # once more, as where the answer was lost
    assert server.ask("HGET", key, "open") == b"$1\r\n3\r\n"


def test_a_connection_for_tasks_keeps_one_timer_however_often_it_falls_quiet(make):
    ledger = make()
    run = ledger.open("run", Limits())
    timers = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        call_at = loop.call_at
        loop.call_at = lambda when, callback, *more, **context: (  # type: ignore[method-assign]
            timers.append(getattr(callback, "__name__", "")) or call_at(when, callback, *more, **context)
        )
        for number in range(100):
            granted(await ledger.reserve_async(asking(f"{number}", run, tokens(1))))

    asyncio.run(work())
    assert timers.count("_look") <= 2
