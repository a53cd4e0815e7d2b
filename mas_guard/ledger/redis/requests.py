"""The ledger's calls to its scripts: which arguments in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct

from mas_guard.ledger._outlook import needed
from mas_guard.ledger.base import Ask
from mas_guard.ledger.redis.account import RedisAccount
from mas_guard.ledger.redis.resp import packed
from mas_guard.ledger.redis.scripts import Call, script
from mas_guard.types import Amounts, Limits

MOST = 2**53
"""Lua counts in floats, which are exact up to here: nine million USD in nano-USD."""

_NUMBERS_OF_A_RESERVE = Struct("<15d")
_NUMBERS_OF_A_SETTLE = Struct("<5d")

Clock = Callable[[], float]

SWEPT_AT_ONCE = 100
"""Leases that one script ends; the server does nothing else meanwhile."""


class Requests:
    """Makes calls.

    Args:
        clock: Seconds, for leases; `None` for the server's own clock.
        retention: Seconds that an account is kept after its last use.
        client: Names this process to the server.
    """

    def __init__(self, clock: Clock | None, retention: float, client: bytes) -> None:
        self._clock = clock
        self.client = client
        self._kept = int(retention * 1000)
        self._milliseconds = b"%d" % self._kept
        self._reserve = script("reserve")

    def reserve(self, ask: Ask, output: int, look: bool, keep_alive: bool) -> Call:
        """Hold *ask* with *output*."""
        accounts: tuple[RedisAccount, ...] = ask.accounts  # type: ignore[assignment]  # `cast` costs a call
        first = accounts[0]
        amounts = needed(ask, output)
        if max(amounts) > MOST:
            raise _too_large(amounts)
        more = b"".join([account.arguments for account in accounts])
        number = 2 * len(accounts)
        for hold_id in ask.inside:
            more += packed((hold_id.encode(),))
            number += 1
        return self._reserve.call(
            first.books,
            (
                self._now(),
                ask.hold_id.encode(),
                self.client,
                b"look" if look else b"try",
                _NUMBERS_OF_A_RESERVE.pack(
                    first.seen,
                    ask.lease,
                    2 * self._kept,  # a live hold outlives the accounts that it is held on
                    self._kept if keep_alive else 0,
                    output,
                    *amounts,
                    *ask.keep,
                    ask.passes_halt,
                    len(accounts),
                ),
            ),
            more,
            number,
        )

    def open(
        self, books: bytes, scope: str, birth: bytes, limits: Limits, keep_limits: bool, must_have: tuple[bytes, bytes]
    ) -> Call:
        """Open or join an account; *must_have* is the incarnation and the birth that are expected, or empty."""
        new_books = birth[::-1]
        arguments = (
            b"",
            scope.encode(),
            self.client,
            birth,
            new_books,
            self._milliseconds,
            b"keep" if keep_limits else b"set",
        )
        return script("open").call(books, (*arguments, *_limits(limits), *must_have))

    def limits(self, account: RedisAccount, limits: Limits) -> Call:
        """Set limits."""
        return script("limits").call(account.books, (b"", account.scope.encode(), account.birth, *_limits(limits)))

    def halt(self, account: RedisAccount, halted: bool) -> Call:
        """Halt an account, or lift that."""
        word = b"halt" if halted else b"lift"
        return script("halt").call(account.books, (b"", account.scope.encode(), account.birth, word))

    def dispatch(self, books: bytes, hold_id: str, lease: float) -> Call:
        """Say that a call is being sent."""
        return script("dispatch").call(books, (self._now(), hold_id.encode(), b"%r" % lease, b"%d" % (2 * self._kept)))

    def settle(self, books: bytes, hold_id: str, first: str, actual: Amounts) -> Call:
        """End a hold with what was used."""
        if max(actual) > MOST:
            raise _too_large(actual)
        return script("settle").call(
            books, (b"", hold_id.encode(), first.encode(), _NUMBERS_OF_A_SETTLE.pack(*actual, self._kept))
        )

    def release(self, books: bytes, hold_id: str, first: str, unsent: bool) -> Call:
        """End a hold that cost nothing."""
        return script("release").call(
            books, (b"", hold_id.encode(), first.encode(), self._milliseconds, b"unsent" if unsent else b"")
        )

    def charge(self, accounts: list[RedisAccount], amounts: Amounts, charge_id: str) -> Call:
        """Book without a hold."""
        more = b"".join([account.arguments for account in accounts])
        arguments = (b"", charge_id.encode(), *_amounts(amounts), self._milliseconds)
        return script("charge").call(accounts[0].books, arguments, more, 2 * len(accounts))

    def read(self, account: RedisAccount) -> Call:
        """Tell how an account stands."""
        return script("read").call(account.books, (b"", account.scope.encode(), account.birth))

    def sweep(self, books: bytes) -> Call:
        """End leases."""
        return script("sweep").call(books, (self._now(), b"%d" % SWEPT_AT_ONCE, self._milliseconds))

    def crashed(self, books: bytes, holds: Iterable[bytes]) -> Call:
        """Tell what crashed holds were charged."""
        return script("crashed").call(books, (b"", *holds))

    def around(self, books: bytes, ask_id: str, waits: bool, holds: Iterable[str]) -> Call:
        """Say that *holds* enclose a waiting ask, or no more."""
        ids = [hold_id.encode() for hold_id in holds]
        return script("around").call(books, (b"", ask_id.encode(), b"waits" if waits else b"left", *ids))

    def close(self, account: RedisAccount) -> Call:
        """Leave an account."""
        return script("close").call(account.books, (b"", account.scope.encode(), account.birth, self.client))

    def _now(self) -> bytes:
        return b"" if self._clock is None else b"%r" % self._clock()


def _amounts(amounts: Amounts) -> list[bytes]:
    if max(amounts) > MOST:
        raise _too_large(amounts)
    return [b"%d" % amount for amount in amounts]


def _limits(limits: Limits) -> list[bytes]:
    if any(limit is not None and limit > MOST for limit in limits):
        raise _too_large(limits)
    return [b"-" if limit is None else b"%d" % limit for limit in limits]


def _too_large(figures: Iterable[int | None]) -> ValueError:
    return ValueError(f"{tuple(figures)} is more than the Redis store counts exactly; each may be {MOST} at most")
