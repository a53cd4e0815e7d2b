"""The standby over real stores that are really lost: a killed, frozen or emptied Redis, a SQLite file that takes no writes.

`MAS_GUARD_TORTURE=1` runs the whole; otherwise a tenth.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mas_guard._effects import Wait
from mas_guard._waiting import wait
from mas_guard.errors import StoreUnavailable
from mas_guard.ledger import Grant, Ledger
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.ledger.standby import StandbyLedger
from mas_guard.testing.ledger_steps import asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Limits
from tests.ledger.redis_server import PATIENCE, RedisServer
from tests.ledger.relay import Relay

WHOLE = bool(os.environ.get("MAS_GUARD_TORTURE"))
KILLS = 20 if WHOLE else 2
CUTS = 2_000 if WHOLE else 200
CALLS_BETWEEN = 60  # so many calls are made while the store is there, and as many while it is not


def until_back(ledger: StandbyLedger) -> None:
    """Sweep, as those who wait do, until the store is back."""
    until = time.monotonic() + PATIENCE
    while ledger.lost:
        assert time.monotonic() < until, "the store never came back"
        ledger.sweep()


def balance(inner: Ledger, scope: str):
    return dict(inner.balances(scope))[scope]


class Callers:
    """Threads that call on one run whatever becomes of its store, and what they have held at the most and spent."""

    def __init__(self, ledger: StandbyLedger, limit: int = 300) -> None:
        self.ledger = ledger
        self.limit = limit
        self.accounts = ledger.open("run", Limits(tokens=limit)), ledger.open("outer", Limits())
        self.held = self.most = self.spent = self.calls = 0
        self.enough = threading.Event()
        self._lock = threading.Lock()

    def call(self, worker: int) -> None:
        number = 0
        while not self.enough.is_set():
            number += 1
            ask = asking(f"{worker}/{number}", self.accounts, tokens(100).plus(calls(1)))
            found = self.ledger.reserve(ask)
            if not isinstance(found, Grant) and found.can_wait:
                found = wait(Wait(self.ledger, ask, 5.0))
            if not isinstance(found, Grant) or found.spent:
                continue
            self._count(100, 0)
            sent = number % 5 and self.ledger.dispatch(ask.hold_id, 600.0)
            self._count(-100, int(bool(sent)))
            if sent:
                assert self.ledger.settle(ask.hold_id, calls(1)).known
            else:
                self.ledger.release(ask.hold_id)

    def _count(self, held: int, spent: int) -> None:
        with self._lock:
            self.held += held
            self.most = max(self.most, self.held)
            self.spent += spent
            self.calls += 1

    def make(self, number: int) -> None:
        """Wait until so many more calls were made."""
        until, wanted = time.monotonic() + PATIENCE, self.calls + number
        while self.calls < wanted:
            assert time.monotonic() < until, "the calls do not go on"
            self.enough.wait(0.002)

    def run(self, meanwhile: Callable[[], None], threads: int = 4) -> None:
        with ThreadPoolExecutor(threads) as pool:
            done = [pool.submit(self.call, worker) for worker in range(threads)]
            try:
                meanwhile()
            finally:
                self.enough.set()
            for each in done:
                each.result()
        until_back(self.ledger)
        assert self.most <= self.limit
        for scope in ("run", "outer"):
            found = balance(self.ledger.inner, scope)
            assert (found.settled, found.held, found.crashed) == (calls(self.spent), ZERO, ZERO)


# Redis


@pytest.fixture
def server():
    with RedisServer(durable=True) as server:
        yield server


def over_redis(url: str, **more) -> StandbyLedger:
    from mas_guard.ledger.redis import RedisLedger

    return StandbyLedger(lambda: RedisLedger(url, timeout=0.5), place=url, **more)


def test_redis_that_is_killed_and_started_again_finds_what_was_spent_without_it(server):
    ledger = over_redis(server.url)
    callers = Callers(ledger)

    def kill_and_start() -> None:
        for _ in range(KILLS):
            callers.make(CALLS_BETWEEN)
            server.kill()
            callers.make(CALLS_BETWEEN)
            assert ledger.lost
            callers.make(CALLS_BETWEEN)
            server.start()
            until_back(ledger)

    callers.run(kill_and_start)


def test_redis_whose_answers_are_lost_is_told_nothing_twice(server):
    with Relay(server.port) as relay:
        ledger = over_redis(relay.url, jitter=lambda: 0.01)
        callers = Callers(ledger)
        relay.share_cut = 0.2

        def cut() -> None:
            until = time.monotonic() + 20 * PATIENCE
            while relay.cuts < CUTS:
                assert time.monotonic() < until
                callers.enough.wait(0.01)
            relay.share_cut = 0.0

        callers.run(cut)


def test_a_frozen_redis_costs_one_time_out_and_its_late_answers_change_nothing(server):
    ledger = over_redis(server.url, jitter=lambda: 1.0)
    run, window = ledger.open("run", Limits(tokens=1_000)), ledger.open_shared("window", Limits(tokens=100))
    granted(ledger.reserve(asking("before", run, tokens(100))))
    server.freeze()
    tries = []
    attempt = ledger.inner.exchange.call
    ledger.inner.exchange.call = lambda *given, **more: tries.append(1) or attempt(*given, **more)
    for number in range(50):
        granted(ledger.reserve(asking(f"{number}", run, tokens(10))))
        assert ledger.dispatch(f"{number}", 60.0)
        ledger.settle(f"{number}", tokens(9))
        with pytest.raises(StoreUnavailable):
            ledger.reserve(asking(f"{number} shared", window, tokens(1)))
    assert len(tries) <= 3
    server.thaw()
    until_back(ledger)
    ledger.settle("before", tokens(100))
    found = balance(ledger.inner, "run")
    assert found.settled == tokens(550)
    assert found.held in (ZERO, tokens(10))  # one that the frozen server executes late ends with its lease
    assert balance(ledger.inner, "window").settled == ZERO


def test_an_emptied_redis_refuses_a_run_that_it_knew(server):
    ledger = over_redis(server.url)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(10))))
    server.ask("FLUSHALL")
    with pytest.raises(StoreUnavailable, match="books are lost"):
        ledger.reserve(asking("b", run, tokens(10)))
    ledger.settle("a", tokens(10))
    ledger.close(run)
    fresh = ledger.open("fresh", Limits(tokens=100))
    granted(ledger.reserve(asking("c", fresh, tokens(10))))
    assert not ledger.lost


def test_who_waits_on_a_run_that_redis_has_lost_is_woken_and_told_so(server):
    ledger = over_redis(server.url)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(100))))
    woken = threading.Event()
    ticket = ledger.wait(asking("b", run, tokens(10)), woken.set)
    server.ask("FLUSHALL")
    until = time.monotonic() + PATIENCE
    while not woken.is_set() and time.monotonic() < until:
        ledger.sweep()
    assert ticket.result is None
    ledger.cancel(ticket)
    with pytest.raises(StoreUnavailable, match="books are lost"):
        ledger.reserve_fitting(ticket.ask)


def test_while_redis_is_there_a_standby_costs_no_further_round_trip(server):
    ledger = over_redis(server.url)
    for run in ("makes the scripts known", "counts"):
        for act in (
            lambda run=run: ledger.open(run, Limits(tokens=100)),
            lambda run=run: ledger.reserve(asking(run, ledger.shadow.account(run), tokens(10))),
            lambda run=run: ledger.dispatch(run, 60.0),
            lambda run=run: ledger.settle(run, tokens(10)),
            lambda run=run: ledger.close(ledger.shadow.account(run)),
        ):
            before = server.commands()
            act()
            assert server.commands() == before + 1 or run != "counts"


def test_a_redis_that_comes_back_empty_says_that_it_did_not_take_what_was_spent():
    told = {}
    with RedisServer() as server:
        ledger = over_redis(server.url, tell=lambda event, fields: told.update({event: fields}))
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(10))))
        server.kill()
        ledger.settle("a", tokens(10))
        granted(ledger.reserve(asking("b", run, tokens(10))))
        ledger.settle("b", tokens(10))
        server.start()
        until_back(ledger)
        assert told["reconciled"]["figures"]["dropped"] == 2
        with pytest.raises(StoreUnavailable, match="books are lost"):
            ledger.reserve(asking("c", run, tokens(10)))
        granted(ledger.reserve(asking("d", ledger.open("fresh", Limits(tokens=10)), tokens(10))))


async def test_tasks_go_on_without_redis_and_with_it_again(server):
    ledger = over_redis(server.url)
    run = ledger.open("run", Limits(model_calls=1_000))
    spent = 0

    async def call(hold_id: str) -> None:
        nonlocal spent
        if isinstance(await ledger.reserve_async(asking(hold_id, run, calls(1))), Grant):
            assert await ledger.dispatch_async(hold_id, 600.0)
            assert (await ledger.settle_async(hold_id, calls(1))).known
            spent += 1

    await asyncio.gather(*(call(f"before {number}") for number in range(300)))
    server.kill()
    await asyncio.gather(*(call(f"meanwhile {number}") for number in range(300)))
    assert ledger.lost
    server.start()
    until = time.monotonic() + PATIENCE
    while ledger.lost and time.monotonic() < until:
        await ledger.settle_async("nobody", ZERO)
        await asyncio.sleep(0.001)
    await asyncio.gather(*(call(f"after {number}") for number in range(600)))
    assert spent == 1_000
    found = balance(ledger.inner, "run")
    assert (found.settled, found.held) == (calls(1_000), ZERO)


# SQLite


def over_sqlite(path, **more) -> StandbyLedger:
    return StandbyLedger(lambda: SqliteLedger(path, timeout=0.05), place=f"sqlite:///{path}", **more)


class Lock:
    """Another program that keeps the file to itself."""

    def __init__(self, path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN EXCLUSIVE")

    def let_go(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def test_a_locked_file_finds_what_was_spent_without_it(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = over_sqlite(path)
    callers = Callers(ledger)
    dice = random.Random(1)

    def lock_and_let_go() -> None:
        for _ in range(5 * KILLS):
            callers.make(CALLS_BETWEEN)
            lock = Lock(path)
            until = time.monotonic() + PATIENCE
            while not ledger.lost and time.monotonic() < until:
                callers.enough.wait(0.001)
            assert ledger.lost
            callers.make(dice.randint(1, CALLS_BETWEEN))
            lock.let_go()
            callers.make(CALLS_BETWEEN)

    callers.run(lock_and_let_go)


def test_a_full_disk_is_a_lost_store(tmp_path):
    ledger = over_sqlite(tmp_path / "ledger.db")
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(50))))
    writer = ledger.inner._connections.writer()
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    number = 0
    while not ledger.lost and number < 10_000:
        number += 1
        ledger.open(f"{number}" + "x" * 2_000, Limits())
    assert ledger.lost
    refused(ledger.reserve(asking("b", run, tokens(51))))
    granted(ledger.reserve(asking("c", run, tokens(50))))
    writer.execute("PRAGMA max_page_count = 100000")
    until_back(ledger)
    found = balance(ledger.inner, "run")
    assert (found.settled, found.held) == (ZERO, tokens(100))


@pytest.mark.skipif(os.name != "posix", reason="folders have other permissions")
def test_a_process_starts_where_the_folder_takes_no_file_yet(tmp_path):
    folder = tmp_path / "not there"
    folder.write_text("a file stands in the way")
    ledger = over_sqlite(folder / "ledger.db")
    run = ledger.open("run", Limits(tokens=100))
    assert ledger.lost
    granted(ledger.reserve(asking("a", run, tokens(60))))
    ledger.settle("a", tokens(60))
    folder.unlink()
    until_back(ledger)
    assert balance(ledger.inner, "run").settled == tokens(60)


def test_a_read_only_file_is_a_lost_store(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    ledger = over_sqlite(path)
    run = ledger.open("run", Limits(tokens=100))
    ledger.inner._connections.writer().execute("PRAGMA query_only = 1")  # as root writes to any file
    granted(ledger.reserve(asking("a", run, tokens(60))))
    assert ledger.lost
    assert ledger.settle("a", tokens(50)).known
    ledger.inner._connections.writer().execute("PRAGMA query_only = 0")
    until_back(ledger)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT settled_tokens FROM mas_guard_ledger_accounts").fetchall()[0] == (50,)
