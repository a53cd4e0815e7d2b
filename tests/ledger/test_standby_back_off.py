"""Clients of a lost store try it apart from one another, and do not come back in one moment."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mas_guard.errors import StoreUnavailable
from mas_guard.ledger.standby import StandbyLedger
from mas_guard.ledger.standby.back_off import FIRST_WINDOW, LONGEST_WINDOW, BackOff
from mas_guard.testing.ledger_steps import Clock, asking, calls, granted
from mas_guard.types import Limits
from tests.ledger.lossy_store import BEFORE, WELL, LossyStore, Scene

CLIENTS = 200
MOST_PER_TENTH = 25
"""Tries in a tenth of a second: were they spread evenly over the longest window, there would be four."""


def test_windows_double_up_to_the_longest_and_begin_anew_once_the_store_was_back_for_long():
    clock = Clock()
    back_off = BackOff(clock, lambda: 1.0)
    assert back_off.left() == 0
    back_off.lost()
    windows = [back_off.left()]
    for _ in range(8):
        back_off.failed()
        windows.append(back_off.left())
    assert windows == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])
    back_off.back()
    clock.now += LONGEST_WINDOW / 2
    back_off.lost()  # it was back for a moment only
    assert back_off.left() == pytest.approx(LONGEST_WINDOW)
    back_off.back()
    clock.now += LONGEST_WINDOW * 2
    back_off.lost()
    assert back_off.left() == pytest.approx(FIRST_WINDOW)


def test_a_try_comes_at_random_within_its_window():
    clock, dice = Clock(), random.Random(1)
    back_off = BackOff(clock, dice.random)
    tries = []
    for _ in range(100):
        back_off.lost()
        tries.append(back_off.left())
        back_off.back()
        clock.now += 60
    assert 0 < min(tries) < 0.01
    assert 0.09 < max(tries) < 0.1


def test_while_the_store_is_lost_calls_cost_no_tries_of_their_own():
    scene = Scene(jitter=lambda: 1.0)
    run = scene.ledger.open("run", Limits())
    window = scene.ledger.open_shared("window", Limits())
    scene.lose()
    scene.store.calls.clear()
    for number in range(100):
        granted(scene.ledger.reserve(asking(f"{number}", run, calls(1))))
        scene.ledger.settle(f"{number}", calls(1))
        with pytest.raises(StoreUnavailable):
            scene.ledger.reserve(asking(f"{number} more", window, calls(1)))
        scene.ledger.sweep()
    assert scene.store.calls == []
    scene.clock.now += 0.11
    for number in range(100, 200):
        granted(scene.ledger.reserve(asking(f"{number}", run, calls(1))))
    assert scene.store.calls == ["open"]


def test_one_call_tries_the_store_and_all_others_are_answered_meanwhile():
    scene = Scene()
    run = scene.ledger.open("run", Limits())
    scene.lose()
    scene.clock.now += 6
    tried, answered = threading.Event(), threading.Event()

    def hang(call: str) -> str:
        tried.set()
        assert answered.wait(20)
        return BEFORE

    scene.store.fate = hang
    scene.store.calls.clear()
    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(scene.ledger.reserve, asking("tries", run, calls(1)))
        assert tried.wait(20)
        for number in range(20):
            granted(scene.ledger.reserve(asking(f"{number}", run, calls(1))))
        answered.set()
        granted(trying.result())
    assert scene.store.calls == ["open"]


def test_a_try_writes_so_that_a_store_which_only_reads_is_not_taken_for_back():
    scene = Scene()
    run = scene.ledger.open("run", Limits())
    scene.store.fate = lambda call: WELL if call in ("read", "spent", "sweep") else BEFORE
    granted(scene.ledger.reserve(asking("a", run, calls(1))))
    for _ in range(10):
        scene.clock.now += 6
        scene.ledger.sweep()
        assert scene.ledger.lost


def test_a_store_that_is_lost_while_it_is_told_is_told_the_rest_later():
    scene = Scene()
    runs = [scene.ledger.open(f"run {number}", Limits()) for number in range(30)]
    scene.lose()
    for number, run in enumerate(runs):
        granted(scene.ledger.reserve(asking(f"{number}", run, calls(2))))
        scene.ledger.settle(f"{number}", calls(2))
    scene.store.mend()
    told = iter(range(10))
    scene.store.fate = lambda call: WELL if next(told, None) is not None else BEFORE
    scene.clock.now += 6
    scene.ledger.sweep()
    assert scene.ledger.lost
    scene.bring_back()
    assert [scene.balance(run.scope).settled for run in runs] == [calls(2)] * 30


def test_the_store_is_told_in_small_batches_between_which_others_are_answered():
    scene = Scene()
    clock = scene.clock
    run = scene.ledger.open("run", Limits())
    for number in range(100):
        granted(scene.ledger.reserve(asking(f"{number}", run, calls(1))))
    scene.lose()
    for number in range(100):
        scene.ledger.settle(f"{number}", calls(1))

    def slowly(call: str) -> str:
        clock.now += 0.01
        return WELL

    scene.store.fate = slowly
    clock.now += 6
    batches = []
    while scene.ledger.lost:
        before = len(scene.store.calls)
        scene.ledger.sweep()
        batches.append(len(scene.store.calls) - before)
    assert len(batches) == 5
    assert max(batches) <= 23
    assert scene.balance("run").settled == calls(100)


def test_two_hundred_clients_do_not_come_back_in_one_moment():
    """Each calls twenty times a second; the store is gone for 15 s. Tries are counted per tenth of a second."""
    clock = Clock(0.0)
    store = LossyStore(clock)
    dice = random.Random(6)
    clients = [StandbyLedger(lambda: store, place="redis://", now=clock, jitter=dice.random) for _ in range(CLIENTS)]
    runs = [client.open(f"run {number}", Limits()) for number, client in enumerate(clients)]
    store.fail()
    tries: Counter[int] = Counter()
    back: list[float] = []
    ticks = 0
    while len(back) < CLIENTS:
        clock.now = ticks / 20
        if clock.now == 15:
            store.mend()
        for number, (client, run) in enumerate(zip(clients, runs, strict=True)):
            lost = client.lost
            store.calls.clear()
            granted(client.reserve(asking(f"{number}/{ticks}", run, calls(1))))
            client.settle(f"{number}/{ticks}", calls(1))
            if lost:
                tries[int(clock.now * 10)] += store.calls.count("open")
                if not client.lost:
                    back.append(clock.now)
        ticks += 1
    assert 15 <= min(back) < max(back) <= 15 + LONGEST_WINDOW + 0.05
    assert max(Counter(int(at * 10) for at in back).values()) <= MOST_PER_TENTH
    assert max(number for tenth, number in tries.items() if tenth >= 50) <= MOST_PER_TENTH
    assert max(back) - min(back) >= LONGEST_WINDOW / 2
    for number in range(CLIENTS):
        assert dict(store.books.balances(f"run {number}"))[f"run {number}"].settled == calls(ticks)
