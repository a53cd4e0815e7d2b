"""The holds that this process took: how they are asked for, given back and ended, and what it remembers of them."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

from mas_guard.errors import ConfigError
from mas_guard.ledger._books import AS_HELD
from mas_guard.ledger._outlook import needed
from mas_guard.ledger.base import REMEMBERED_IDS, Account, Ask, Breach, Grant, Settlement
from mas_guard.ledger.redis.account import HANDLE_REMEMBERS, RedisAccount, RedisHold, grant
from mas_guard.ledger.redis.exchange import Exchange, NotAcknowledged
from mas_guard.ledger.redis.figures import Figures
from mas_guard.ledger.redis.incarnation import judge_behind, judge_gone
from mas_guard.ledger.redis.keys import account_key, books_key
from mas_guard.ledger.redis.requests import SWEPT_AT_ONCE, Clock, Requests
from mas_guard.ledger.redis.scripts import Call, Plain
from mas_guard.ledger.redis.servers import Servers
from mas_guard.ledger.redis.waiting import WaitingRoom
from mas_guard.types import UNITS

SWEEP_EVERY = 30.0
"""Seconds after which a settle takes a sweep along, so that leases end where nobody waits."""


class Holds:
    """What the ledger knows in this process, and its talk with the server about holds.

    Attributes:
        holds: Those that were granted here, live or ended, by id; bounded by the handles that remember them.
        accounts: The open handles by scope.
        room: Those who wait here.
        crashed: Where crashed holds were seen that an operator may correct, when they were listed last.
        swept: When leases were last swept, on this process's monotonic clock.
    """

    def __init__(
        self, servers: Servers, exchange: Exchange, clock: Clock | None, retention: float, prefix: str
    ) -> None:
        self.servers = servers
        self.exchange = exchange
        self.retention = retention
        self.prefix = prefix
        self.requests = Requests(clock, retention, _client())
        self.accounts: dict[str, RedisAccount] = {}
        self.holds: dict[str, RedisHold] = {}
        self.crashed: dict[str, bytes] = {}
        self.room = WaitingRoom(self)
        self.swept = time.monotonic()
        self._orphans: deque[str] = deque()  # live holds whose first account was closed
        self._renew = retention / 8

    def attempt(self, ask: Ask, output: int, look: bool = False) -> Grant | Figures:
        """Reserve *ask* with *output*, or with *look* only tell the figures; an id that is known answers what it is."""
        accounts = cast("tuple[RedisAccount, ...]", ask.accounts)
        first = accounts[0]
        while True:
            keep_alive = self.keep_alive_is_due(accounts)
            call = self.requests.reserve(ask, output, look, keep_alive)
            try:
                reply = self.exchange.call(first.books, call, acknowledged=not look)[0]
            except NotAcknowledged:
                self.give_back(ask.hold_id, unsent=True, books=first.books)
                raise
            if isinstance(reply, int):
                if keep_alive:
                    self.kept_alive(accounts)
                first.seen = max(first.seen, reply)
                return self.granted(ask.hold_id, accounts, output, needed(ask, output))
            kind = reply[0]
            if kind == b"figures":
                found = Figures(ask, reply)
                if not found.due:
                    return found
            elif kind == b"known":
                if not reply[1]:
                    return self.granted(ask.hold_id, accounts, reply[2], tuple(reply[3:7]))
            elif kind == b"spent":
                spent = Grant()
                grant(spent, ask.hold_id, 0, (0, 0, 0, 0), spent=True)
                return spent
            elif kind == b"behind":
                raise judge_behind(first, reply[1])
            else:
                raise judge_gone(accounts[reply[1] - 1], reply[2], self.retention)
            self.end_leases(first.books)  # one is over that stands in the way

    def give_back_unsent(self, hold: Grant) -> bool:
        """Release a hold that was not sent; False where it has ended or was sent."""
        return self.give_back(hold.hold_id, unsent=True)

    def give_back(self, hold_id: str, *, unsent: bool = False, books: bytes = b"") -> bool:
        """Release a hold, or only one that was not sent; False where that changed nothing."""
        hold = self.holds.get(hold_id)
        first = hold.accounts[0].scope if hold is not None else ""
        for at in [books] if books else self.books_of(hold_id):
            call = self.requests.release(at, hold_id, first, unsent)
            if self.exchange.call(at, call)[0]:
                if hold is not None:
                    self.ended(hold)
                return True
        return False

    def enclose(self, ask: Ask, waits: bool) -> None:
        """Tell the holds around *ask* that it waits, or that it does not any more."""
        books = cast("RedisAccount", ask.accounts[0]).books
        self.exchange.call(books, self.requests.around(books, ask.hold_id, waits, ask.inside))

    def end_leases(self, books: bytes) -> float | None:
        """End all leases that are over; the seconds until the next one ends, or `None`."""
        while True:
            self.swept = time.monotonic()
            looked_at, seconds = self.exchange.call(books, self.requests.sweep(books))[0]
            if looked_at:
                self.serve(self.waited_on())
            if looked_at < SWEPT_AT_ONCE:
                return float(seconds) if seconds else None

    @property
    def sweep_is_due(self) -> bool:
        """True where leases were not swept for a while."""
        return time.monotonic() - self.swept >= SWEEP_EVERY

    def call_and_sweep(self, books: bytes, call: Call) -> Any:
        """Send *call*, together with a sweep where that is due."""
        if not self.sweep_is_due:
            return self.exchange.call(books, call)[0]
        self.swept = time.monotonic()
        reply, swept = self.exchange.call(books, call, self.requests.sweep(books))
        if swept[0]:
            self.serve(self.waited_on())
        return reply

    def settlement(self, hold_id: str, reply: bytes | list[Any]) -> Settlement:
        """What the server says of a settle."""
        if isinstance(reply, bytes):
            return AS_HELD
        known, late, breaches = reply[:3]
        return Settlement(
            known > 0,
            bool(late),
            tuple(
                Breach(hold_id, UNITS[unit - 1], held, used)
                for unit, held, used in zip(breaches[::3], breaches[1::3], breaches[2::3], strict=True)
            ),
        )

    def serve(self, accounts: Iterable[RedisAccount]) -> None:
        """Serve those who wait on *accounts* after a change."""
        self.room.serve_quietly([account for account in accounts if account.queue is not None])

    def waited_on(self) -> list[RedisAccount]:
        """The accounts where somebody waits."""
        with self.room.lock:
            return list({account: None for waiter in self.room.waiting for account in waiter.accounts})  # type: ignore[misc]

    def halted_among(self, accounts: list[RedisAccount]) -> list[RedisAccount]:
        """Those of *accounts* that are halted: who waits there hears of it, in turn or not."""
        halted: list[RedisAccount] = []
        for books in dict.fromkeys(account.books for account in accounts):
            here = [account for account in accounts if account.books == books]
            asked = (Plain(b"HGET", account_key(books, account.scope), b"halted") for account in here)
            found = self.exchange.call(books, *asked)
            halted += [account for account, value in zip(here, found, strict=True) if value is not None]
        return halted

    def levels_of(self, hold_id: str) -> tuple[RedisAccount, ...]:
        """The accounts of a hold that was granted here; none where it was not."""
        hold = self.holds.get(hold_id)
        return hold.accounts if hold is not None else ()

    def books_of(self, hold_id: str) -> list[bytes]:
        """Where a hold may be kept: one place where it was granted or seen here, or there is only one."""
        hold = self.holds.get(hold_id)
        if hold is not None:
            return [hold.accounts[0].books]
        seen = self.crashed.get(hold_id)
        return [seen] if seen is not None else self.books_in_use()

    def books_in_use(self) -> list[bytes]:
        """All books that open accounts are kept in."""
        if not self.servers.many:
            return [self.books("")]
        return list({account.books: None for account in list(self.accounts.values())})

    def books(self, root: str) -> bytes:
        """The books of *root*."""
        return books_key(self.prefix, root if self.servers.many else "")

    def forget(self, account: RedisAccount) -> None:
        """Close the handle, and forget the ended holds that it remembers; live ones are found until they end."""
        account.closed = True
        if self.accounts.get(account.scope) is account:
            del self.accounts[account.scope]
        while account.ids:
            hold_id = account.ids.popleft()
            hold = self.holds.get(hold_id)
            if hold is None or hold.spent:
                self.holds.pop(hold_id, None)
            else:
                self._orphans.append(hold_id)
        while len(self._orphans) > REMEMBERED_IDS:
            self.holds.pop(self._orphans.popleft(), None)

    def ended(self, hold: RedisHold) -> None:
        """Note that a hold has ended; it is remembered as long as its first account is open."""
        hold.spent = True
        if hold.accounts[0].closed:
            self.holds.pop(hold.hold_id, None)

    def become_another_client(self) -> None:
        """In a forked process: the threads that waited, and whatever they held, are the parent's."""
        self.requests.client = _client()
        self.room = WaitingRoom(self)
        for account in self.accounts.values():
            account.queue = None

    def usable(self, accounts: tuple[Account, ...], hold_id: str = "") -> tuple[RedisAccount, ...]:
        """*accounts* as this store's own; raises `ValueError` without any, on a closed one, on one named
        twice; `ConfigError` where they lie apart."""
        levels = cast("tuple[RedisAccount, ...]", accounts)
        if not levels:
            raise ValueError(f"the ask {hold_id!r} names no account; give at least the run's")
        if len(levels) > 1 and len(set(levels)) < len(levels):
            raise ValueError(f"the ask {hold_id!r} names an account twice; each pays once")
        client, books = self.requests.client, levels[0].books
        for level in levels:
            if level.closed:
                raise ValueError(f"the account {level.scope!r} is closed; open it again to use it")
            if level.client is not client:
                self._join_after_fork(level)
            if level.books != books:
                # No bug of ours, after which a call would go on: what the settings ask for cannot be kept here.
                raise ConfigError(
                    f"On a Redis cluster all that one call pays from lies on one server, and {levels[0].scope!r} and "
                    f"{level.scope!r} do not. Open groups inside of `with mas_guard.tenant(…)` where windows are per tenant, "
                    "leave one of the two out, or use a single server with replicas.",
                    source="STORE",
                    key="STORE",
                )
        return levels

    def keep_alive_is_due(self, accounts: tuple[RedisAccount, ...]) -> bool:
        """True where the expiry of one of *accounts* should be put off with its next reserve."""
        now = time.monotonic()
        return any(now - account.kept > self._renew for account in accounts)

    def kept_alive(self, accounts: tuple[RedisAccount, ...]) -> None:
        """Note that it was put off."""
        now = time.monotonic()
        for account in accounts:
            account.kept = now

    def heard_settled(self, hold: RedisHold, reply: bytes | list[Any]) -> None:
        """Note that a hold has ended, and what the server tells of its accounts."""
        self.ended(hold)
        told = reply if isinstance(reply, bytes) else reply[3] if len(reply) > 3 else b""
        if told:  # else one of them is closed
            for place, account in enumerate(hold.accounts):
                account.hear(told, place)

    def granted(
        self, hold_id: str, accounts: tuple[RedisAccount, ...], output: int, amounts: tuple[int, int, int, int]
    ) -> RedisHold:
        """Note a hold that the server has granted."""
        hold = RedisHold()
        grant(hold, hold_id, output, amounts)
        hold.accounts = accounts
        first = accounts[0]
        if hold_id not in self.holds:
            first.ids.append(hold_id)
            if len(first.ids) > HANDLE_REMEMBERS:
                self._forget_oldest(first)
        self.holds[hold_id] = hold
        return hold

    def _join_after_fork(self, level: RedisAccount) -> None:
        must_have = (level.incarnation, level.birth)
        call = self.requests.open(level.books, level.scope, level.birth, level.limits, True, must_have)
        reply = self.exchange.call(level.books, call)[0]
        if reply[0] == b"gone":
            raise judge_gone(level, reply[2], self.retention)
        level.client, level.seen = self.requests.client, 0

    def _forget_oldest(self, account: RedisAccount) -> None:
        for _ in range(len(account.ids) - REMEMBERED_IDS):
            hold_id = account.ids.popleft()
            hold = self.holds.get(hold_id)
            if hold is not None and not hold.spent:
                account.ids.append(hold_id)
            else:
                self.holds.pop(hold_id, None)


def unknown(reply: bytes | list[Any]) -> bool:
    """True where the server has no trace of a hold that was to be settled."""
    return isinstance(reply, list) and reply[0] < 0


def _client() -> bytes:
    return os.urandom(8).hex().encode()
