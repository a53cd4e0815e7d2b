"""One connection for all tasks of an event loop: what is ready in the same turn of the loop goes out in one write.

So a settle rides with the reserves that are ready to go, and where none is it goes at once; one acknowledgement by the
replicas covers all that were sent together.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import Any, NamedTuple

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as TooSlow

from mas_guard.ledger.redis.errors import meant
from mas_guard.ledger.redis.scripts import Call
from mas_guard.ledger.redis.servers import Wire

_ERRORS = {
    "NOSCRIPT": NoScriptError,
    "READONLY": ReadOnlyError,
    "LOADING": BusyLoadingError,
    "CLUSTERDOWN": ClusterDownError,
    "OOM": OutOfMemoryError,
}
_INCOMPLETE = object()

Future = asyncio.Future[tuple[Any, int]]
"""A call's result: its reply, and how many replicas have acknowledged it."""


class Asked(NamedTuple):
    """A call of a task; `acknowledged` where its result is to come after the replicas' acknowledgement."""

    call: Call
    acknowledged: bool
    future: Future


class Sent(NamedTuple):
    """What waits for a reply: a call, or (`asked` is `None`) the acknowledgement of those in `replied`."""

    asked: Asked | None
    replied: list[tuple[Future, Any]]
    until: float


class Coalescing(asyncio.Protocol):
    """See the module. Made by `connected`, and of one loop.

    Attributes:
        closed: True once the connection is gone; make another one then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: Wire, wait: bytes, timeout: float) -> None:
        self.closed = False
        self._loop = loop
        self._wire = wire  # redis-py has made the connection, and would close it with this object
        self._wait = wait
        self._timeout = timeout
        self._transport: Any = None
        self._ready: list[Asked] = []
        self._sent: deque[Sent] = deque()
        self._received = bytearray()
        self._watched = False

    def call(self, call: Call, acknowledged: bool) -> Future:
        """Send *call* with all others of this turn of the loop."""
        future: Future = self._loop.create_future()
        if not self._ready:
            self._loop.call_soon(self._flush)
        self._ready.append(Asked(call, acknowledged, future))
        return future

    def leave(self) -> None:
        """Close it: the server is not the one that has the books any more. What is under way is asked elsewhere."""
        self._fail(Unreachable("The server is not the one to ask any more."))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        at = 0
        while self._sent:
            reply, after = _parsed(self._received, at)
            if reply is _INCOMPLETE:
                break
            at = after
            self._answer(self._sent.popleft(), reply)
        del self._received[:at]

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._fail(Unreachable("Connection closed by server."))

    def _flush(self) -> None:
        ready, self._ready = self._ready, []
        if self.closed:
            for asked in ready:
                _refuse(asked.future, Unreachable("Connection closed by server."))
            return
        if not self._watched:
            self._watch_until(self._loop.time() + self._timeout)
        self._send(ready, [asked.call.by_hash for asked in ready])

    def _send(self, asks: list[Asked], commands: list[bytes]) -> None:
        until = self._loop.time() + self._timeout
        replied: list[tuple[Future, Any]] = []
        self._sent.extend([Sent(asked, replied, until) for asked in asks])
        if self._wait and any(asked.acknowledged for asked in asks):
            self._sent.append(Sent(None, replied, until))
            commands.append(self._wait)
        self._transport.write(b"".join(commands))

    def _answer(self, sent: Sent, reply: Any) -> None:
        asked = sent.asked
        if asked is None:
            for future, first in sent.replied:
                _resolve(future, (first, reply))
        elif isinstance(reply, NoScriptError):
            self._send([asked], [asked.call.by_text])
        elif isinstance(reply, Exception):
            _refuse(asked.future, reply)
        elif self._wait and asked.acknowledged:
            sent.replied.append((asked.future, reply))
        else:
            _resolve(asked.future, (reply, 0))

    def _watch_until(self, until: float) -> None:
        self._watched = True
        self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._watched = False
        if not self._sent or self.closed:
            return
        if self._loop.time() >= self._sent[0].until:
            self._fail(TooSlow("Timeout reading from socket"))
        else:
            self._watch_until(self._sent[0].until)

    def _fail(self, error: Exception) -> None:
        if self.closed:
            return
        self.closed = True
        self._transport.abort()
        for sent in self._sent:
            if sent.asked is not None:
                _refuse(sent.asked.future, error)
        self._sent.clear()


async def connected(wire: Wire, wait: bytes, timeout: float) -> Coalescing:
    """Take over a connection that redis-py has made, which is signed in and asked nothing else."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(fileno=os.dup(wire._sock.fileno()))
    sock.setblocking(False)
    _, connection = await loop.create_connection(lambda: Coalescing(loop, wire, wait, timeout), sock=sock)
    return connection


def _resolve(future: Future, result: tuple[Any, int]) -> None:
    if not future.done():  # its task may have been cancelled
        future.set_result(result)


def _refuse(future: Future, error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _parsed(data: bytearray, at: int) -> tuple[Any, int]:
    """The reply that begins at *at* and where it ends; `_INCOMPLETE` where it has not arrived in full."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return _INCOMPLETE, at
    kind, rest, after = data[at], bytes(data[at + 1 : end]), end + 2
    if kind == 58:  # :
        return int(rest), after
    if kind == 36:  # $
        size = int(rest)
        if size < 0:
            return None, after
        if len(data) < after + size + 2:
            return _INCOMPLETE, at
        return bytes(data[after : after + size]), after + size + 2
    if kind == 42:  # *
        items = []
        for _ in range(int(rest)):
            item, after = _parsed(data, after)
            if item is _INCOMPLETE:
                return _INCOMPLETE, at
            items.append(item)
        return items, after
    if kind == 45:  # -
        name, _, text = rest.decode(errors="replace").partition(" ")
        return meant(_ERRORS.get(name, ResponseError)(text if name in _ERRORS else f"{name} {text}")), after
    return rest, after
