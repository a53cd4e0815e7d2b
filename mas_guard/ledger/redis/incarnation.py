"""Whether the server that answers still knows what it told us: a flushed or failed-over one must deny.

Three things are compared. The books have an incarnation, made with the first account: after a flush it is another.
An account has a birth: made anew under its name it is another account. And each client's grants are counted on
the account: a replica that took over without the last of them shows fewer than the client has seen.
"""

from __future__ import annotations

import time

from redis.exceptions import RedisError

from mas_guard.ledger.base import AccountLost
from mas_guard.ledger.redis.account import RedisAccount


class BooksLost(RedisError, AccountLost):
    """The server lost what it had acknowledged, so nothing more is granted on the account.

    Attributes:
        scope: The account.
    """

    def __init__(self, message: str, scope: str = "") -> None:
        super().__init__(message, scope)
        self.scope = scope

    def __str__(self) -> str:
        return str(self.args[0])


def judge_gone(account: RedisAccount, incarnation: bytes | None, retention: float) -> Exception:
    """The error to raise where the server does not have *account*, and shows *incarnation*."""
    if incarnation != account.incarnation:
        return BooksLost(
            f"The store was emptied or replaced: what the budget {account.scope!r} has spent is lost, so nothing more "
            "is granted on it. Restore the store, or start a new run.",
            account.scope,
        )
    if time.monotonic() - account.kept < retention:
        return BooksLost(
            f"The store has lost the budget {account.scope!r}, which it had acknowledged; after a failover without "
            "acknowledgement that can happen (`replicas=1` waits for it). Nothing more is granted on it.",
            account.scope,
        )
    return ValueError(f"the account {account.scope!r} was not used for its retention and is closed; open it again")


def origin_of(account: RedisAccount) -> str:
    """What tells *account* from another one of its name, and its books from emptied ones."""
    return f"{account.incarnation.decode()}.{account.birth.decode()}"


def read_origin(origin: str) -> tuple[bytes, bytes]:
    """The incarnation and the birth in what `origin_of` has written; what another store wrote fits none of ours."""
    incarnation, _, birth = origin.partition(".")
    return incarnation.encode(), birth.encode() or b"none"


def judge_origin(scope: str, expected: bytes, incarnation: bytes | None) -> BooksLost:
    """The error to raise where the server does not have the account of that name which is to be joined."""
    if incarnation != expected:
        return BooksLost(
            f"The store was emptied or replaced since {scope!r} was opened, or that was in another store: what it has "
            "spent is not known here, so nothing is granted on it. Restore the store, or start a new run.",
            scope,
        )
    return BooksLost(
        f"The account {scope!r} that was opened elsewhere is not in the store any more: all who had it open have closed "
        "it, or it was lost. Nothing is granted on it; start a new run.",
        scope,
    )


def judge_behind(account: RedisAccount, grants: int) -> BooksLost:
    """The error to raise where the server shows fewer grants than it has acknowledged."""
    return BooksLost(
        f"The store has gone back: it shows {grants} of {account.seen} grants that it gave this process on the budget "
        f"{account.scope!r}, so nothing more is granted on it. After a failover without acknowledgement that can "
        "happen; `replicas=1` waits for it.",
        account.scope,
    )
