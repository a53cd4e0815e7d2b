"""Who of this process waits, and who is next.

The rules are those of the memory ledger; the figures are the server's, so whoever is looked at costs a round trip.
Only those are looked at who may be next on the levels that changed. Between processes there is no order: what
another process gives back is noticed when one who waits sweeps.

One thread serves at a time, without the lock while it talks to the server; what changes meanwhile it serves as well.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Protocol, cast

from redis.exceptions import RedisError

from mas_guard.ledger._account import MemoryAccount
from mas_guard.ledger._outlook import needed
from mas_guard.ledger._queue import Queue, Waiter
from mas_guard.ledger.base import Ask, Grant, Refusal
from mas_guard.ledger.redis.account import RedisAccount, RedisHold
from mas_guard.ledger.redis.figures import Figures
from mas_guard.ledger.redis.incarnation import BooksLost
from mas_guard.types import UNITS

_log = logging.getLogger("mas_guard.ledger")


class Desk(Protocol):
    """What those who wait need of the ledger."""

    def attempt(self, ask: Ask, output: int, look: bool = False) -> Grant | Figures:
        """Reserve *ask* with *output*, or with *look* only tell the figures."""

    def give_back_unsent(self, hold: Grant) -> bool:
        """Release a hold that was not sent; False where it has ended or was sent."""

    def enclose(self, ask: Ask, waits: bool) -> None:
        """Tell the holds around *ask* that it waits, or that it does not any more."""


class RedisWaiter(Waiter):
    """A ticket. Where its account was lost while it waited, it is woken, and whoever reads its result gets the error.

    Attributes:
        answer: Its result, without that.
        error: What happened to its account.
    """

    __slots__ = ("answer", "error")

    def __init__(self, ask: Ask, accounts: tuple[MemoryAccount, ...], arrival: int, wake: Callable[[], object]) -> None:
        self.error: Exception | None = None
        super().__init__(ask, accounts, arrival, wake)

    @property
    def result(self) -> Grant | Refusal | None:
        """See `Ticket`."""
        if self.error is not None:
            raise self.error
        return self.answer

    @result.setter
    def result(self, answer: Grant | Refusal | None) -> None:
        self.answer = answer


class WaitingRoom:
    """The queue of one process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.lock = threading.RLock()
        self.waiting: dict[RedisWaiter, None] = {}
        self._arrivals = count()
        self._newcomers: dict[RedisWaiter, None] = {}  # in order: they are looked at first
        self._agenda: dict[RedisAccount, None] = {}
        self._serving = False

    def join(self, ask: Ask, wake: Callable[[], object]) -> RedisWaiter:
        """Queue *ask*, and answer it if its time has come."""
        with self.lock:
            waiter = RedisWaiter(ask, cast("Any", ask.accounts), next(self._arrivals), wake)
            self.waiting[waiter] = None
            for account in _accounts(waiter):
                if account.queue is None:
                    account.queue = Queue()
                account.queue.add(waiter)
        try:
            if ask.inside:
                self._desk.enclose(ask, True)
            self.serve((), waiter)
        except BaseException:
            self.leave(waiter, None)
            raise
        if waiter.error is not None:
            raise waiter.error
        return waiter

    def leave(self, waiter: RedisWaiter, result: Grant | Refusal | None, error: Exception | None = None) -> bool:
        """Answer *waiter*, or let it go with `None`; False where it had left already. Its levels are to be served next."""
        with self.lock:
            if not waiter.waiting:
                return False
            waiter.waiting = False
            waiter.result, waiter.error = result, error
            del self.waiting[waiter]
            for line in waiter.lines:
                line.left()
            for account in _accounts(waiter):
                queue = account.queue
                if queue is not None:
                    queue.remove(waiter)
                    if not queue.everyone:
                        account.queue = None
                self._agenda[account] = None
        if waiter.ask.inside:
            try:
                self._desk.enclose(waiter.ask, False)
            except RedisError:
                _log.warning("the calls around %r could not be told that it waits no more", waiter.ask.hold_id)
        if result is not None or error is not None:
            try:
                waiter.wake()
            except Exception:
                _log.exception("waking %r failed; if it got a hold, that ends with its lease", waiter.ask.hold_id)
        return True

    def serve_quietly(self, accounts: Iterable[RedisAccount]) -> None:
        """Serve after a change that stands, whatever becomes of those who wait: they look again when they sweep."""
        if not self.waiting:
            return
        try:
            self.serve(accounts)
        except RedisError as error:
            _log.warning("those who wait could not be served, and look again soon: %s", error)

    def serve(self, accounts: Iterable[RedisAccount], newcomer: RedisWaiter | None = None) -> None:
        """Answer whoever can be answered after a change on *accounts*, and *newcomer* if its time has come."""
        with self.lock:
            self._agenda.update(dict.fromkeys(accounts))
            if newcomer is not None:
                self._newcomers[newcomer] = None
            if self._serving:
                return  # the one who serves goes on with it
            self._serving = True
        try:
            while batch := self._next():
                for waiter in batch:
                    self._answer(waiter)
        except BaseException:
            with self.lock:
                self._serving = False
            raise

    def look_at_all(self, account: RedisAccount) -> None:
        """Look next at all who wait on *account*, which is halted, those who pass left out: nobody is in turn there."""
        with self.lock:
            if account.queue is not None:
                refused = [waiter for waiter in _of(account.queue.everyone) if not waiter.ask.passes_halt]
                self._newcomers.update(dict.fromkeys(refused))

    def somebody_ahead(self, ask: Ask) -> tuple[RedisAccount, int, int] | None:
        """The first level and unit of *ask* where others wait, and how many."""
        full = needed(ask, ask.output)
        with self.lock:
            for account in cast("tuple[RedisAccount, ...]", ask.accounts):
                if account.queue is None:
                    continue
                for unit, line in enumerate(account.queue.lines):
                    if full[unit] and len(line) and account.limits[unit] is not None:
                        return account, unit, len(line)
        return None

    def dismiss(self, account: RedisAccount) -> None:
        """Refuse all who wait on *account*, which is closed; then serve those whom they kept back."""
        with self.lock:
            dismissed = _of(account.queue.everyone) if account.queue is not None else []
        for waiter in dismissed:
            full = needed(waiter.ask, waiter.ask.output)
            unit = next((unit for unit, amount in enumerate(full) if amount), 0)
            limit, settled = account.limits[unit], account.settled[unit]
            self.leave(waiter, Refusal(account, UNITS[unit], limit or 0, settled, 0, full[unit], can_wait=False))
        self.serve_quietly(())

    def _next(self) -> list[RedisWaiter]:
        with self.lock:
            while self._newcomers:
                waiter = next(iter(self._newcomers))
                del self._newcomers[waiter]
                if waiter.waiting:
                    return [waiter]
            while self._agenda:
                account, _ = self._agenda.popitem()
                if account.queue is not None:
                    nexts = [waiter for waiter in _of(account.queue.next()) if waiter.waiting]
                    if nexts:
                        return nexts
            self._serving = False
            return []

    def _answer(self, waiter: RedisWaiter) -> None:
        ask = waiter.ask
        output = ask.output
        while waiter.waiting:
            in_turn = self._in_turn(waiter)
            try:
                found = self._desk.attempt(ask, output, look=not in_turn)
            except (BooksLost, ValueError) as error:  # its account is lost or closed, which is nothing to the others
                self.leave(waiter, None, error)
                return
            if not isinstance(found, Figures):
                if not self.leave(waiter, found) and isinstance(found, RedisHold):
                    self._desk.give_back_unsent(found)
                return
            outlook = found.outlook
            for account in found.halted_accounts:
                self.look_at_all(account)
            if found.halted is not None:
                self.leave(waiter, found.halted)
            elif outlook.lacking is not None:
                self.leave(waiter, found.refusal(outlook.lacking, ask.output, can_wait=False))
            elif in_turn and not found.waiting_helps:
                if outlook.tight is not None:
                    self.leave(waiter, found.refusal(outlook.tight, ask.output, can_wait=False))
                output = outlook.now  # take it, unless somebody else was quicker
            else:
                self._line_up(waiter, found.short())
                return

    def _line_up(self, waiter: RedisWaiter, short: list[tuple[RedisAccount, int]]) -> None:
        with self.lock:
            if waiter.waiting:
                for account, unit in short:
                    if account.queue is not None:
                        account.queue.lines[unit].join(waiter)

    def _in_turn(self, waiter: RedisWaiter) -> bool:
        """True where nobody who came before waits for any unit of this ask; else it lines up behind them."""
        if waiter.ask.inside:
            return True
        first = True
        full = needed(waiter.ask, waiter.ask.output)
        with self.lock:
            for account in _accounts(waiter):
                if account.queue is None:
                    continue
                for unit, line in enumerate(account.queue.lines):
                    if not full[unit] or account.limits[unit] is None:
                        continue
                    ahead = line.first()
                    if ahead is not None and ahead.arrival < waiter.arrival:
                        line.join(waiter)
                        first = False
        return first


def _accounts(waiter: RedisWaiter) -> tuple[RedisAccount, ...]:
    return cast("tuple[RedisAccount, ...]", waiter.accounts)


def _of(waiters: Iterable[Waiter]) -> list[RedisWaiter]:
    return cast("list[RedisWaiter]", list(waiters))
