"""What every ledger must keep under many threads and many tasks at once."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mas_guard.ledger import Account, Ask, Grant, Ledger, Refusal
from mas_guard.testing.ledger_steps import (
    LedgerFixtures,
    asking,
    calls,
    granted,
    tokens,
)
from mas_guard.types import ZERO, Amounts, Limits

_PATIENCE = 30.0
"""Seconds after which a wait that should have been answered counts as hanging."""


class LedgerCrowdContract(LedgerFixtures):
    """Threads and tasks. Run as a part of `LedgerContract`."""

    @pytest.fixture(autouse=True)
    def threads_switch_often(self) -> Iterator[None]:
        """Let the interpreter change threads all the time, so that a missing lock shows."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(before)

    def test_many_threads_at_once_get_what_the_limit_allows_and_not_one_more(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits()), ledger.open("group", Limits(model_calls=1_500))
        start = threading.Barrier(8)

        def take(worker: int) -> int:
            start.wait()
            asks = (asking(f"{worker}/{n}", (run, group), calls(1)) for n in range(200))
            return sum(isinstance(ledger.reserve(ask), Grant) for ask in asks)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, range(8))) == 1_500
        assert ledger.read(run).held == ledger.read(group).held == calls(1_500)

    def test_threads_that_wait_are_all_served_and_never_pass_the_limit(self, ledger: Ledger) -> None:
        crowd = Crowd(ledger)
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(crowd.work_in_thread, worker, 60) for worker in range(8)]:
                done.result()
        crowd.check()

    def test_tasks_that_wait_are_all_served_and_never_pass_the_limit(self, ledger: Ledger) -> None:
        crowd = Crowd(ledger)

        async def work() -> None:
            async with asyncio.TaskGroup() as tasks:
                for worker in range(40):
                    tasks.create_task(crowd.work_in_task(worker, 12))

        asyncio.run(work())
        crowd.check()

    def test_threads_and_loops_wait_in_one_queue(self, ledger: Ledger) -> None:
        crowd = Crowd(ledger)
        with ThreadPoolExecutor(6) as pool:
            threads = [pool.submit(crowd.work_in_thread, worker, 40) for worker in range(4)]
            loops = [pool.submit(asyncio.run, crowd.work_in_task(worker, 40)) for worker in range(4, 6)]
            for done in [*threads, *loops]:
                done.result()
        crowd.check()

    def test_a_cancelled_task_leaves_nothing_behind(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(100))))

        async def work() -> None:
            waiting = [asyncio.create_task(_in_task(ledger, asking(f"w{n}", run, tokens(40)))) for n in range(5)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            ledger.settle("a", ZERO)
            await asyncio.gather(*waiting, return_exceptions=True)

        asyncio.run(work())
        assert ledger.read(run).held == ZERO


class Crowd:
    """Workers that share a group, each run with a budget of its own, and what they really spent."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.group = ledger.open("group", Limits(tokens=10_000_000, nano_usd=60_000))
        self.runs = [ledger.open(f"run {n}", Limits(tokens=600_000, model_calls=10_000)) for n in range(3)]
        self.spent = {account.scope: ZERO for account in (self.group, *self.runs)}
        self._lock = threading.Lock()

    def work_in_thread(self, worker: int, asks: int) -> None:
        """Reserve, wait where that is refused, send, settle; over and over."""
        for step in self._calls(worker, asks):
            step(_in_thread(self.ledger, step.ask))

    async def work_in_task(self, worker: int, asks: int) -> None:
        """Do the same as a task."""
        for step in self._calls(worker, asks):
            step(await _in_task(self.ledger, step.ask))
            await asyncio.sleep(0)

    def check(self) -> None:
        """Nothing is held any more, and what is booked is what was spent."""
        for account in (self.group, *self.runs):
            balance = self.ledger.read(account)
            assert (balance.held, balance.settled) == (ZERO, self.spent[account.scope])
            assert balance.breaches == ()

    def _calls(self, worker: int, asks: int) -> Iterator[CrowdCall]:
        dice = random.Random(worker)
        for number in range(asks):
            run = dice.choice(self.runs)
            output = dice.randint(1, 40)
            base = Amounts(dice.randint(1, 2_000), 1, 0, dice.randint(0, 10))
            ask = Ask(f"{worker}/{number}", (run, self.group), base, Amounts(1, 0, 0, 500), output, 1)
            yield CrowdCall(self, ask, dice)

    def book(self, accounts: tuple[Account, ...], actual: Amounts) -> None:
        """Note what a call really used, and look whether any level is over its limit."""
        with self._lock:
            for account in accounts:
                self.spent[account.scope] = self.spent[account.scope].plus(actual)
        for account in accounts:
            balance = self.ledger.read(account)
            for limit, settled, held in zip(balance.limits, balance.settled, balance.held, strict=True):
                assert limit is None or settled + held <= limit


class CrowdCall:
    """One call of a worker: what it asks, and what it does with the answer."""

    def __init__(self, crowd: Crowd, ask: Ask, dice: random.Random) -> None:
        self.ask = ask
        self._crowd = crowd
        self._dice = dice

    def __call__(self, answer: Grant | Refusal) -> None:
        """Send and settle what was granted, at most what it holds; release one in five."""
        ledger, hold_id = self._crowd.ledger, self.ask.hold_id
        if isinstance(answer, Refusal):
            assert not answer.can_wait
            return
        if self._dice.random() < 0.2:
            ledger.release(hold_id)
            return
        assert ledger.dispatch(hold_id, 600.0)
        used = self._dice.randint(0, answer.output)
        actual = Amounts(
            self.ask.base.tokens + used,
            1,
            0,
            self._dice.randint(0, 1) * (self.ask.base.nano_usd + used * 500) // 50,
        )
        ledger.settle(hold_id, actual)
        self._crowd.book(self.ask.accounts, actual)


def _in_thread(ledger: Ledger, ask: Ask) -> Grant | Refusal:
    found = ledger.reserve(ask)
    if isinstance(found, Grant) or not found.can_wait:
        return found
    woken = threading.Event()
    ticket = ledger.wait(ask, woken.set)
    assert woken.wait(_PATIENCE), "a wait was never answered"
    return _result(ticket.result)


async def _in_task(ledger: Ledger, ask: Ask) -> Grant | Refusal:
    found = ledger.reserve(ask)
    if isinstance(found, Grant) or not found.can_wait:
        return found
    woken = asyncio.Event()
    loop = asyncio.get_running_loop()
    ticket = ledger.wait(ask, lambda: loop.call_soon_threadsafe(woken.set))
    try:
        async with asyncio.timeout(_PATIENCE):
            await woken.wait()
    except BaseException:
        ledger.cancel(ticket)
        raise
    return _result(ticket.result)


def _result(result: Grant | Refusal | None) -> Grant | Refusal:
    if result is None:
        raise AssertionError("woken without an answer")
    return result
