"""The figures that the simulation stands on: what a call costs a store's processor, and what stays in its memory.

A server's own processor time is counted, not the time that clients wait: so it does not matter how fast the clients are,
and hardly how busy the machine is. Each figure is the least of several rounds. Needs redis-py and a server, as
`benchmarks.ledger_redis` does.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import mas_guard
from mas_guard.ledger import Account, Ask
from mas_guard.ledger.base import Ledger
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.types import Amounts, Limits
from tests.ledger.redis_server import RedisServer

ROUNDS = 8
CALLS = 4_000  # guarded calls of a round
THREADS = 8
TASKS = 200
MANY = 2_000  # accounts, holds and ended holds whose memory is counted
LIMITS = Limits(10**12, 10**9, 200, 9 * 10**15)
BASE = Amounts(800, 1, 0, 2_400_000)
PER_OUTPUT = Amounts(1, 0, 0, 15_000)
ACTUAL = Amounts(912, 1, 0, 4_080_000)
OPERATIONS = ("reserve", "dispatch", "settle")
MICROSECOND = 1e-6

_numbers = count()


def measure() -> dict[str, float]:
    """Return the figures, by what was measured."""
    figures: dict[str, float] = {}
    with RedisServer() as server:
        figures |= _processor(server)
        figures["round trip over loopback, microseconds"] = _round_trip(server)
    with RedisServer() as server:
        figures |= _redis_memory(server)
    with RedisServer() as server:
        figures["redis memory, the record of a finished run, bytes"] = _records(server.url, server.memory)
    with tempfile.TemporaryDirectory() as folder:
        figures |= _sqlite(Path(folder))
        path = Path(folder, "records.db")
        name = "sqlite file, the record of a finished run, bytes"
        figures[name] = _records(f"sqlite:///{path}", lambda: _pages_in_use(path))
    return figures


def _ask(accounts: tuple[Account, ...]) -> Ask:
    return Ask(f"{accounts[0].scope}:{next(_numbers)}", accounts, BASE, PER_OUTPUT, 1_000, 500)


def _processor(server: RedisServer) -> dict[str, float]:
    """Microseconds of the server's processor for each operation: sent one by one, and by tasks over one connection."""
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(server.url, timeout=10.0)
    run, window = ledger.open("run:1", LIMITS, root="1"), ledger.open("window:1", LIMITS, root="1")
    figures = {}
    for name, accounts in (("a run", (run,)), ("a run and a window", (run, window))):
        for way, phases in (("one by one", _threaded(ledger)), ("by tasks", _awaited(ledger))):
            rounds = [_round(server, phases, [_ask(accounts) for _ in range(CALLS)]) for _ in range(ROUNDS)]
            for at, operation in enumerate(OPERATIONS):
                figures[f"redis processor, {operation} on {name}, {way}, microseconds"] = min(
                    seconds[at] for seconds in rounds
                )
    return figures


Phase = Callable[[str, list[Ask]], None]


def _round(server: RedisServer, phase: Phase, asks: list[Ask]) -> list[float]:
    taken = []
    for operation in OPERATIONS:
        before = _processor_seconds(server)
        phase(operation, asks)
        taken.append((_processor_seconds(server) - before) / len(asks) / MICROSECOND)
    return taken


def _processor_seconds(server: RedisServer) -> float:
    lines = server.ask("INFO", "cpu").decode().splitlines()
    wanted = ("used_cpu_sys:", "used_cpu_user:")
    return sum(float(line.split(":")[1]) for line in lines if line.startswith(wanted))


def _arguments(operation: str, ask: Ask) -> tuple[Any, ...]:
    if operation == "reserve":
        return (ask,)
    return (ask.hold_id, 900.0 if operation == "dispatch" else ACTUAL)


def _threaded(ledger: Any) -> Phase:
    def phase(operation: str, asks: list[Ask]) -> None:
        act = getattr(ledger, operation)
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda ask: act(*_arguments(operation, ask)), asks))

    return phase


def _awaited(ledger: Any) -> Phase:
    async def several(operation: str, asks: list[Ask]) -> None:
        act = getattr(ledger, f"{operation}_async")
        for ask in asks:
            await act(*_arguments(operation, ask))

    async def tasks(operation: str, asks: list[Ask]) -> None:
        await asyncio.gather(*(several(operation, asks[first::TASKS]) for first in range(TASKS)))

    return lambda operation, asks: asyncio.run(tasks(operation, asks))


def _round_trip(server: RedisServer) -> float:
    from redis import Redis

    client = Redis(port=server.port)
    seconds = []
    for _ in range(2_000):
        begin = perf_counter()
        client.ping()
        seconds.append(perf_counter() - begin)
    return min(seconds) / MICROSECOND


def _redis_memory(server: RedisServer) -> dict[str, float]:
    """Bytes of the server for each account, live hold and ended hold, and what finished runs leave behind."""
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(server.url, timeout=10.0)
    window = ledger.open("window:acme", LIMITS, root="acme")
    before = server.memory()
    steps = _grow(ledger, window, server.memory, before)
    ledger.close(window)
    return {f"redis memory, {name}, bytes": figure for name, figure in steps.items()}


def _grow(ledger: Ledger, window: Account, size: Callable[[], int], before: int) -> dict[str, float]:
    runs = [ledger.open(f"run:{next(_numbers):032x}", LIMITS, root="acme") for _ in range(MANY)]
    opened = size()
    asks = [_ask((run, window)) for run in runs]
    for ask in asks:
        ledger.reserve(ask)
        ledger.dispatch(ask.hold_id, 900.0)
    held = size()
    for ask in asks:
        ledger.settle(ask.hold_id, ACTUAL)
    settled = size()
    for run in runs:
        for _ in range(9):
            ask = _ask((run, window))
            ledger.reserve(ask)
            ledger.settle(ask.hold_id, ACTUAL)
    ten = size()
    for run in runs:
        ledger.close(run)
    return {
        "a live run's account": (opened - before) / MANY,
        "a live hold": (held - opened) / MANY,
        "a live run with one ended call": (settled - before) / MANY,
        "each further ended call of a live run": (ten - settled) / MANY / 9,
        "a finished run": (size() - before) / MANY,
    }


def _records(url: str, size: Callable[[], int]) -> float:
    """Bytes that each guarded run adds which has ended: its record is kept for the retention."""

    def runs() -> int:
        for _ in range(MANY):
            with mas_guard.run("task", owner="planner", store=url):
                pass
        return size()

    before = runs()
    return (runs() - before) / MANY


def _sqlite(folder: Path) -> dict[str, float]:
    """Guarded calls a second on SQLite, against autocommitted inserts in turns, and bytes of its file."""
    ledger = SqliteLedger(folder / "ledger.db", timeout=30.0)
    run, window = ledger.open("run", LIMITS), ledger.open("window", LIMITS)

    def calls(number: int) -> None:
        for _ in range(number):
            ask = _ask((run, window))
            ledger.reserve(ask)
            ledger.dispatch(ask.hold_id, 900.0)
            ledger.settle(ask.hold_id, ACTUAL)

    figures = {
        "sqlite, calls a second, one caller": _rate(calls, 1),
        "sqlite, calls a second, 64 callers": _rate(calls, 64),
    }
    ledger = SqliteLedger(folder / "growth.db", timeout=30.0)
    window = ledger.open("window", LIMITS)

    def size() -> int:
        return _pages_in_use(Path(ledger.path))

    grown = _grow(ledger, window, size, size())
    return figures | {f"sqlite file, {name}, bytes": figure for name, figure in grown.items()}


def _rate(calls: Callable[[int], None], callers: int) -> float:
    seconds = []
    for _ in range(ROUNDS):
        threads = [threading.Thread(target=calls, args=(20,)) for _ in range(callers)]
        begin = perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds.append(perf_counter() - begin)
    return 20 * callers / median(sorted(seconds)[: ROUNDS // 2])


def _pages_in_use(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        pages, unused, bytes_each = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - unused) * bytes_each)
    finally:
        connection.close()
