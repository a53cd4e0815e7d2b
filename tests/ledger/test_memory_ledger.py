"""The memory ledger keeps the contract, and what only this store promises."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import pytest

from mas_guard.ledger import REMEMBERED_BREACHES, REMEMBERED_IDS, Ask, MemoryLedger
from mas_guard.testing.ledger_contract import LedgerContract, MakeLedger
from mas_guard.types import Amounts, Limits


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self) -> MakeLedger:
        return lambda clock: MemoryLedger(clock=clock)


def _live_a_run(ledger: MemoryLedger, group, number: int) -> None:
    run = ledger.open(f"run {number}", Limits(tokens=1_000, model_calls=2))
    for hold_id in (f"{number} settled", f"{number} left behind"):
        ledger.reserve(Ask(hold_id, (run, group), Amounts(100, 1)))
        ledger.dispatch(hold_id, 1.0)
    waiting = ledger.wait(Ask(f"{number} waits", (run, group), Amounts(900)), lambda: None)
    ledger.settle(f"{number} settled", Amounts(50, 1))
    ledger.charge((run, group), Amounts(1), f"{number} late")
    ledger.cancel(waiting)
    ledger.close(run)


def test_memory_stays_flat_over_opened_and_closed_accounts():
    now = [0.0]
    ledger = MemoryLedger(clock=lambda: now[0])
    group = ledger.open("group", Limits(tokens=10**12))

    def live_runs(first: int, last: int) -> int:
        for number in range(first, last):
            now[0] += 0.01
            _live_a_run(ledger, group, number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = live_runs(0, 1_000)
        after = live_runs(1_000, 6_000)
    finally:
        tracemalloc.stop()
    assert after < before * 1.1
    assert len(ledger.holds) <= 200
    assert ledger.read(group).held.tokens == 100 * len(ledger.holds)


def test_what_an_account_remembers_is_bounded():
    ledger = MemoryLedger()
    run = ledger.open("run", Limits())
    for number in range(3 * REMEMBERED_IDS):
        ledger.reserve(Ask(f"{number}", (run,), Amounts(1)))
        ledger.settle(f"{number}", Amounts(2))
        ledger.charge((run,), Amounts(1), f"{number}")
    assert len(ledger.holds) <= 1.2 * REMEMBERED_IDS
    assert len(ledger.read(run).breaches) == REMEMBERED_BREACHES
    assert ledger.read(run).settled == Amounts(9 * REMEMBERED_IDS)


def test_thousands_may_leave_the_queue_and_leave_nothing_behind():
    ledger = MemoryLedger()
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(Ask("holds", (run,), Amounts(100)))
    head = ledger.wait(Ask("head", (run,), Amounts(100)), lambda: None)
    for number in range(5_000):
        ledger.cancel(ledger.wait(Ask(f"{number}", (run,), Amounts(10)), lambda: None))
    line = run.queue.lines[0]
    assert len(line) == 1
    assert len(line._heap) < 100
    ledger.cancel(head)
    assert run.queue is None


def test_serving_a_settle_looks_only_at_those_who_may_be_next(monkeypatch):
    ledger = MemoryLedger()
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(Ask("0", (run,), Amounts(100)))
    tickets = [ledger.wait(Ask(f"{n + 1}", (run,), Amounts(100)), lambda: None) for n in range(2_000)]
    looked_at = []
    answer = MemoryLedger.answer
    monkeypatch.setattr(MemoryLedger, "answer", lambda self, waiter: looked_at.append(1) or answer(self, waiter))
    for number in range(2_000):
        ledger.settle(f"{number}", Amounts(0))
    assert all(ticket.result is not None for ticket in tickets)
    assert len(looked_at) <= 3 * 2_000


def test_a_settle_out_of_a_garbage_collection_neither_hangs_nor_miscounts():
    ledger = MemoryLedger()
    run = ledger.open("run", Limits(tokens=100))

    class Stream:
        """An abandoned stream in a cycle, which settles its hold when it is collected."""

        def __init__(self, hold_id: str) -> None:
            self.hold_id, self.me = hold_id, self

        def __del__(self) -> None:
            ledger.settle(self.hold_id, Amounts(1))

    def collects() -> float:
        gc.collect()
        return 0.0

    ledger.clock = collects
    ledger.reserve(Ask("abandoned", (run,), Amounts(60)))
    Stream("abandoned")
    done = threading.Thread(target=ledger.reserve, args=(Ask("next", (run,), Amounts(40)),), daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()
    balance = ledger.read(run)
    assert (balance.settled, balance.held) == (Amounts(1), Amounts(40))


def test_whatever_touches_the_holds_does_so_under_the_lock():
    ledger = MemoryLedger()
    run = ledger.open("run", Limits(tokens=100))
    touched = []

    class Guarded(dict):
        def _check(self) -> None:
            assert ledger._lock._is_owned()
            touched.append(1)

        def __contains__(self, key: object) -> bool:
            self._check()
            return super().__contains__(key)

        def __setitem__(self, key: str, value: object) -> None:
            self._check()
            super().__setitem__(key, value)

        def get(self, *arguments):
            self._check()
            return super().get(*arguments)

    ledger.holds = Guarded()
    for act in (
        lambda: ledger.reserve(Ask("a", (run,), Amounts(60))),
        lambda: ledger.reserve(Ask("b", (run,), Amounts(60))),
        lambda: ledger.reserve_fitting(Ask("c", (run,), Amounts(10))),
        lambda: ledger.wait(Ask("d", (run,), Amounts(60)), lambda: None),
        lambda: ledger.dispatch("a", 60.0),
        lambda: ledger.settle("a", Amounts(10)),
        lambda: ledger.settle("a", Amounts(10)),
        lambda: ledger.release("c"),
    ):
        touched.clear()
        act()
        assert touched
        assert not ledger._lock._is_owned()
