"""The holds of the memory ledger: how they are taken, how they end, and what is remembered of them.

Nothing here locks, waits or wakes. Figures change by sums only (`+=`), and a hold is spent before its sums are
booked: so a settle that a garbage collection slips in between two steps stays right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

from mas_guard.ledger._account import Hold, MemoryAccount
from mas_guard.ledger._outlook import needed
from mas_guard.ledger.base import REMEMBERED_IDS, Ask, Breach, CrashedHold, Grant, Settlement
from mas_guard.types import UNITS, ZERO, Amounts

AS_HELD = Settlement()
LATE = Settlement(late=True)
UNKNOWN = Settlement(known=False)

Known = Settlement | Hold
"""What is known of an id. A `Hold` is live, or lost where it is `spent`: its lease ended it, which can still be put
right. A `Settlement` is what it was settled with; `UNKNOWN` for a released one. An ended hold itself is not kept:
ten thousand of them would cost each call a share of the garbage collections that they cause."""

REMEMBERED_AT_MOST = REMEMBERED_IDS + 1_000
"""The oldest ids are forgotten once this many are remembered."""


class Books:
    """All holds of one ledger.

    Attributes:
        holds: What is known of each id, live and ended in one dict, so that a call looks once. The first account
            of ended holds bounds how many are remembered.
        latest: The last time that the clock showed.
        soonest: No live hold's lease ends before this; a lower bound, so that nothing is searched in vain.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.holds: dict[str, Known] = {}
        self.latest = -math.inf
        self.soonest = math.inf

    def now(self) -> float:
        """Read the clock. Where it was set back, every lease is moved along, so that none gets longer."""
        now = self.clock()
        if now < self.latest:
            self.move_leases(now - self.latest)
        self.latest = now
        return now

    def move_leases(self, by: float) -> None:
        """Let every lease end *by* seconds later; earlier where it is negative."""
        self.soonest += by
        for hold in self.live_holds():
            hold.ends += by

    def live_hold(self, hold_id: str) -> Hold | None:
        """Return the hold with this id, if it has not ended."""
        hold = self.holds.get(hold_id)
        return hold if isinstance(hold, Hold) and not hold.spent else None

    def live_holds(self) -> list[Hold]:
        """Return all live holds. Looks through everything remembered, so it is for rare use."""
        return [hold for hold in list(self.holds.values()) if isinstance(hold, Hold) and not hold.spent]

    def known(self, hold_id: str) -> Grant | None:
        """Return what a repeated ask gets. A hold that lapsed unsent is forgotten: its id may be taken anew."""
        known = self.holds.get(hold_id)
        if known is None:
            return None
        if isinstance(known, Hold):
            if not known.spent:
                return known
            if not known.sent:
                del self.holds[hold_id]
                known.accounts[0].ended.remove(hold_id)
                return None
        return _spent(hold_id)

    def take(self, ask: Ask, output: int) -> Hold:
        """Hold the ask with *output* output tokens. Whoever calls has seen that it fits."""
        hold = Hold()
        hold.hold_id = ask.hold_id
        hold.output = output
        amounts = needed(ask, output)
        hold.tokens, hold.model_calls, hold.tool_calls, hold.nano_usd = amounts
        hold.accounts = cast("tuple[MemoryAccount, ...]", ask.accounts)
        hold.ends = self.now() + ask.lease
        hold.sent = hold.spent = False
        hold.stuck = 0
        self.soonest = min(self.soonest, hold.ends)
        for account in hold.accounts:
            account.book(amounts, ZERO)
        self.holds[hold.hold_id] = hold
        return hold

    def unstick_calls(self, hold: Hold) -> None:
        """Say that a stuck hold is being sent: its calls cannot come back any more, stuck or not."""
        for account in hold.accounts:
            account.add_stuck((0, hold.model_calls, hold.tool_calls, 0), -1)

    def settle_live(self, hold: Hold, actual: Amounts) -> Settlement:
        """End a live hold with what was used, be it more than it held."""
        breaches = self._breaches(hold, hold.held(), actual)
        settlement = Settlement(breaches=breaches) if breaches else AS_HELD
        self._end(hold, settlement, _difference(actual, hold.held()), actual)
        return settlement

    def settle_lost(self, hold: Hold, actual: Amounts) -> Settlement:
        """Put right what the lease's end charged, or gave back too early."""
        held = hold.held() if hold.sent else ZERO
        breaches = self._breaches(hold, held, actual)
        settlement = Settlement(late=True, breaches=breaches) if breaches else LATE
        self._correct(hold, settlement, actual)
        return settlement

    def give_back(self, hold_id: str) -> tuple[MemoryAccount, ...]:
        """End a hold that cost nothing; where its lease's end charged it, take that back.

        Returns the accounts where that changed something.
        """
        hold = self.holds.get(hold_id)
        if not isinstance(hold, Hold):
            return ()
        if not hold.spent:
            self._end(hold, UNKNOWN, _difference(ZERO, hold.held()), ZERO)
        elif hold.sent:
            self._correct(hold, UNKNOWN, ZERO)
        return hold.accounts

    def end_leases(self) -> list[MemoryAccount]:
        """End every lease that is over; return the accounts where that changed something."""
        now = self.now()
        if now < self.soonest:
            return []
        self.soonest = math.inf
        touched: list[MemoryAccount] = []
        for hold in self.live_holds():
            if hold.ends > now:
                self.soonest = min(self.soonest, hold.ends)
                continue
            if hold.sent:
                self._end(hold, hold, ZERO, hold.held())
                self._add_crashed(hold, 1)
            else:
                self._end(hold, hold, _difference(ZERO, hold.held()), ZERO)
            touched.extend(hold.accounts)
        return touched

    def crashed(self) -> list[CrashedHold]:
        """The holds that were charged and may be corrected. Looks through everything remembered."""
        return [
            CrashedHold(hold.hold_id, tuple(level.scope for level in hold.accounts if not level.closed), hold.amounts)
            for hold in list(self.holds.values())
            if isinstance(hold, Hold) and hold.spent and hold.sent
        ]

    def remember(self, hold: Hold, ended: Known) -> None:
        """Keep an ended hold's id as long as its first account lives, within that account's bound."""
        first = hold.accounts[0]
        if first.closed:
            del self.holds[hold.hold_id]
            return
        self.holds[hold.hold_id] = ended
        first.ended.append(hold.hold_id)
        if len(first.ended) > REMEMBERED_AT_MOST:
            self.forget_oldest(first, len(first.ended) - REMEMBERED_IDS)

    def forget_oldest(self, account: MemoryAccount, number: int) -> None:
        """Forget the oldest ids of *account*; many at once cost a third of one by one."""
        holds, remembered = self.holds, account.ended
        for _ in range(number):
            del holds[remembered.popleft()]

    def _end(self, hold: Hold, ended: Known, used: Sequence[int], settled: Sequence[int]) -> None:
        hold.spent = True
        for account in hold.accounts:
            account.book(used, settled)
            if hold.sent:
                account.sent_model_calls -= hold.model_calls
                account.sent_tool_calls -= hold.tool_calls
            if hold.stuck:
                account.add_stuck(hold.returnable(), -1)
        self.remember(hold, ended)

    def _correct(self, hold: Hold, settlement: Settlement, actual: Amounts) -> None:
        self.holds[hold.hold_id] = settlement
        difference: Sequence[int] = actual
        if hold.sent:
            self._add_crashed(hold, -1)
            difference = _difference(actual, hold.held())
        for account in hold.accounts:
            account.book(difference, difference)

    def _add_crashed(self, hold: Hold, sign: int) -> None:
        held = hold.held()
        for account in hold.accounts:
            for unit in range(4):
                account.crashed[unit] += sign * held[unit]

    def _breaches(self, hold: Hold, held: Sequence[int], actual: Amounts) -> tuple[Breach, ...]:
        breaches = tuple(
            Breach(hold.hold_id, unit, had, used)
            for unit, had, used in zip(UNITS, held, actual, strict=True)
            if used > had
        )
        if breaches:
            for account in hold.accounts:
                account.breaches.extend(breaches)
        return breaches


def _spent(hold_id: str) -> Grant:
    grant = Grant()
    grant.hold_id = hold_id
    grant.output = grant.tokens = grant.model_calls = grant.tool_calls = grant.nano_usd = 0
    grant.spent = True
    return grant


def _difference(amounts: Sequence[int], less: Sequence[int]) -> tuple[int, ...]:
    return tuple(mine - theirs for mine, theirs in zip(amounts, less, strict=True))
