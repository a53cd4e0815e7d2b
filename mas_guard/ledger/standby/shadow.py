"""What this process knows by itself of the accounts that it has in a store: its own holds, and what it has spent.

Everything that the store acknowledges is noted here, whether it fits or not; an ask is noted in full before it is sent,
so that nobody is granted the same units here while its answer is on the way. Where the store is lost, the accounts of
this process alone go on from these figures.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from mas_guard.ledger._account import Hold, MemoryAccount
from mas_guard.ledger._queue import Queue, Waiter, wake_all
from mas_guard.ledger.base import Account, Ask, Grant, Ticket
from mas_guard.ledger.memory import MemoryLedger
from mas_guard.types import ZERO, Amounts, Limits

Levels = tuple["StandbyAccount", ...]


class StandbyAccount(MemoryAccount):
    """An account as callers hold it. Its figures are what this process has held and spent.

    Attributes:
        inner: The store's own handle; `None` until the store was reached.
        root: See `Ledger.open`.
        shared: True where other processes pay from it too, or may: without the store nothing is granted on it.
        wanted: True where somebody wanted to share it while the store was lost.
        limits_due, halt_due: True where its limits, or whether it is halted, must still be told to the store.
        brought: What was charged on it before its first hold, while the store was not reached: a resumed run brings what
            it knows of its past.
        spent_here: What was spent without the store, by the levels that pay for it; this account is the first of them.
    """

    __slots__ = ("brought", "halt_due", "inner", "limits_due", "root", "shared", "spent_here", "wanted")

    def __init__(self, scope: str, limits: Limits, root: str = "") -> None:
        super().__init__(scope, limits)
        self.inner: Account | None = None
        self.root = root
        self.shared = self.wanted = self.limits_due = self.halt_due = False
        self.brought = ZERO
        self.spent_here: dict[Levels, Amounts] = {}

    @property
    def untouched(self) -> bool:
        """True until it has had a hold."""
        return not self.ended and not any(self.held())

    def used(self) -> tuple[int, ...]:
        """What is spent or held here, unit by unit."""
        return tuple(limit - room for limit, room in zip(self.limit, self.room(), strict=True))


class Shadow(MemoryLedger):
    """The memory ledger over these accounts, and how it is told what the store has done. Who tells holds its lock."""

    @property
    def lock(self) -> threading.RLock:
        """Its lock; whoever holds it may call any method."""
        return self._lock

    def account(self, scope: str) -> StandbyAccount | None:
        """The open account named *scope*."""
        return cast("StandbyAccount | None", self._accounts.get(scope))

    def accounts(self) -> list[StandbyAccount]:
        """All open accounts."""
        return cast("list[StandbyAccount]", list(self._accounts.values()))

    def enter(self, scope: str, limits: Limits, root: str) -> StandbyAccount:
        """Make a new account; one of that name ends."""
        before = self._accounts.get(scope)
        if before is not None:
            self.close(before)
        account = self._accounts[scope] = StandbyAccount(scope, limits, root)
        return account

    def live(self, hold_id: str) -> Hold | None:
        """The hold, if it has not ended."""
        return self.live_hold(hold_id)

    def unsettled(self, hold_id: str) -> Hold | None:
        """The hold, live or ended by its lease; `None` where its end was told, or nothing is known of it."""
        known = self.holds.get(hold_id)
        return known if isinstance(known, Hold) else None

    def expect(self, ask: Ask) -> bool:
        """Hold *ask* in full, whether it fits or not, before the store is asked; False where its id is known already."""
        if ask.hold_id in self.holds:
            return False
        self.take(ask, ask.output)
        return True

    def take_back(self, hold_id: str) -> None:
        """Forget a live hold: it never was one."""
        hold = self.live_hold(hold_id)
        if hold is None:
            return
        hold.spent = True
        amounts = hold.held()
        for account in hold.accounts:
            account.book([-amount for amount in amounts], ZERO)
            if hold.sent:
                account.sent_model_calls -= hold.model_calls
                account.sent_tool_calls -= hold.tool_calls
            if hold.stuck:
                account.add_stuck(hold.returnable(), -1)
        del self.holds[hold_id]
        wake_all(self.serve(hold.accounts))

    def confirm(self, ask: Ask, grant: Grant) -> None:
        """Note what the store has granted."""
        hold = self.live_hold(ask.hold_id)
        amounts = grant.tokens, grant.model_calls, grant.tool_calls, grant.nano_usd
        if hold is not None:
            if hold.held() == amounts:
                hold.output = grant.output
                return
            self.take_back(ask.hold_id)
        elif self.known(ask.hold_id) is not None:  # which also forgets one that lapsed
            return
        hold = self.take(ask, grant.output)
        if hold.held() != amounts:  # the id was known to the store, with other figures
            difference = [theirs - mine for theirs, mine in zip(amounts, hold.held(), strict=True)]
            hold.tokens, hold.model_calls, hold.tool_calls, hold.nano_usd = amounts
            for account in hold.accounts:
                account.book(difference, ZERO)

    def sent(self, hold_id: str, lease: float) -> None:
        """Note that the store took a dispatch; where the hold's lease was over here by then, it has not ended."""
        if self.dispatch(hold_id, lease):
            return
        hold = self.unsettled(hold_id)
        if hold is not None and not hold.sent and not any(account.closed for account in hold.accounts):
            grant = copied(hold, hold_id)
            grant.spent = False
            self.confirm(Ask(hold_id, hold.accounts, Amounts(*hold.held()), lease=lease), grant)
            self.dispatch(hold_id, lease)

    def over(self, hold_id: str) -> None:
        """Note that the hold's lease is over in the store."""
        hold = self.live_hold(hold_id)
        if hold is not None:
            hold.ends = self.soonest = self.now()
            wake_all(self.serve(self.end_leases()))

    def move_out(self, tickets: Iterable[Ticket]) -> None:
        """Let all who wait leave at once, unanswered: they go on to wait elsewhere."""
        for ticket in tickets:
            waiter = cast("Waiter", ticket)
            if waiter.waiting:
                self.leave(waiter, None)

    def become_another_process(self) -> None:
        """In a forked process: whoever waits, or holds the lock, is the parent's."""
        self._lock = threading.RLock()
        self._acquire, self._let_go = self._lock.acquire, self._lock.release
        self._serving = False
        self._agenda.clear()
        for account in self._accounts.values():
            account.queue = Queue() if account.halted else None


class Door:
    """The shadow's lock.

    What is to be called once nothing is locked any more is called by whoever leaves last. Whoever must not wait for the
    lock leaves a call behind that is carried out under it, at once or by the one who holds it.
    """

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._depth = 0
        self._afterwards: list[Callable[[], object]] = []
        self._posted: deque[Callable[[], object]] = deque()

    def afterwards(self, call: Callable[[], object]) -> None:
        """Call *call* once the lock is let go."""
        self._afterwards.append(call)

    def post(self, call: Callable[[], object]) -> None:
        """Call *call* under the lock, without waiting for it."""
        self._posted.append(call)
        self._look_for_posted()

    def _look_for_posted(self) -> None:
        while self._posted and self._shadow.lock.acquire(blocking=False):
            self._depth += 1
            try:
                self._posted.popleft()()
            except IndexError:
                pass  # another thread was quicker
            finally:
                self._leave()

    def __enter__(self) -> None:
        self._shadow.lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._leave()
        if self._posted:
            self._look_for_posted()

    def _leave(self) -> None:
        self._depth -= 1
        calls: list[Callable[[], object]] = []
        if not self._depth and self._afterwards:
            calls, self._afterwards = self._afterwards, calls
        self._shadow.lock.release()
        for call in calls:
            call()


def copied(grant: Grant, hold_id: str) -> Grant:
    """The same grant under another id."""
    found = Grant()
    found.hold_id, found.output, found.spent = hold_id, grant.output, grant.spent
    found.tokens, found.model_calls, found.tool_calls, found.nano_usd = grant.amounts
    return found


def ours(account: Account) -> StandbyAccount:
    """*account* as this ledger's own."""
    return cast("StandbyAccount", account)
