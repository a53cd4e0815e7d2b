"""The SQLite ledger for several processes, forks among them, and for many callers in one."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading

import pytest

from mas_guard.ledger import Ask, Balance, Grant, Refusal
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.ledger.sqlite.ledger import RECHECK, RECHECK_ALONE
from mas_guard.ledger.sqlite.waiting import GONE
from mas_guard.testing.ledger_steps import InQueue, asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Amounts, Limits
from tests.ledger import sqlite_fixtures
from tests.ledger.sqlite_fixtures import rows

clock = sqlite_fixtures.clock
ledger = sqlite_fixtures.ledger
no_syncs = sqlite_fixtures.no_syncs
path = sqlite_fixtures.path
statements = sqlite_fixtures.statements


# Several processes


def test_an_account_that_one_process_closes_lives_on_for_the_others(path, clock):
    one, two = (SqliteLedger(path, clock=clock) for _ in range(2))
    mine, theirs = (ledger.open("run", Limits(tokens=100)) for ledger in (one, two))
    granted(one.reserve(asking("a", mine, tokens(60))))
    one.close(mine)
    with pytest.raises(ValueError, match="closed"):
        one.reserve(asking("b", mine, tokens(1)))
    refused(two.reserve(asking("c", theirs, tokens(50))))
    one.settle("a", tokens(30))
    assert two.read(theirs).settled == tokens(30)
    assert one.read(one.open("run", Limits(tokens=100))).settled == tokens(30)


def test_an_account_is_forgotten_when_the_last_process_closes_it(path, clock):
    one, two = (SqliteLedger(path, clock=clock) for _ in range(2))
    mine, theirs = (ledger.open("run", Limits(tokens=100)) for ledger in (one, two))
    one.charge((mine,), tokens(60), "spent")
    one.close(mine)
    two.close(theirs)
    assert one.read(one.open("run", Limits(tokens=100))).settled == ZERO


def test_a_process_that_closes_refuses_only_its_own_who_wait(path, clock):
    one, two = (SqliteLedger(path, clock=clock) for _ in range(2))
    mine, theirs = (ledger.open("run", Limits(tokens=100)) for ledger in (one, two))
    one.reserve(asking("a", mine, tokens(100)))
    first = InQueue(one, asking("b", mine, tokens(100)))
    second = InQueue(two, asking("c", theirs, tokens(100)))
    one.close(mine)
    assert not first.refused.can_wait
    assert second.waits
    one.settle("a", ZERO)
    two.sweep()
    assert second.granted


def test_who_waits_is_served_in_order_of_arrival_over_all_processes(path, clock):
    ledgers = [SqliteLedger(path, clock=clock) for _ in range(3)]
    runs = [ledger.open("run", Limits(tokens=100)) for ledger in ledgers]
    ledgers[0].reserve(asking("holds", runs[0], tokens(100)))
    queue = [InQueue(ledgers[n % 3], asking(f"{n}", runs[n % 3], tokens(100))) for n in range(6)]
    for number in range(6):
        ledgers[1].settle("holds" if number == 0 else f"{number - 1}", ZERO)
        for ledger in ledgers:
            ledger.sweep()
        assert [queued.waits for queued in queue] == [False] * (number + 1) + [True] * (5 - number)


def test_a_grant_that_another_process_made_can_still_be_left(path, clock):
    one, two = (SqliteLedger(path, clock=clock) for _ in range(2))
    mine, theirs = (ledger.open("run", Limits(tokens=100)) for ledger in (one, two))
    one.reserve(asking("a", mine, tokens(100)))
    queued = InQueue(two, asking("b", theirs, tokens(100)))
    one.settle("a", ZERO)
    assert one.read(mine).held == tokens(100)
    two.cancel(queued.ticket)
    assert queued.waits
    assert one.read(mine).held == ZERO


def test_one_who_waits_looks_again_soon_where_others_hold_something(path, clock):
    one, two = (SqliteLedger(path, clock=clock) for _ in range(2))
    mine = one.open("run", Limits(tokens=100))
    one.reserve(asking("a", mine, tokens(60)))
    assert one.sweep() == 60.0
    InQueue(one, asking("b", mine, tokens(60)))
    assert one.sweep() == RECHECK_ALONE
    two.reserve(asking("c", two.open("other", Limits()), tokens(1)))
    assert one.sweep() == RECHECK


def test_those_of_a_killed_process_keep_nobody_back_for_long(path, clock):
    killed, lives = (SqliteLedger(path, clock=clock) for _ in range(2))
    theirs, mine = (ledger.open("run", Limits(tokens=100)) for ledger in (killed, lives))
    lives.reserve(asking("a", mine, tokens(60), lease=900.0))
    InQueue(killed, asking("b", theirs, tokens(100)))
    queued = InQueue(lives, asking("c", mine, tokens(30)))
    assert lives.sweep() == RECHECK
    clock.now += GONE - 1
    lives.sweep()
    assert queued.waits
    assert refused(lives.reserve(asking("d", mine, tokens(10)))).ahead == 2
    clock.now += 2
    lives.sweep()
    assert queued.granted
    granted(lives.reserve(asking("d", mine, tokens(10))))


def test_one_who_was_passed_over_and_lives_all_the_same_waits_again(path, clock):
    slow, quick = (SqliteLedger(path, clock=clock) for _ in range(2))
    theirs, mine = (ledger.open("run", Limits(tokens=100)) for ledger in (slow, quick))
    quick.reserve(asking("a", mine, tokens(100), lease=900.0))
    queued = InQueue(slow, asking("b", theirs, tokens(100)))
    clock.now += GONE + 1
    quick.reserve(asking("c", mine, tokens(1)))
    assert not rows(path, "SELECT * FROM mas_guard_ledger_waiters")
    slow.sweep()
    quick.settle("a", ZERO)
    slow.sweep()
    assert queued.granted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_goes_on_with_the_accounts_of_its_parent(path):
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(model_calls=10))
    granted(ledger.reserve(asking("parent", run, calls(3))))
    queued = InQueue(ledger, asking("waits", run, calls(8)))
    child = os.fork()
    if not child:
        try:
            granted(ledger.reserve_fitting(asking("child", run, calls(4))))
            assert ledger.read(run).held == calls(7)
            assert isinstance(ledger.reserve(asking("too much", run, calls(4))), Refusal)
            ledger.release("child")
            ledger.close(run)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert ledger.read(run).held == calls(3)
    assert queued.waits
    ledger.release("parent")
    assert queued.granted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.usefixtures("no_syncs")
def test_a_fork_in_the_middle_of_a_crowd_hangs_nobody(path):
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits())
    stop = threading.Event()
    done: list[int] = []

    def work(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            ledger.reserve(asking(f"{worker}/{number}", run, tokens(1)))
            ledger.settle(f"{worker}/{number}", tokens(1))
        done.append(number)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for number in range(5):
        child = os.fork()
        if not child:
            try:
                ledger.reserve(asking(f"child {number}", run, tokens(1)))
                ledger.settle(f"child {number}", tokens(1))
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert len(done) == 4, "a call was given up"
    assert ledger.read(run).settled == tokens(sum(done) + 5)


def test_an_operator_sees_every_account_and_what_was_lost_and_corrects_it(path, clock):
    worker = SqliteLedger(path, clock=clock)
    run, group = worker.open("run:1", Limits(tokens=100)), worker.open("group", Limits())
    worker.reserve(asking("a", (run, group), tokens(60)))
    worker.dispatch("a", 10.0)
    clock.now += 11
    operator = SqliteLedger(path, clock=clock)
    assert [(scope, balance.crashed) for scope, balance in operator.balances()] == [
        ("run:1", tokens(60)),
        ("group", tokens(60)),
    ]
    assert [scope for scope, _ in operator.balances("run:")] == ["run:1"]
    (lost,) = operator.crashed_holds()
    assert (lost.hold_id, lost.scopes, lost.amounts) == ("a", ("run:1", "group"), tokens(60))
    operator.settle(lost.hold_id, tokens(20))
    assert not operator.crashed_holds()
    assert worker.read(run) == Balance(Limits(tokens=100), tokens(20), ZERO, ZERO, ())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_in_the_middle_of_a_transaction_that_does_not_end_leaves_it_alone(path):
    ledger = SqliteLedger(path, timeout=0.05)
    run = ledger.open("run", Limits(model_calls=10))
    inside, forked = threading.Event(), threading.Event()

    def stay_inside() -> None:
        ledger._commits.do(lambda: (inside.set(), forked.wait(30)), durable=False)

    busy = threading.Thread(target=stay_inside)
    busy.start()
    inside.wait(30)
    child = os.fork()
    if not child:
        try:
            for each in (ledger, SqliteLedger(path)):
                for act in (lambda each=each: each.open("run", Limits()), each.sweep, lambda: ledger.read(run)):
                    with pytest.raises(sqlite3.OperationalError, match="start it anew"):
                        act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    forked.set()
    busy.join(30)
    granted(ledger.reserve(asking("parent", run, calls(1))))
    assert ledger.read(run).held == calls(1)
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_wait_that_is_broken_off_once_it_was_written_keeps_nobody_back(path, monkeypatch):
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(100))))
    delivered = ledger._books.delivered

    def broken_off():
        monkeypatch.setattr(ledger._books, "delivered", delivered)
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger._books, "delivered", broken_off)
    with pytest.raises(KeyboardInterrupt):
        ledger.wait(asking("broken off", run, tokens(100)), lambda: None)
    queued = InQueue(ledger, asking("b", run, tokens(60)))
    ledger.sweep()
    monkeypatch.setattr(ledger._transactions.process, "_last", float("-inf"))  # as if two seconds had gone by
    ledger.sweep()
    assert len(rows(path, "SELECT 1 FROM mas_guard_ledger_waiters")) == 1
    ledger.settle("a", ZERO)
    granted(queued.granted)


def test_a_refusal_for_a_halt_has_the_figures_after_leases_that_are_over(path, clock):
    ledger = SqliteLedger(path, clock=clock)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60), lease=60.0)))
    ledger.halt(run)
    clock.now += 61
    assert refused(ledger.reserve(asking("b", run, tokens(1)))).held == 0


# Many callers in one process


class _Gathered:
    """Lets calls of several threads gather behind one that is at work."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger

    def __call__(self, *acts):
        results = [None] * len(acts)

        def call(number: int) -> None:
            try:
                results[number] = acts[number]()
            except Exception as error:
                results[number] = error

        threads = [threading.Thread(target=call, args=(number,)) for number in range(len(acts))]
        with self.ledger._commits.turn:
            for thread in threads:
                thread.start()
            while len(self.ledger._commits._waiting) < len(acts):
                threading.Event().wait(0.001)
        self.ledger.sweep()
        self.ledger.dispatch("nobody", 1.0)
        for thread in threads:
            thread.join(30)
        return results


def test_calls_that_come_together_share_one_transaction(ledger, statements):
    run = ledger.open("run", Limits(tokens=5))
    statements.clear()
    acts = [lambda n=n: ledger.reserve(asking(f"{n}", run, tokens(1))) for n in range(8)]
    results = _Gathered(ledger)(*acts)
    assert sum(isinstance(result, Grant) for result in results) == 5
    assert statements.count("COMMIT") <= 2  # all of them, and the call that set it going
    assert ledger.read(run).held == tokens(5)


def test_a_call_that_fails_does_not_take_those_along_that_came_with_it(ledger, statements):
    run = ledger.open("run", Limits())
    too_large = Amounts(1 << 70)
    acts = [lambda n=n: ledger.reserve(asking(f"{n}", run, too_large if n == 3 else tokens(1))) for n in range(6)]
    results = _Gathered(ledger)(*acts)
    assert isinstance(results[3], OverflowError)
    assert sum(isinstance(result, Grant) for result in results) == 5
    assert ledger.read(run).held == tokens(5)


def test_a_settle_out_of_a_garbage_collection_neither_hangs_nor_miscounts(path):
    collecting = []

    def collects() -> float:
        if collecting:
            gc.collect()
        return 1_000.0

    ledger = SqliteLedger(path, clock=collects)
    run = ledger.open("run", Limits(tokens=100))

    class Stream:
        """An abandoned stream in a cycle, which settles its hold when it is collected."""

        def __init__(self, hold_id: str) -> None:
            self.hold_id, self.me = hold_id, self

        def __del__(self) -> None:
            ledger.settle(self.hold_id, Amounts(1))

    ledger.reserve(Ask("abandoned", (run,), Amounts(60)))
    Stream("abandoned")
    collecting.append(True)
    done = threading.Thread(target=ledger.reserve, args=(Ask("next", (run,), Amounts(99)),), daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()
    collecting.clear()
    balance = ledger.read(run)
    assert (balance.settled, balance.held) == (Amounts(1), Amounts(99))
