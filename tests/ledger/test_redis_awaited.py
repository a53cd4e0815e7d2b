"""The Redis ledger's awaited calls: the same ledger, and one connection for all tasks of a loop."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import Iterator

import pytest

from mas_guard.ledger import Grant
from mas_guard.testing.ledger_steps import InQueue, asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Limits
from tests.ledger.redis_server import RedisServer
from tests.ledger.relay import Relay

pytest.importorskip("redis", reason="the Redis store needs redis-py")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def ledger(server):
    from mas_guard.ledger.redis import RedisLedger

    return RedisLedger(server.url, prefix=os.urandom(8).hex())


async def test_the_life_of_a_hold_may_be_awaited(ledger):
    run = ledger.open("run", Limits(tokens=100))
    assert granted(await ledger.reserve_async(asking("a", run, tokens(60)))).amounts == tokens(60)
    assert refused(await ledger.reserve_async(asking("b", run, tokens(41)))).held == 60
    assert await ledger.dispatch_async("a", 60.0)
    assert not await ledger.dispatch_async("nobody", 60.0)
    assert (await ledger.settle_async("a", tokens(110))).breach
    assert await ledger.settle_async("a", tokens(1)) == ledger.settle("a", tokens(2))
    assert ledger.read(run).settled == tokens(110)
    assert granted(await ledger.reserve_async(asking("a", run, tokens(60)))).spent


async def test_a_breach_is_told_where_nobody_remembers_the_hold(ledger):
    run, group = ledger.open("run", Limits()), ledger.open("group", Limits())
    await ledger.reserve_async(asking("a", (run, group), tokens(60)))
    ledger.close(run)
    settlement = await ledger.settle_async("a", tokens(110))
    assert (settlement.known, settlement.breach) == (True, True)
    assert ledger.read(group).settled == tokens(110)


async def test_a_thousand_tasks_get_what_the_limit_allows_and_not_one_more(ledger):
    run = ledger.open("run", Limits(model_calls=700))

    async def call(number: int) -> bool:
        found = await ledger.reserve_async(asking(f"{number}", run, calls(1)))
        if isinstance(found, Grant):
            assert await ledger.dispatch_async(f"{number}", 60.0)
            await ledger.settle_async(f"{number}", calls(1))
        return isinstance(found, Grant)

    assert sum(await asyncio.gather(*map(call, range(1_000)))) == 700
    assert (ledger.read(run).settled, ledger.read(run).held) == (calls(700), ZERO)


async def test_what_is_ready_in_the_same_turn_goes_out_together(ledger, server):
    run = ledger.open("run", Limits())
    await ledger.reserve_async(asking("a", run, tokens(1)))
    gc.collect()  # the end of an earlier test's connection is something that arrives, too
    before = server.reads()
    settled, *found = await asyncio.gather(
        ledger.settle_async("a", tokens(1)),
        *(ledger.reserve_async(asking(f"{number}", run, tokens(1))) for number in range(50)),
    )
    assert settled.known
    assert all(isinstance(answer, Grant) for answer in found)
    assert server.reads() - before <= 3


async def test_one_who_waits_is_served_by_an_awaited_settle(ledger):
    run = ledger.open("run", Limits(tokens=100))
    await ledger.reserve_async(asking("a", run, tokens(100)))
    queued = InQueue(ledger, asking("b", run, tokens(50)))
    assert queued.waits
    assert refused(await ledger.reserve_async(asking("c", run, tokens(50)))).ahead == 1
    await ledger.settle_async("a", ZERO)
    assert queued.granted


async def test_a_task_that_is_cancelled_takes_no_other_with_it(ledger):
    run = ledger.open("run", Limits())
    await ledger.reserve_async(asking("a", run, tokens(1)))
    task = asyncio.create_task(ledger.reserve_async(asking("b", run, tokens(1))))
    await asyncio.sleep(0)
    task.cancel()
    granted(await ledger.reserve_async(asking("c", run, tokens(1))))
    assert task.cancelled()


async def test_connections_that_are_cut_book_nothing_twice(server):
    from mas_guard.ledger.redis import RedisLedger

    with Relay(server.port) as relay:
        ledger = RedisLedger(relay.url, prefix=os.urandom(8).hex())
        run = ledger.open("run", Limits(tokens=10**9))
        relay.share_cut = 0.1
        spent = 0

        async def until_done(act):
            while True:
                try:
                    return await act()
                except ledger.driver_errors:
                    await asyncio.sleep(0)

        async def call(hold_id: str, used: int) -> None:
            nonlocal spent
            await until_done(lambda: ledger.reserve_async(asking(hold_id, run, tokens(100))))
            assert await until_done(lambda: ledger.dispatch_async(hold_id, 600.0))
            assert (await until_done(lambda: ledger.settle_async(hold_id, tokens(used)))).known
            spent += used

        async def work(worker: int) -> None:
            dice, number = random.Random(worker), 0
            while relay.cuts < 20:
                number += 1
                await call(f"{worker}/{number}", dice.randint(0, 100))

        await asyncio.gather(*map(work, range(20)))
        relay.share_cut = 0.0
        balance = ledger.read(run)
        assert (balance.settled, balance.held) == (tokens(spent), ZERO)


async def test_a_lost_server_is_an_error_of_the_driver_and_its_return_needs_nothing():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer(durable=True) as server:
        ledger = RedisLedger(server.url, timeout=0.5)
        run = ledger.open("run", Limits(model_calls=2))
        await ledger.reserve_async(asking("a", run, calls(1)))
        server.kill()
        with pytest.raises(ledger.driver_errors):
            await ledger.reserve_async(asking("b", run, calls(1)))
        server.start()
        granted(await ledger.reserve_async(asking("b", run, calls(1))))
        assert (await ledger.settle_async("a", calls(1))).known
        server.freeze()
        with pytest.raises(ledger.driver_errors):
            await ledger.settle_async("b", calls(1))
        server.thaw()
        assert (await ledger.settle_async("b", calls(1))).known
        assert ledger.read(run).settled == calls(2)
