"""An effect that has begun goes on to its end: no time-out, no stop and no cancelled task cuts it mid-way."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

import mas_guard
from mas_guard._engine import Engine
from mas_guard._once import Effect
from mas_guard.errors import DeadlineExceeded
from tests.clock import Clock
from tests.core.once_calls import UNKNOWN, Bank, called, called_async, engine_with, run_in, tool_call
from tests.fixtures import clock, unguarded_process

__all__ = ["clock", "unguarded_process"]


class SlowBank(Bank):
    """Pays back in two moves, with a wait between them."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def refund_slowly(self) -> str:
        self.entered.set()
        try:
            await self.go_on.wait()
            return self.refund()
        finally:
            self.left.set()


def test_a_cancelled_caller_lets_the_tool_run_to_its_end() -> None:
    async def story() -> None:
        bank = SlowBank()
        with run_in(engine_with()) as run:
            caller = asyncio.create_task(called_async(run, tool_call(), bank.refund_slowly))
            await bank.entered.wait()
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            meanwhile = await called_async(run, tool_call(), bank.refund_slowly)
            assert "being carried out by another call" in meanwhile
            bank.go_on.set()
            await bank.left.wait()
            await asyncio.sleep(0)
            assert await called_async(run, tool_call(), bank.refund_slowly) == "refund 1 of order 17"
            assert run.spent().tool_calls == 1
            assert run.ledger.read(run.account).held.tool_calls == 0
        assert bank.paid == [17]

    asyncio.run(story())


def test_an_end_of_the_event_loop_leaves_it_unknown() -> None:
    engine, run_id = engine_with(), os.urandom(8).hex()  # records in memory are those of all tests in this process

    async def given_up() -> None:
        bank = SlowBank()
        with run_in(engine, run_id) as run:
            caller = asyncio.create_task(called_async(run, tool_call(), bank.refund_slowly))
            await bank.entered.wait()
            caller.cancel()

    asyncio.run(given_up())
    bank = Bank()
    with run_in(engine, run_id) as run:
        assert UNKNOWN in called(run, tool_call(), bank.refund)
    assert not bank.paid


def test_the_context_of_the_caller_is_the_tools() -> None:
    async def tool() -> Any:
        return mas_guard.effect_id()

    async def story() -> None:
        with run_in(engine_with()) as run:
            assert len(await called_async(run, tool_call(), tool)) == 32

    asyncio.run(story())


def test_a_tools_own_error_reaches_the_caller_as_it_is() -> None:
    async def tool() -> Any:
        raise TimeoutError("no answer")

    async def story() -> None:
        with run_in(engine_with()) as run:
            with pytest.raises(TimeoutError, match="no answer"):
                await called_async(run, tool_call(), tool)
            assert UNKNOWN in await called_async(run, tool_call(), tool)

    asyncio.run(story())


def engine_at(clock: Clock) -> Engine:
    return Engine(engine_with(deadline=10).policy, now=clock)


def test_a_deadline_that_passes_meanwhile_cuts_the_next_call_and_not_this_one(clock: Clock) -> None:
    bank = Bank()

    def slow() -> str:
        clock.advance(60)
        return bank.refund()

    with run_in(engine_at(clock)) as run:
        assert called(run, tool_call(), slow) == "refund 1 of order 17"
        with pytest.raises(DeadlineExceeded):
            called(run, tool_call(order_id=18), bank.refund)
    assert bank.paid == [17]


def test_an_asynchronous_tool_gets_no_time_out(clock: Clock) -> None:
    """A tool that may happen again is cut when the deadline is over, and this one is not."""

    async def story(tool: str) -> Any:
        with run_in(engine_at(clock)) as run:
            clock.advance(9.98)  # 20 ms are left
            ended = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, ended.set)
            return await called_async(run, tool_call(tool, order_id=17), lambda: whole(ended))

    async def whole(ended: asyncio.Event) -> str:
        await ended.wait()
        return "paid"

    with pytest.raises((DeadlineExceeded, TimeoutError)):
        asyncio.run(story("look_up"))
    assert asyncio.run(story("refund")) == "paid"


def test_without_the_shield_a_cancelled_caller_would_have_cut_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above show something: this is what happens to any other tool."""
    monkeypatch.setattr(Effect, "whole", False)

    async def story() -> None:
        bank = SlowBank()
        with run_in(engine_with()) as run:
            caller = asyncio.create_task(called_async(run, tool_call(), bank.refund_slowly))
            await bank.entered.wait()
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
        assert bank.left.is_set() and not bank.paid

    asyncio.run(story())
