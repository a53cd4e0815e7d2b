"""Whether the server that answers still knows what it told us: a flushed or failed-over one must deny.

Three things are compared. The books have an incarnation, made with the first account: after a flush it is another.
An account has a birth: made anew under its name it is another account. And each client's grants are counted on
the account: a replica that took over without the last of them shows fewer than the client has seen.
"""

from __future__ import annotations

import time

from redis.exceptions import RedisError

from mas_guard.ledger.redis.account import RedisAccount


class BooksLost(RedisError):
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


def judge_behind(account: RedisAccount, grants: int) -> BooksLost:
    """The error to raise where the server shows fewer grants than it has acknowledged."""
    return BooksLost(
        f"The store has gone back: it shows {grants} of {account.seen} grants that it gave this process on the budget "
        f"{account.scope!r}, so nothing more is granted on it. After a failover without acknowledgement that can "
        "happen; `replicas=1` waits for it.",
        account.scope,
    )
