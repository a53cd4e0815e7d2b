"""A store that is lost and comes back at any point of a call's life: the books are true in the end, and no limit is passed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from mas_guard.ledger import Ask, Grant
from mas_guard.testing.ledger_steps import InQueue
from mas_guard.types import ZERO, Amounts, Limits
from tests.ledger.lossy_store import AFTER, BEFORE, WELL, Scene

LIMITS = Limits(tokens=1_000, model_calls=8, nano_usd=1_000)


class Story:
    """Calls on a run, its agents and the run around it, over a store that fails now and then; and what is true.

    Attributes:
        held: What each live call was granted, and on which accounts.
        spent: What each account has really spent.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.scene = Scene(jitter=self.dice.random)
        self.ledger = self.scene.ledger
        self.held: dict[str, tuple[tuple[str, ...], Amounts, bool]] = {}
        self.spent: dict[str, Amounts] = {}
        self.limits: dict[str, Limits] = {}
        self.accounts: dict[str, Any] = {}
        self.waiting: dict[str, InQueue] = {}
        self.ids = 0
        self.share_lost = 0.0
        self.scene.store.fate = self._fate
        for scope in ("outer", "run", "agent"):
            self.open(scope)

    def _fate(self, call: str) -> str:
        if self.dice.random() >= self.share_lost:
            return WELL
        return self.dice.choice((BEFORE, AFTER))

    def open(self, scope: str) -> None:
        self.accounts[scope] = self.ledger.open(scope, LIMITS)
        self.limits[scope] = LIMITS
        self.spent[scope] = ZERO

    def step(self) -> None:
        weather = self.dice.random()
        if weather < 0.08:
            self.share_lost = self.dice.choice((0.0, 0.0, 0.3, 1.0))
        act: Callable[[], None] = self.dice.choices(
            (self.ask, self.wait, self.send, self.settle, self.release, self.charge, self.top_up, self.leave, self.reopen, self.pass_time),
            (30, 6, 25, 20, 6, 3, 2, 3, 1, 14),
        )[0]  # fmt: skip
        act()
        self.hear()
        self.check()

    def _ask(self) -> Ask:
        self.ids += 1
        scopes = self.dice.choice((("run",), ("run", "outer"), ("run", "outer", "agent"), ("agent",)))
        dice = self.dice
        return Ask(
            f"{self.ids}",
            tuple(self.accounts[scope] for scope in scopes),
            Amounts(dice.randint(1, 150), 1, 0, dice.randint(0, 100)),
            Amounts(1, 0, 0, 1),
            dice.randint(0, 400),
            0,
        )

    def _take(self, ask: Ask, grant: Grant) -> None:
        assert not grant.spent
        self.held[ask.hold_id] = (tuple(account.scope for account in ask.accounts), grant.amounts, False)

    def ask(self) -> None:
        ask = self._ask()
        way = self.dice.choice((self.ledger.reserve, self.ledger.reserve_fitting))
        found = way(ask)
        if isinstance(found, Grant):
            self._take(ask, found)
            if self.dice.random() < 0.1:
                again = way(ask)
                assert isinstance(again, Grant)
                assert (again.amounts, again.spent) == (found.amounts, False)

    def wait(self) -> None:
        ask = self._ask()
        self.waiting[ask.hold_id] = InQueue(self.ledger, ask)

    def hear(self) -> None:
        for hold_id, queued in list(self.waiting.items()):
            if not queued.waits:
                del self.waiting[hold_id]
                if isinstance(queued.ticket.result, Grant) and not queued.ticket.result.spent:
                    self._take(queued.ticket.ask, queued.ticket.result)

    def leave(self) -> None:
        if self.waiting:
            hold_id = self.dice.choice(list(self.waiting))
            self.ledger.cancel(self.waiting.pop(hold_id).ticket)

    def _one(self) -> str | None:
        return self.dice.choice(list(self.held)) if self.held else None

    def send(self) -> None:
        hold_id = self._one()
        if hold_id is not None:
            scopes, amounts, _ = self.held[hold_id]
            assert self.ledger.dispatch(hold_id, 10_000.0)
            self.held[hold_id] = scopes, amounts, True

    def settle(self) -> None:
        hold_id = self._one()
        if hold_id is None:
            return
        scopes, amounts, _ = self.held.pop(hold_id)
        actual = Amounts(*(self.dice.randint(0, amount) for amount in amounts))
        for _ in range(self.dice.choice((1, 1, 2))):
            settlement = self.ledger.settle(hold_id, actual)
            assert settlement.known
            assert not settlement.breach
        for scope in scopes:
            self.spent[scope] = self.spent[scope].plus(actual)

    def release(self) -> None:
        hold_id = self._one()
        if hold_id is not None:
            del self.held[hold_id]
            self.ledger.release(hold_id)

    def charge(self) -> None:
        self.ids += 1
        scopes = self.dice.choice((("run",), ("run", "outer")))
        room = [self.room(scope) for scope in scopes]
        amounts = Amounts(tokens=min(self.dice.randint(0, 50), *(left.tokens for left in room)))
        for _ in range(2):
            self.ledger.charge(tuple(self.accounts[scope] for scope in scopes), amounts, f"charge {self.ids}")
        for scope in scopes:
            self.spent[scope] = self.spent[scope].plus(amounts)

    def top_up(self) -> None:
        scope = self.dice.choice(list(self.accounts))
        more = self.limits[scope]
        self.limits[scope] = Limits(more.tokens + 100, more.model_calls + 2, None, more.nano_usd + 100)
        self.ledger.set_limits(self.accounts[scope], self.limits[scope])

    def reopen(self) -> None:
        if any("agent" in scopes for scopes, _, _ in self.held.values()):
            return
        self.ledger.close(self.accounts["agent"])
        self.hear()
        self.open("agent")

    def pass_time(self) -> None:
        self.scene.clock.now += self.dice.choice((0.01, 0.1, 1.0, 6.0))
        for hold_id, (_, _, sent) in self.held.items():  # nobody lets a hold lie for as long as its lease
            if not sent:
                self.ledger.dispatch(hold_id, 10_000.0)
        self.held = {hold_id: (scopes, amounts, True) for hold_id, (scopes, amounts, _) in self.held.items()}
        self.ledger.sweep()

    def held_on(self, scope: str) -> Amounts:
        found = ZERO
        for scopes, amounts, _ in self.held.values():
            if scope in scopes:
                found = found.plus(amounts)
        return found

    def room(self, scope: str) -> Amounts:
        used = self.spent[scope].plus(self.held_on(scope))
        return Amounts(*((limit or 0) - amount for limit, amount in zip(self.limits[scope], used, strict=True)))

    def check(self) -> None:
        """No account has more held and spent than its limit, in truth and not only in the books."""
        for scope, limits in self.limits.items():
            used = self.spent[scope].plus(self.held_on(scope))
            for limit, amount in zip(limits, used, strict=True):
                assert limit is None or amount <= limit, f"{scope} has {used} of {limits}"

    def check_books(self) -> None:
        """The store is back, and its books are the truth."""
        self.share_lost = 0.0
        self.scene.clock.now += 6
        for _ in range(1_000):
            if not self.ledger.lost:
                break
            self.ledger.sweep()
        self.hear()
        assert not self.ledger.lost
        assert len(self.ledger.journal) == 0
        for scope in self.accounts:
            balance = self.scene.balance(scope)
            assert (balance.settled, balance.held) == (self.spent[scope], self.held_on(scope)), scope
            assert (balance.limits, balance.crashed, balance.breaches) == (self.limits[scope], ZERO, ())
            shadow = self.ledger.shadow.read(self.accounts[scope])
            assert (shadow.settled, shadow.held) == (balance.settled, balance.held)

    def end(self) -> None:
        """Everything under way ends."""
        while self.held or self.waiting:
            for hold_id in list(self.waiting):
                self.ledger.cancel(self.waiting.pop(hold_id).ticket)
            for _ in range(len(self.held)):
                self.settle()
            self.hear()
        assert all(self.held_on(scope) == ZERO for scope in self.accounts)


@pytest.mark.parametrize("batch", range(10))
def test_whatever_is_lost_and_whenever_the_books_are_true_in_the_end_and_no_limit_is_passed(batch):
    for seed in range(batch * 20, batch * 20 + 20):
        story = Story(seed)
        try:
            for step in range(150):
                story.step()
                if step % 50 == 49:
                    story.check_books()
            story.end()
            story.check_books()
        except BaseException as error:
            error.add_note(f"in the story of seed {seed}")
            raise
