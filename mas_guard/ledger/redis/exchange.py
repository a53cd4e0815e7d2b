"""One round trip to the server, tried at most twice, within a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as TooSlow

from mas_guard.ledger.redis.errors import meant
from mas_guard.ledger.redis.resp import command
from mas_guard.ledger.redis.scripts import Call, Plain
from mas_guard.ledger.redis.servers import Node, Servers, Wire

ELSEWHERE = (ReadOnlyError, MovedError, AskError, TryAgainError, ClusterDownError)
"""The server is not, or not now, the one that has the books."""

LEAST_SECONDS = 0.02
"""Less than this is not worth a second try."""


class NotAcknowledged(RedisError):
    """Fewer replicas than wanted have acknowledged a write in time; it stands on the master."""


class Exchange:
    """Calls scripts. Safe to be used by any number of threads, and after a fork.

    Args:
        servers: Where the books are.
        timeout: Seconds that a call may take, its one retry included. The retry is harmless: every script is
            idempotent by the ids in its arguments, so it does not matter whether the first try was executed.
        replicas: How many replicas must acknowledge a write that is said to need it.

    Attributes:
        wait: The command that waits for their acknowledgement; empty where none is wanted.
    """

    def __init__(self, servers: Servers, timeout: float, replicas: int) -> None:
        self.servers = servers
        self.timeout = timeout
        self.replicas = replicas
        self.wait = command(b"WAIT", b"%d" % replicas, b"%d" % max(1, int(timeout * 200))) if replicas else b""

    def call(self, books: bytes, *calls: Call | Plain, acknowledged: bool = False, at: Node | None = None) -> list[Any]:
        """Send *calls* together and return their replies, from the server that has *books*, or the one that is given.

        Raises the driver's error: where the server is not reached in time, or refuses; `NotAcknowledged` where
        *acknowledged* is wanted and does not come in time.
        """
        wait = self.wait if acknowledged and self.replicas else b""
        until = time.monotonic() + self.timeout
        again = False
        while True:
            node = None
            try:
                node = at or self.servers.node(books)
                replies = _round_trip(node, calls, wait, (until - time.monotonic()) / 2 if again else None)
                break
            except (Unreachable, TooSlow, *ELSEWHERE):
                if node is not None:
                    node.drop_idle()
                self.servers.look_again()
                if again or until - time.monotonic() < LEAST_SECONDS:
                    raise
                again = True
        if wait and replies.pop() < self.replicas:
            raise NotAcknowledged(
                f"Fewer than {self.replicas} replicas have acknowledged a write in time, so it is not relied on: nothing is "
                "sent. Look whether the replicas are connected, or set replicas=0 to go on without them."
            )
        return replies


def _round_trip(node: Node, calls: Sequence[Call | Plain], wait: bytes, seconds: float | None) -> list[Any]:
    connection = node.take(seconds)
    try:
        connection.send_packed_command([b"".join([call.by_hash for call in calls]) + wait], check_health=False)
        replies = [_reply(connection) for _ in range(len(calls) + bool(wait))]
        for at, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                again = calls[at].by_text + wait
                connection.send_packed_command([again], check_health=False)
                replies[at] = _reply(connection)
                if wait:
                    replies[-1] = _reply(connection)
    except BaseException:
        connection.disconnect()  # what is still on its way would be taken for the next call's reply
        raise
    for reply in replies:
        if isinstance(reply, Exception):
            if isinstance(reply, ELSEWHERE):
                connection.disconnect()
            else:
                node.give(connection)
            raise reply
    if seconds is None:
        node.give(connection)
    else:
        connection.disconnect()  # its time-outs are those of a retry
    return replies


def _reply(connection: Wire) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return meant(error)
