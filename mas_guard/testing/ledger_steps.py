"""The words that the ledger's contract is written in: a clock, asks in short, and whom they woke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mas_guard.ledger import Account, Ask, Grant, Ledger, Refusal, Ticket
from mas_guard.types import Amounts

MakeLedger = Callable[[Callable[[], float]], Ledger]


class Clock:
    """Seconds that pass only by hand: `clock.now += 60`."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class LedgerFixtures:
    """A ledger of the store under test, on a clock of its own."""

    @pytest.fixture
    def make_ledger(self) -> MakeLedger:
        """Return what makes an empty ledger on a given clock; each store supplies its own."""
        raise NotImplementedError("give your test class a fixture `make_ledger` that returns your ledger")

    @pytest.fixture
    def clock(self) -> Clock:
        """Return the ledger's clock."""
        return Clock()

    @pytest.fixture
    def ledger(self, make_ledger: MakeLedger, clock: Clock) -> Ledger:
        """Return an empty ledger."""
        return make_ledger(clock)

    @pytest.fixture
    def elsewhere(self, ledger: Ledger) -> Ledger:
        """Return what another process has of the same store; a store that processes share supplies its own."""
        return ledger


class InQueue:
    """One who waits, and how often it was woken."""

    def __init__(self, ledger: Ledger, ask: Ask) -> None:
        self.wakes = 0
        self.ticket: Ticket = ledger.wait(ask, self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    @property
    def waits(self) -> bool:
        """True while it is not answered; a wake without an answer, or the reverse, is an error."""
        answered = self.ticket.result is not None
        if self.wakes != int(answered):
            raise AssertionError(f"answered: {answered}, but woken {self.wakes} times")
        return not answered

    @property
    def granted(self) -> Grant:
        """Its grant."""
        if self.waits:
            raise AssertionError("it still waits")
        return granted(self.ticket.result)

    @property
    def refused(self) -> Refusal:
        """Its refusal."""
        if self.waits:
            raise AssertionError("it still waits")
        return refused(self.ticket.result)


def tokens(number: int) -> Amounts:
    """So many tokens and nothing else."""
    return Amounts(tokens=number)


def calls(number: int) -> Amounts:
    """So many model calls and nothing else."""
    return Amounts(model_calls=number)


def tool_calls(number: int) -> Amounts:
    """So many tool calls and nothing else."""
    return Amounts(tool_calls=number)


def money(nano_usd: int) -> Amounts:
    """So much money and nothing else."""
    return Amounts(nano_usd=nano_usd)


def asking(hold_id: str, accounts: Account | tuple[Account, ...], base: Amounts, **more: Any) -> Ask:
    """Build an ask; one account needs no tuple."""
    return Ask(hold_id, (accounts,) if isinstance(accounts, Account) else accounts, base, **more)


def granted(result: Grant | Refusal | None) -> Grant:
    """Return *result*, which must be a grant."""
    if not isinstance(result, Grant):
        raise AssertionError(f"expected a grant, got {result!r}")
    return result


def refused(result: Grant | Refusal | None) -> Refusal:
    """Return *result*, which must be a refusal."""
    if not isinstance(result, Refusal):
        raise AssertionError(f"expected a refusal, got {result!r}")
    return result
