"""The handles that this process holds: of an account on the server, and of a hold."""

from __future__ import annotations

import math
import time
from collections import deque

from mas_guard.ledger._queue import Queue
from mas_guard.ledger.base import REMEMBERED_IDS, Account, Grant
from mas_guard.ledger.redis.resp import packed
from mas_guard.types import ZERO, Amounts, Limits

HANDLE_REMEMBERS = REMEMBERED_IDS + 1_000
"""Ids are forgotten a thousand at a time once an account has this many."""


class RedisAccount(Account):
    """One level, as this process knows it. In other processes handles of the same scope are the same account.

    Attributes:
        books: The key under which its books are kept; its hash tag decides the server in a cluster.
        birth: Set when the account was made; another one under the same scope has another.
        incarnation: Of the books, when the account was opened here.
        client: Which client opened it; a forked process is another client and joins first.
        seen: The grants of this client on this account that the server has acknowledged.
        told: When the server last told limits and spend, on this process's monotonic clock.
        kept: When its expiry was last put off.
        queue: Those of this process who wait here; `None` while nobody does.
        closed: True for good after `close`.
        ids: The holds that this ledger took with it as first account, oldest first.
        arguments: Scope and birth, ready to be sent.
    """

    __slots__ = (
        "_figures", "_told", "arguments", "birth", "books", "client", "closed", "ids", "incarnation", "kept", "queue",
        "seen", "told",
    )  # fmt: skip

    def __init__(self, scope: str, books: bytes, client: bytes, birth: bytes, incarnation: bytes) -> None:
        super().__init__(scope)
        self.books = books
        self.client = client
        self.birth = birth
        self.incarnation = incarnation
        self.arguments = packed((scope.encode(), birth))
        self.seen = 0
        self.told = self.kept = -math.inf
        self._told: tuple[bytes, int] | None = None
        self._figures = Limits(), ZERO
        self.queue: Queue | None = None
        self.closed = False
        self.ids: deque[str] = deque()

    @property
    def limits(self) -> Limits:
        """The limits as the server told them last."""
        return self._parsed()[0]

    @property
    def settled(self) -> Amounts:
        """What is spent, as the server told it last."""
        return self._parsed()[1]

    def hear(self, told: bytes, place: int = 0) -> None:
        """Take what the server tells: four limits and what is settled, at the *place* of this account in *told*."""
        self.told = time.monotonic()
        self._told = told, place

    def know(self, limits: Limits, settled: Amounts) -> None:
        """Take the same as figures."""
        self.told = time.monotonic()
        self._told = None
        self._figures = limits, settled

    def _parsed(self) -> tuple[Limits, Amounts]:
        told = self._told
        if told is not None:
            values = told[0].split()[8 * told[1] :]
            self._figures = limits_of(values), Amounts(*map(int, values[4:8]))
            self._told = None
        return self._figures


class RedisHold(Grant):
    """A grant, and the levels that it is held on."""

    __slots__ = ("accounts",)

    accounts: tuple[RedisAccount, ...]


def limits_of(values: list[bytes]) -> Limits:
    """The first four of *values*, as limits."""
    return Limits(*(None if value == b"-" else int(value) for value in values[:4]))


def grant(hold: Grant, hold_id: str, output: int, amounts: tuple[int, int, int, int], spent: bool = False) -> None:
    """Fill in a grant."""
    hold.hold_id = hold_id
    hold.output = output
    hold.tokens, hold.model_calls, hold.tool_calls, hold.nano_usd = amounts
    hold.spent = spent
