"""The ledger of one process, in memory.

`reserve`, `dispatch` and `settle` are unrolled over the units and take no helper on their usual path, because
every guarded call passes them (`benchmarks/ledger.py` measures it). Whatever is not usual (somebody waits, it
does not fit, the id is known, a breach) goes to the plain code in `_waiting.py` and `_books.py`.

The lock is one `RLock`: the garbage collector may close an abandoned stream, and so settle its hold, in the
middle of another method on the same thread; a plain lock would hang there. It is taken by bound methods in
`try ... finally`, at half the cost of `with`.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import cast

from mas_guard.ledger._account import Hold, MemoryAccount
from mas_guard.ledger._books import AS_HELD, REMEMBERED_AT_MOST, UNKNOWN
from mas_guard.ledger._outlook import accounts_of
from mas_guard.ledger._queue import Queue, Waiter, wake_all
from mas_guard.ledger._waiting import Waiting
from mas_guard.ledger.base import (
    REMEMBERED_IDS,
    Account,
    AccountLost,
    Ask,
    Balance,
    CrashedHold,
    Grant,
    Ledger,
    Refusal,
    Settlement,
    Ticket,
)
from mas_guard.types import ZERO, Amounts, Limits


class MemoryLedger(Waiting, Ledger):
    """See `Ledger`. The accounts live as long as this object and this process.

    Args:
        clock: Seconds, for leases only; may jump both ways. A jump ahead ends leases early, which costs
            calls but no overspend; a jump back moves the leases along.
    """

    driver_errors: tuple[type[Exception], ...] = (AccountLost,)

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._lock = threading.RLock()
        self._acquire = self._lock.acquire
        self._let_go = self._lock.release
        self._accounts: dict[str, MemoryAccount] = {}
        self._births = count()
        self._name = os.urandom(8).hex()

    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        """See `Ledger.open`. Raises `AccountLost` where *origin* is another account's, such as another process's."""
        with self._lock:
            account = self._accounts.get(scope)
            if origin and (account is None or self.origin(account) != origin):
                raise AccountLost(
                    f"The account {scope!r} that was opened elsewhere is not in this store: memory:// is one process's own, "
                    "and forgets an account once it is closed. Set STORE to sqlite:// or redis:// in all processes."
                )
            if account is None:
                account = self._accounts[scope] = MemoryAccount(scope, limits, next(self._births))
                return account
            if keep_limits:
                return account
            account.set_limits(limits)
            answered = self.serve((account,))
        wake_all(answered)
        return account

    def origin(self, account: Account) -> str:
        """See `Ledger.origin`."""
        return f"{self._name}.{cast('MemoryAccount', account).birth}"

    def halt(self, account: Account, halted: bool = True) -> None:
        """See `Ledger.halt`. A halted account has a queue for good, so that one test keeps both off the fast path."""
        with self._lock:
            level = _open_account(account)
            level.halted = halted
            if halted:
                level.queue = level.queue or Queue()
                answered = self.turn_away(level)
            else:
                if level.queue is not None and not level.queue.everyone:
                    level.queue = None
                answered = self.serve((level,))
        wake_all(answered)

    def set_limits(self, account: Account, limits: Limits) -> None:
        """See `Ledger.set_limits`."""
        with self._lock:
            level = _open_account(account)
            level.set_limits(limits)
            answered = self.serve((level,))
        wake_all(answered)

    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        """See `Ledger.charge`."""
        with self._lock:
            levels = [level for level in cast("tuple[MemoryAccount, ...]", accounts) if not level.closed]
            if not levels or not levels[0].remember_charge(charge_id):
                return
            for level in levels:
                level.book(amounts, amounts)
            answered = self.serve(levels)
        wake_all(answered)

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve`."""
        hold_id = ask.hold_id
        tokens, model_calls, tool_calls, nano_usd = ask.base
        output = ask.output
        if output:
            per_output = ask.per_output
            tokens += output * per_output[0]
            nano_usd += output * per_output[3]
        keep = ask.keep
        if keep is ZERO:
            keep_tokens = keep_model_calls = keep_tool_calls = keep_nano_usd = 0
        else:
            keep_tokens, keep_model_calls, keep_tool_calls, keep_nano_usd = keep
        accounts: tuple[MemoryAccount, ...] = ask.accounts  # type: ignore[assignment]  # `cast` costs a call
        hold = Hold()  # before the lock: it may set off a garbage collection
        acquire = self._acquire
        acquire()
        try:
            if hold_id not in self.holds:
                taken = 0
                for account in accounts:
                    if account.queue is not None:
                        break
                    # A unit that is not asked for does not refuse: it may be overdrawn by a `charge`.
                    room_tokens = account.room_tokens - tokens
                    if room_tokens < keep_tokens and tokens:
                        break
                    room_model_calls = account.room_model_calls - model_calls
                    if room_model_calls < keep_model_calls and model_calls:
                        break
                    room_nano_usd = account.room_nano_usd - nano_usd
                    if room_nano_usd < keep_nano_usd and nano_usd:
                        break
                    if tool_calls:
                        room_tool_calls = account.room_tool_calls - tool_calls
                        if room_tool_calls < keep_tool_calls:
                            break
                        account.room_tool_calls = room_tool_calls
                    account.room_tokens = room_tokens
                    account.room_model_calls = room_model_calls
                    account.room_nano_usd = room_nano_usd
                    keep_tokens = keep_model_calls = keep_tool_calls = keep_nano_usd = 0
                    taken += 1
                else:
                    if not accounts:
                        raise ValueError(f"the ask {hold_id!r} names no account; give at least the run's")
                    hold.hold_id = hold_id
                    hold.output = output
                    hold.tokens = tokens
                    hold.model_calls = model_calls
                    hold.tool_calls = tool_calls
                    hold.nano_usd = nano_usd
                    hold.accounts = accounts
                    hold.spent = hold.sent = False
                    hold.stuck = 0
                    clock = self.clock
                    now = clock()
                    if now < self.latest:
                        self.move_leases(now - self.latest)
                    self.latest = now
                    hold.ends = ends = now + ask.lease
                    if ends < self.soonest:
                        self.soonest = ends
                    self.holds[hold_id] = hold
                    return hold
                for account in accounts[:taken]:  # all levels or none
                    account.room_tokens += tokens
                    account.room_model_calls += model_calls
                    account.room_tool_calls += tool_calls
                    account.room_nano_usd += nano_usd
        finally:
            let_go = self._let_go
            let_go()
        return self._decide(ask, fitting=False)

    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve_fitting`."""
        return self._decide(ask, fitting=True)

    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        """See `Ledger.wait`."""
        with self._lock:
            accounts_of(ask)
            answered = self.serve(self.end_leases())
            ticket = self.join(ask, wake)
            if self.answer(ticket):
                answered.append(ticket)
                answered.extend(self.serve(()))
        wake_all(answered)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """See `Ledger.cancel`."""
        waiter = cast("Waiter", ticket)
        with self._lock:
            hold = waiter.result
            if waiter.waiting:
                self.leave(waiter, None)
            elif isinstance(hold, Hold) and not hold.spent and not hold.sent:
                self.give_back(hold.hold_id)
                waiter.result = None
            answered = self.serve(waiter.accounts)
        wake_all(answered)

    def dispatch(self, hold_id: str, lease: float) -> bool:
        """See `Ledger.dispatch`."""
        answered: list[Waiter] | None = None
        acquire = self._acquire
        acquire()
        try:
            hold = self.holds.get(hold_id)
            if type(hold) is not Hold or hold.spent:
                return False
            clock = self.clock
            now = clock()
            if now < self.latest:
                self.move_leases(now - self.latest)
            self.latest = now
            if hold.ends <= now:
                answered = self.serve(self.end_leases())
                return False
            hold.ends = ends = now + lease
            if ends < self.soonest:
                self.soonest = ends
            if hold.sent:
                return True
            if hold.stuck:
                self.unstick_calls(hold)
            hold.sent = True
            model_calls = hold.model_calls
            tool_calls = hold.tool_calls
            for account in hold.accounts:
                account.sent_model_calls += model_calls
                account.sent_tool_calls += tool_calls
                if account.queue is not None:  # who waits for this call must hear that it cannot come back
                    answered = self.serve((account,)) if answered is None else answered + self.serve((account,))
            return True
        finally:
            let_go = self._let_go
            let_go()
            if answered:
                wake_all(answered)

    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        """See `Ledger.settle`."""
        tokens, model_calls, tool_calls, nano_usd = actual
        answered: list[Waiter] | None = None
        acquire = self._acquire
        acquire()
        try:
            hold = self.holds.get(hold_id, UNKNOWN)
            if type(hold) is not Hold:
                return hold  # type: ignore[return-value]  # `isinstance` would tell mypy and cost four times as much
            if hold.spent:
                settlement = self.settle_lost(hold, actual)
                answered = self.serve(hold.accounts)
                return settlement
            back_tokens = hold.tokens - tokens
            back_model_calls = hold.model_calls - model_calls
            back_tool_calls = hold.tool_calls - tool_calls
            back_nano_usd = hold.nano_usd - nano_usd
            if back_tokens < 0 or back_model_calls < 0 or back_tool_calls < 0 or back_nano_usd < 0 or hold.stuck:
                settlement = self.settle_live(hold, actual)
                answered = self.serve(hold.accounts)
                return settlement
            hold.spent = True
            self.holds[hold_id] = AS_HELD
            accounts = hold.accounts
            waited = False
            for account in accounts:
                account.room_tokens += back_tokens
                account.settled_tokens += tokens
                account.room_nano_usd += back_nano_usd
                account.settled_nano_usd += nano_usd
                account.settled_model_calls += model_calls
                if back_model_calls:
                    account.room_model_calls += back_model_calls
                if tool_calls:
                    account.settled_tool_calls += tool_calls
                if back_tool_calls:
                    account.room_tool_calls += back_tool_calls
                if account.queue is not None:
                    waited = True
            if hold.sent:
                for account in accounts:
                    account.sent_model_calls -= hold.model_calls
                    account.sent_tool_calls -= hold.tool_calls
            remembered = accounts[0].ended
            remembered.append(hold_id)
            if len(remembered) > REMEMBERED_AT_MOST:
                self.forget_oldest(accounts[0], len(remembered) - REMEMBERED_IDS)
            if waited:
                if accounts[0].closed:
                    self.forget_oldest(accounts[0], 1)
                answered = self.serve(accounts)
            return AS_HELD
        finally:
            let_go = self._let_go
            let_go()
            if answered:
                wake_all(answered)

    def release(self, hold_id: str) -> None:
        """See `Ledger.release`."""
        with self._lock:
            answered = self.serve(self.give_back(hold_id))
        wake_all(answered)

    def read(self, account: Account) -> Balance:
        """See `Ledger.read`."""
        with self._lock:
            level = _open_account(account)
            answered = self.serve(self.end_leases())
            balance = level.balance()
        wake_all(answered)
        return balance

    def spent(self, account: Account) -> tuple[Limits, Amounts]:
        """See `Ledger.spent`."""
        level = cast("MemoryAccount", account)
        return level.limits, Amounts(*level.settled())

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        """See `Ledger.balances`."""
        self.sweep()
        with self._lock:
            found = [(scope, level.balance()) for scope, level in self._accounts.items() if scope.startswith(prefix)]
        return iter([(scope, replace(balance, breaches=())) for scope, balance in found])

    def crashed_holds(self) -> list[CrashedHold]:
        """See `Ledger.crashed_holds`."""
        self.sweep()
        with self._lock:
            return self.crashed()

    def sweep(self) -> float | None:
        """See `Ledger.sweep`."""
        with self._lock:
            answered = self.serve(self.end_leases())
            seconds = self.soonest - self.latest
        wake_all(answered)
        return None if seconds == math.inf else seconds

    def close(self, account: Account) -> None:
        """See `Ledger.close`."""
        level = cast("MemoryAccount", account)
        with self._lock:
            if level.closed:
                return
            touched = self.end_leases()
            level.closed = True
            del self._accounts[level.scope]
            self.forget_oldest(level, len(level.ended))
            level.charges.clear()
            answered = self.turn_away(level)
            level.queue = Queue()
            answered.extend(self.serve(touched))
        wake_all(answered)

    def _decide(self, ask: Ask, fitting: bool) -> Grant | Refusal:
        with self._lock:
            accounts_of(ask)
            answered = self.serve(self.end_leases())
            result = self.decide(ask, fitting)
        wake_all(answered)
        return result


def _open_account(account: Account) -> MemoryAccount:
    level = cast("MemoryAccount", account)
    if level.closed:
        raise ValueError(f"the account {level.scope!r} is closed; open it again to use it")
    return level
