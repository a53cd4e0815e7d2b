"""What may happen to a Redis server, to the way to it and to the workers: nothing overspent, nothing leaked.

`MAS_GUARD_TORTURE=1` runs the whole; otherwise a tenth.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mas_guard.ledger import Grant
from mas_guard.testing.ledger_steps import Clock, asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Amounts, Limits
from tests.ledger.redis_server import PATIENCE, RedisServer
from tests.ledger.redis_workers import HOLD, SPENT, running, take_calls, work_until_killed
from tests.ledger.relay import Relay

pytest.importorskip("redis", reason="the Redis store needs redis-py")

WHOLE = bool(os.environ.get("MAS_GUARD_TORTURE"))
KILLS_OF_REDIS = 20 if WHOLE else 2
CUTS = 5_000 if WHOLE else 500
KILLS_OF_WORKERS = 300 if WHOLE else 30
FINISHED_RUNS = 1_000_000 if WHOLE else 5_000


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return os.urandom(8).hex()


def _until_done(ledger, act: Callable[[], object]):
    """Do it again, with the same ids, until the server answers."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except ledger.driver_errors:
            assert time.monotonic() < until, "the server never came back"


class Callers:
    """Threads that call through thick and thin, and what they really spent."""

    def __init__(self, ledger, limits: Limits) -> None:
        self.ledger = ledger
        self.limits = limits
        self.run, self.group = (_until_done(ledger, lambda s=s: ledger.open(s, limits)) for s in ("run", "group"))
        self.spent = 0
        self.enough = threading.Event()
        self._lock = threading.Lock()

    def call(self, worker: int) -> None:
        number = 0
        while not self.enough.is_set():
            number += 1
            hold_id = f"{worker}/{number}"
            ask = asking(hold_id, (self.run, self.group), tokens(100))
            if not isinstance(_until_done(self.ledger, lambda ask=ask: self.ledger.reserve(ask)), Grant):
                continue
            assert _until_done(self.ledger, lambda name=hold_id: self.ledger.dispatch(name, 600.0))
            settlement = _until_done(
                self.ledger, lambda name=hold_id, n=number: self.ledger.settle(name, tokens(n % 100))
            )
            assert settlement.known
            assert not settlement.breach
            with self._lock:
                self.spent += number % 100

    def check(self) -> None:
        for account in (self.run, self.group):
            balance = self.ledger.read(account)
            assert (balance.settled, balance.held, balance.crashed) == (tokens(self.spent), ZERO, ZERO)
            assert balance.breaches == ()


def _calling(callers: Callers, threads: int, meanwhile: Callable[[], None]) -> None:
    with ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(callers.call, worker) for worker in range(threads)]
        try:
            meanwhile()
        finally:
            callers.enough.set()
        for each in done:
            each.result()


def test_four_processes_get_what_the_budget_allows_and_not_one_more(server, prefix, tmp_path):
    url = f"{server.url}?prefix={prefix}"
    with running(take_calls, [(url, 50, 8, str(tmp_path))] * 4) as workers:
        for worker in workers:
            worker.join(PATIENCE)
            assert worker.exitcode == 0
    assert sum(int(file.read_text()) for file in tmp_path.iterdir()) == 8
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(url)
    assert ledger.read(ledger.open("run", Limits(model_calls=8))).settled == Amounts(8 * 40, 8)


def test_a_server_that_is_killed_has_every_answer_on_disk():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer(durable=True) as server:
        callers = Callers(RedisLedger(server.url, timeout=0.5), Limits(tokens=10**9))

        def kill_and_start() -> None:
            for _ in range(KILLS_OF_REDIS):
                before = server.commands()
                server.wait_until(lambda before=before: server.commands() > before + 200, "was used")
                server.kill()
                server.start()

        _calling(callers, 4, kill_and_start)
        callers.check()


def test_a_connection_that_is_cut_after_the_server_executed_books_nothing_twice(server, prefix):
    from mas_guard.ledger.redis import RedisLedger

    with Relay(server.port) as relay:
        callers = Callers(RedisLedger(relay.url, prefix=prefix), Limits(tokens=10**9))
        relay.share_cut = 0.2

        def cut() -> None:
            server.wait_until(lambda: relay.cuts >= CUTS, "was cut off often enough")
            relay.share_cut = 0.0

        _calling(callers, 4, cut)
        callers.check()


def test_workers_that_are_killed_leave_no_hold_and_are_charged_for_what_they_sent(server, prefix, tmp_path):
    from mas_guard.ledger.redis import RedisLedger

    url, log = f"{server.url}?prefix={prefix}", tmp_path / "settled"
    limits = Limits(tokens=10**9)
    killed = 0
    while killed < KILLS_OF_WORKERS:
        with running(work_until_killed, [(url, limits, str(log), killed + n) for n in range(3)]) as workers:
            for worker in workers:
                before = _size(log)
                server.wait_until(lambda before=before: _size(log) > before + 20, "was used")
                worker.kill()
                killed += 1
    ledger = RedisLedger(url)
    run, group = ledger.open("run", limits), ledger.open("group", Limits())
    server.wait_until(lambda: ledger.sweep() is None, "ended the leases of those who were killed")
    for account in (run, group):
        balance = ledger.read(account)
        assert balance.held == ZERO
        assert balance.crashed.model_calls <= killed
        assert balance.crashed.tokens == balance.crashed.model_calls * HOLD.tokens
        acknowledged, settled = _size(log), balance.settled.model_calls - balance.crashed.model_calls
        assert acknowledged <= settled <= acknowledged + killed  # a settle may be booked and its answer never heard
        assert balance.settled.tokens - balance.crashed.tokens == settled * SPENT.tokens
    assert ledger.read(run).settled == ledger.read(group).settled


def test_a_server_that_was_emptied_denies_instead_of_granting_anew():
    from mas_guard.ledger.redis import BooksLost, RedisLedger

    with RedisServer() as server:
        one, two = RedisLedger(server.url), RedisLedger(server.url)
        mine, theirs = one.open("run", Limits(tokens=100)), two.open("run", Limits(tokens=100))
        origin = one.origin(mine)
        one.charge((mine,), tokens(90), "spent")
        one.reserve(asking("a", mine, tokens(5)))
        server.ask("FLUSHALL")
        late = RedisLedger(server.url)
        for lost in (
            lambda: one.reserve(asking("b", mine, tokens(50))),
            lambda: two.reserve(asking("c", theirs, tokens(50))),
            lambda: one.settle("a", tokens(5)),
            lambda: one.read(mine),
            lambda: one.set_limits(mine, Limits(tokens=1_000)),
            lambda: one.open("run", Limits(tokens=100)),
            lambda: late.open("run", Limits(tokens=100), origin=origin),
        ):
            with pytest.raises(BooksLost, match="run"):
                lost()
        assert not one.dispatch("a", 60.0)
        late.open("run", Limits(tokens=100))  # who never knew it cannot know; and still
        with pytest.raises(BooksLost):
            one.reserve(asking("d", mine, tokens(50)))
        granted(one.reserve(asking("e", one.open("new run", Limits(tokens=100)), tokens(50))))


def test_a_replica_that_had_acknowledged_goes_on_where_the_master_fell():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer() as master, RedisServer(replica_of=master.port) as replica, Relay(master.port) as relay:
        replica.wait_until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), "followed")
        callers = Callers(RedisLedger(f"{relay.url}?replicas=1"), Limits(tokens=10**9))

        def fail_over() -> None:
            before = master.commands()
            master.wait_until(lambda: master.commands() > before + 200, "was used")
            master.kill()
            replica.ask("REPLICAOF", "NO", "ONE")
            callers.ledger.exchange.replicas = 0  # it has no replica of its own
            relay.turn_to(replica.port)
            before = replica.commands()
            replica.wait_until(lambda: replica.commands() > before + 200, "was used")

        _calling(callers, 4, fail_over)
        callers.check()


def test_a_replica_that_lacks_what_was_acknowledged_denies():
    from mas_guard.ledger.redis import BooksLost, RedisLedger

    with RedisServer() as master, RedisServer(replica_of=master.port) as replica, Relay(master.port) as relay:
        ledger = RedisLedger(relay.url)
        run, other = ledger.open("run", Limits(tokens=100)), ledger.open("other", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(30))))
        replica.wait_until(lambda: replica.keys("*hold:a") != [], "followed")
        replica.ask("REPLICAOF", "NO", "ONE")
        granted(ledger.reserve(asking("b", run, tokens(30))))
        ledger.dispatch("b", 60.0)
        master.kill()
        relay.turn_to(replica.port)
        with pytest.raises(BooksLost, match="1 of 2"):
            ledger.reserve(asking("c", run, tokens(10)))
        assert ledger.settle("b", tokens(20)).late  # its call was made, so it is charged
        assert ledger.read(run).settled == tokens(20)
        granted(ledger.reserve(asking("d", other, tokens(10))))


def test_a_reserve_that_no_replica_acknowledges_holds_nothing(server, prefix):
    from mas_guard.ledger.redis import RedisLedger
    from mas_guard.ledger.redis.exchange import NotAcknowledged

    ledger = RedisLedger(server.url, replicas=1, prefix=prefix)
    run = ledger.open("run", Limits(tokens=100))
    with pytest.raises(NotAcknowledged, match="replicas"):
        ledger.reserve(asking("a", run, tokens(50)))
    assert ledger.read(run).held == ZERO


def test_sentinels_lead_to_the_new_master():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer() as master, RedisServer(replica_of=master.port) as replica:
        replica.wait_until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), "followed")
        with RedisServer.sentinel(master.port) as sentinel:
            ledger = RedisLedger(f"redis+sentinel://127.0.0.1:{sentinel.port}/fleet/0?replicas=1")
            run = ledger.open("run", Limits(model_calls=3))
            granted(ledger.reserve(asking("a", run, calls(1))))
            sentinel.wait_until(lambda: b"num-slaves\r\n$1\r\n1" in sentinel.ask("SENTINEL", "MASTERS"), "saw both")
            sentinel.wait_until(lambda: sentinel.ask("SENTINEL", "FAILOVER", "fleet").startswith(b"+OK"), "agreed")
            replica.wait_until(lambda: b"role:master" in replica.ask("INFO", "replication"), "took over")
            sentinel.wait_until(
                lambda: str(replica.port).encode() in sentinel.ask("SENTINEL", "get-master-addr-by-name", "fleet"),
                "named the new master",
            )
            ledger.exchange.replicas = 0  # it takes the old master some seconds to follow
            granted(_until_done(ledger, lambda: ledger.reserve(asking("b", run, calls(1)))))
            assert ledger.dispatch("a", 60.0)
            refused(ledger.reserve(asking("c", run, calls(2))))


def test_clocks_that_jump_an_hour_both_ways_cost_no_overspend_and_leave_no_hold(server, prefix):
    from mas_guard.ledger.redis import RedisLedger

    clock = Clock()
    ledgers = [RedisLedger(server.url, prefix=prefix, clock=clock) for _ in range(2)]
    runs = [ledger.open("run", Limits(tokens=1_000)) for ledger in ledgers]
    spent = 0
    for number in range(400):
        ledger, run = ledgers[number % 2], runs[number % 2]
        clock.now += (3600, -3600, -3600, 3600)[number // 10 % 4] if number % 10 == 0 else 1
        found = ledger.reserve(asking(f"{number}", run, tokens(100)))
        if isinstance(found, Grant) and number % 3 and ledger.dispatch(found.hold_id, 20.0):
            spent += number % 2
            if number % 5:
                assert ledger.settle(found.hold_id, tokens(number % 2)).known
        balance = ledger.read(run)
        assert balance.settled.tokens + balance.held.tokens <= 1_000
    clock.now += 3601
    while ledgers[0].sweep() is not None:
        clock.now += 61
    balance = ledgers[0].read(runs[0])
    assert balance.held == ZERO
    assert balance.settled.tokens <= 1_000
    assert balance.crashed.tokens % 100 == 0


def test_a_server_whose_memory_is_full_grants_nothing_and_books_what_is_settled():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer("--maxmemory-policy", "noeviction") as server:
        clock = Clock()
        ledger = RedisLedger(server.url, clock=clock)
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits(tokens=1_000))
        for hold_id in ("settled", "released", "lapsed", "crashed", "corrected"):
            granted(ledger.reserve(asking(hold_id, (run, group), tokens(20))))
        for hold_id in ("settled", "crashed", "corrected"):
            assert ledger.dispatch(hold_id, 60.0)
        server.ask("CONFIG", "SET", "maxmemory", "1")
        for act in (
            lambda: ledger.reserve(asking("a", group, tokens(1))),
            lambda: ledger.reserve_fitting(asking("a", group, tokens(1))),
            lambda: ledger.wait(asking("a", group, tokens(1)), lambda: None),
            lambda: asyncio.run(ledger.reserve_async(asking("a", group, tokens(1)))),
            lambda: ledger.open("new", Limits()),
        ):
            with pytest.raises(ledger.driver_errors, match="memory is full"):
                act()
        assert ledger.settle("settled", tokens(5)).known
        ledger.release("released")
        ledger.charge((run, group), tokens(1), "late")
        ledger.halt(run)
        clock.now += 61
        balance = ledger.read(run)
        assert (balance.settled, balance.held, balance.crashed) == (tokens(46), ZERO, tokens(40))
        assert ledger.settle("corrected", tokens(7)).late
        server.ask("CONFIG", "SET", "maxmemory", "0")
        for account in (run, group):
            balance = ledger.read(account)
            assert (balance.settled, balance.held, balance.crashed) == (tokens(33), ZERO, tokens(20))
        assert ledger.read(run).halted
        assert [hold.hold_id for hold in ledger.crashed_holds()] == ["crashed"]
        granted(ledger.reserve(asking("a", group, tokens(967))))


def test_a_replica_that_may_only_be_read_grants_nothing_and_is_left_once_there_is_a_master_again():
    from redis.exceptions import ReadOnlyError

    from mas_guard.ledger.redis import RedisLedger

    with RedisServer() as master, RedisServer(replica_of=master.port) as replica, Relay(master.port) as relay:
        ledger = RedisLedger(relay.url)
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(60))))
        replica.wait_until(lambda: replica.keys("*hold:a") != [], "followed")
        relay.turn_to(replica.port)
        for act in (
            lambda: ledger.reserve(asking("b", run, tokens(40))),
            lambda: ledger.dispatch("a", 60.0),
            lambda: ledger.settle("a", tokens(10)),
            lambda: ledger.halt(run),
        ):
            with pytest.raises(ReadOnlyError):
                act()
        asyncio.run(_meet_a_replica_and_then_the_master(ledger, run, relay, master))
        assert ledger.dispatch("a", 60.0)
        assert ledger.settle("a", tokens(10)).known
        assert (ledger.read(run).settled, ledger.read(run).held) == (tokens(10), tokens(40))


async def _meet_a_replica_and_then_the_master(ledger, run, relay, master):
    from redis.exceptions import ReadOnlyError

    with pytest.raises(ReadOnlyError):
        await ledger.reserve_async(asking("b", run, tokens(40)))
    relay.target = master.port  # who is connected to the replica stays so until it is left
    granted(await ledger.reserve_async(asking("b", run, tokens(40))))


def test_memory_stays_flat_over_finished_runs(server, prefix):
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(server.url, prefix=prefix)
    group = ledger.open("group", Limits())

    def live_runs(first: int, last: int) -> int:
        for number in range(first, last):
            run = ledger.open(f"run {number}", Limits(tokens=100, model_calls=5))
            ledger.reserve(asking(f"{number}", (run, group), Amounts(60, 1)))
            ledger.settle(f"{number}", Amounts(30, 1))
            ledger.close(run)
        return server.memory()

    before = live_runs(0, FINISHED_RUNS // 10)
    assert live_runs(FINISHED_RUNS // 10, FINISHED_RUNS) < before * 1.05


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
