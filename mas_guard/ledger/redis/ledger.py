"""The ledger of many processes, on Redis or Valkey.

Every method is one round trip as a rule, to a Lua script that decides and books at one instant on the server. Where
an ask does not fit, the script answers with the figures, and what that means is judged here. Nothing depends on
whether a script that was sent twice was executed twice.
"""

from __future__ import annotations

import logging
import math
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

from redis.exceptions import RedisError

from mas_guard.ledger.base import Account, Ask, Balance, Breach, CrashedHold, Grant, Refusal, Settlement, Ticket
from mas_guard.ledger.redis import inspection
from mas_guard.ledger.redis.account import RedisAccount, RedisHold
from mas_guard.ledger.redis.asynchronous import Awaited
from mas_guard.ledger.redis.exchange import Exchange
from mas_guard.ledger.redis.figures import Figures
from mas_guard.ledger.redis.holds import unknown
from mas_guard.ledger.redis.incarnation import BooksLost, judge_gone, judge_origin, origin_of, read_origin
from mas_guard.ledger.redis.keys import root_of
from mas_guard.ledger.redis.requests import Clock
from mas_guard.ledger.redis.servers import own_options, servers
from mas_guard.ledger.redis.waiting import RedisWaiter
from mas_guard.types import UNITS, Amounts, Limits

SPENT_IS_FRESH = 1.0
"""Seconds that `spent` answers from what the server told last."""

LOOK_AGAIN = 0.25
"""Seconds after which those who wait look whether another process has given something back."""

_log = logging.getLogger("mas_guard.ledger")
_ledgers: weakref.WeakSet[RedisLedger] = weakref.WeakSet()


class RedisLedger(Awaited):
    """See `Ledger`. An account is the same for all who open its scope on the same server, in any process.

    `close` leaves an account: it is forgotten once all who opened it have left, or `retention` after its last use. So
    a process that is done does not take it from the others, and a late settle finds it until its own process leaves.

    A forked process may use the handles and holds of its parent.

    Args:
        url: `redis://`, `rediss://`, `unix://` (options as in redis-py), `redis+sentinel://host:port,…/service[/db]`,
            `redis+cluster://host:port,…`. Options of ours: `?replicas=1&retention=604800&prefix=mas-guard`.
        timeout: Seconds that the server may take to answer, one retry included.
        replicas: How many replicas must acknowledge a reserve, a dispatch and a charge before they count.
        retention: Seconds that an account is kept after its last use.
        prefix: Begins every key, so that several fleets may share a server.
        clock: Seconds, for leases only; by default the server's own clock.

    Raises:
        ValueError: The URL is none that can be used.

    Attributes:
        driver_errors: What its methods raise where the server is lost, or has lost what it knew (`BooksLost`).
    """

    driver_errors: tuple[type[Exception], ...] = (RedisError, OSError)

    def __init__(
        self,
        url: str,
        timeout: float = 1.0,
        *,
        replicas: int | None = None,
        retention: float | None = None,
        prefix: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        options = own_options(url)
        replicas = int(options.get("replicas", 0)) if replicas is None else replicas
        retention = float(options.get("retention", 7 * 24 * 3600)) if retention is None else retention
        prefix = options.get("prefix", "mas-guard") if prefix is None else prefix
        found = servers(url, timeout)
        super().__init__(found, Exchange(found, timeout, replicas), clock, retention, prefix)
        self._own_clock = clock
        self._looked = -math.inf
        _ledgers.add(self)

    # Accounts

    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        """See `Ledger.open`. Raises `BooksLost` where *origin* names what the server does not have any more."""
        known = self.accounts.get(scope)
        books = self.books(root or root_of(scope)) if known is None else known.books
        if origin:
            must_have = read_origin(origin)
        else:
            must_have = (b"", b"") if known is None else (known.incarnation, known.birth)
        call = self.requests.open(books, scope, os.urandom(8).hex().encode(), limits, keep_limits, must_have)
        reply = self.exchange.call(books, call)[0]
        if reply[0] == b"gone":
            if origin or known is None:
                raise judge_origin(scope, must_have[0], reply[2])
            self._raise_if_lost(known, reply)
            self.forget(known)  # its retention is over
            return self.open(scope, limits, root=root, keep_limits=keep_limits)
        with self.room.lock:
            account = self.accounts.get(scope)
            if account is not None and account.birth != reply[0]:
                self.forget(account)  # another one has its name since
                account = None
            if account is None:
                account = RedisAccount(scope, books, self.requests.client, reply[0], reply[1])
                self.accounts[scope] = account
        account.client = self.requests.client
        account.kept = time.monotonic()
        account.hear(reply[2])
        self.serve((account,))
        return account

    def origin(self, account: Account) -> str:
        """See `Ledger.origin`."""
        return origin_of(cast("RedisAccount", account))

    def set_limits(self, account: Account, limits: Limits) -> None:
        """See `Ledger.set_limits`."""
        level = self.usable((account,))[0]
        reply = self.exchange.call(level.books, self.requests.limits(level, limits))[0]
        if isinstance(reply, list):
            raise judge_gone(level, reply[2], self.retention)
        level.hear(reply)
        self.serve((level,))

    def halt(self, account: Account, halted: bool = True) -> None:
        """See `Ledger.halt`. Those who wait in other processes get their refusal when they look again."""
        level = self.usable((account,))[0]
        reply = self.exchange.call(level.books, self.requests.halt(level, halted), acknowledged=True)[0]
        if isinstance(reply, list):
            raise judge_gone(level, reply[2], self.retention)
        if halted:
            self.room.look_at_all(level)
        self.serve((level,))

    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        """See `Ledger.charge`."""
        levels = [level for level in cast("tuple[RedisAccount, ...]", accounts) if not level.closed]
        while levels:
            self.usable(tuple(levels))
            call = self.requests.charge(levels, amounts, charge_id)
            reply = self.exchange.call(levels[0].books, call, acknowledged=True)[0]
            if isinstance(reply, int):
                break
            self._raise_if_lost(levels[reply[1] - 1], reply)
            del levels[reply[1] - 1]
        self.serve(levels)

    def read(self, account: Account) -> Balance:
        """See `Ledger.read`."""
        level = self.usable((account,))[0]
        while True:
            swept, reply = self.exchange.call(level.books, self.requests.sweep(level.books), self.requests.read(level))
            if not swept[0]:
                break
            self.serve(self.waited_on())  # and once more: more leases may be over
        if reply[0] == b"gone":
            raise judge_gone(level, reply[2], self.retention)
        fields, breaches = reply
        found = inspection.balance_of(fields)
        found.breaches = tuple(
            Breach(hold_id.decode(), UNITS[unit - 1], held, used) for hold_id, unit, held, used in breaches
        )
        level.know(found.limits, found.settled)
        return found

    def spent(self, account: Account) -> tuple[Limits, Amounts]:
        """See `Ledger.spent`. Costs no round trip while what the server told last is younger than `SPENT_IS_FRESH`."""
        level = cast("RedisAccount", account)
        if not level.closed and time.monotonic() - level.told > SPENT_IS_FRESH:
            self.read(level)
        return level.limits, level.settled

    def close(self, account: Account) -> None:
        """See `Ledger.close`, and the class. Where the server is lost, it forgets the account after its retention."""
        level = cast("RedisAccount", account)
        with self.room.lock:
            if level.closed:
                return
            self.forget(level)
        self.room.dismiss(level)
        try:
            self.exchange.call(level.books, self.requests.close(level))
        except RedisError as error:
            _log.info("%r stays in the store until its retention is over, which is lost now: %s", level, error)

    # Holds

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve`."""
        accounts = self.usable(ask.accounts, ask.hold_id)
        behind = not ask.inside and any(account.queue is not None for account in accounts)
        found = self.attempt(ask, ask.output, look=behind)
        if isinstance(found, Figures) and found.halted is not None:
            return found.halted
        if behind and isinstance(found, Figures) and found.outlook.lacking is None:
            ahead = self.room.somebody_ahead(ask)
            if ahead is not None:
                return found.refusal_behind(*ahead)
            if not found.outlook.short:
                found = self.attempt(ask, ask.output)
        if not isinstance(found, Figures):
            return found
        outlook = found.outlook
        return found.refusal(outlook.lacking or outlook.short[0], ask.output, found.waiting_helps)

    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve_fitting`."""
        self.usable(ask.accounts, ask.hold_id)
        output = ask.output
        while True:
            found = self.attempt(ask, output)
            if not isinstance(found, Figures):
                return found
            if found.halted is not None:
                return found.halted
            outlook = found.outlook
            if outlook.tight is not None:
                return found.refusal(outlook.tight, ask.least_output, found.waiting_helps)
            output = outlook.now  # smaller each time: the attempt did not fit

    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        """See `Ledger.wait`."""
        self.usable(ask.accounts, ask.hold_id)
        self.requests.reserve(ask, ask.output, look=True, keep_alive=False)  # raises here what is not to meet others
        return self.room.join(ask, wake)

    def cancel(self, ticket: Ticket) -> None:
        """See `Ledger.cancel`."""
        waiter = cast("RedisWaiter", ticket)
        if not self.room.leave(waiter, None):
            hold = waiter.answer
            if isinstance(hold, RedisHold) and not hold.spent and self.give_back_unsent(hold):
                waiter.result = None
        self.serve(cast("tuple[RedisAccount, ...]", waiter.accounts))

    def dispatch(self, hold_id: str, lease: float) -> bool:
        """See `Ledger.dispatch`."""
        for books in self.books_of(hold_id):
            if self.exchange.call(books, self.requests.dispatch(books, hold_id, lease), acknowledged=True)[0]:
                self.serve(self.levels_of(hold_id))
                return True
        return False

    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        """See `Ledger.settle`. Where the server has lost a hold that it granted here, what was used is charged."""
        hold = self.holds.get(hold_id)
        first = hold.accounts[0].scope if hold is not None else ""
        reply: bytes | list[Any] = [-1, 0, []]
        for books in self.books_of(hold_id):
            reply = self.call_and_sweep(books, self.requests.settle(books, hold_id, first, actual))
            if not unknown(reply):
                break
        if hold is not None:
            if unknown(reply) and not hold.spent and not hold.accounts[0].closed:
                return self._charge_lost(hold, actual)
            self.heard_settled(hold, reply)
            self.serve(hold.accounts)
        return self.settlement(hold_id, reply)

    def release(self, hold_id: str) -> None:
        """See `Ledger.release`."""
        levels = self.levels_of(hold_id)  # before it may be forgotten
        self.give_back(hold_id)
        self.serve(levels)

    def sweep(self) -> float | None:
        """See `Ledger.sweep`. Also looks whether other processes have given back what is waited for here."""
        waited_on = self.waited_on()
        if waited_on and self._own_clock is None:
            since = time.monotonic() - self._looked
            if since < LOOK_AGAIN:  # another one who waits has just done it
                return LOOK_AGAIN - since
        self._looked = time.monotonic()
        ends = [seconds for books in self.books_in_use() if (seconds := self.end_leases(books)) is not None]
        if waited_on:
            for account in self.halted_among(waited_on):
                self.room.look_at_all(account)
            self.room.serve(waited_on)
            ends.append(LOOK_AGAIN)
        return min(ends, default=None)

    # For those who look on

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        """See `Ledger.balances`. Looks through the keys of all servers; an account of just that name is told first."""
        return inspection.balances(self, prefix)

    def crashed_holds(self) -> list[CrashedHold]:
        """See `Ledger.crashed_holds`. Looks through the keys of all servers.

        In a cluster another process finds a crashed hold to correct it only after it has listed them.
        """
        found = list(inspection.crashed_holds(self))
        self.crashed = {hold.hold_id: books for books, hold in found}
        return [hold for _, hold in found]

    def _charge_lost(self, hold: RedisHold, actual: Amounts) -> Settlement:
        _log.warning("the store has lost the hold %r; what its call used is charged", hold.hold_id)
        self.charge(hold.accounts, actual, f"settled {hold.hold_id}")
        self.ended(hold)
        breaches = (Breach(hold.hold_id, unit, 0, used) for unit, used in zip(UNITS, actual, strict=True) if used)
        return Settlement(late=True, breaches=tuple(breaches))

    def _raise_if_lost(self, account: RedisAccount, reply: list[Any]) -> None:
        error = judge_gone(account, reply[2], self.retention)
        if isinstance(error, BooksLost):
            raise error


def _after_fork() -> None:
    for ledger in _ledgers:
        ledger.become_another_client()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
