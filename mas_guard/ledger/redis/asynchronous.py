"""The same ledger for tasks: what usually happens is awaited on the loop's one connection.

Whatever is not usual (it does not fit, somebody waits, the id is known) is done once more by the ledger's own method
in a thread; asking twice is asking once, because of the ids.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from redis.connection import SSLConnection
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as TooSlow

from mas_guard.ledger._outlook import needed
from mas_guard.ledger.base import Ask, Grant, Ledger, Refusal, Settlement
from mas_guard.ledger.redis.coalescing import Coalescing, connected
from mas_guard.ledger.redis.exchange import ELSEWHERE, Exchange
from mas_guard.ledger.redis.holds import Holds, unknown
from mas_guard.ledger.redis.requests import Clock
from mas_guard.ledger.redis.scripts import Call
from mas_guard.ledger.redis.servers import Servers
from mas_guard.types import Amounts


class Awaited(Holds, Ledger):
    """The usual calls, to be awaited; both ways may be mixed.

    Over TLS, and in what is not usual, the call is made in a thread.
    """

    def __init__(
        self, servers: Servers, exchange: Exchange, clock: Clock | None, retention: float, prefix: str
    ) -> None:
        super().__init__(servers, exchange, clock, retention, prefix)
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Coalescing]] = WeakKeyDictionary()
        self._latest: tuple[asyncio.AbstractEventLoop, Coalescing] | None = None
        self._connecting: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def reserve_async(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve`."""
        accounts = self.usable(ask.accounts, ask.hold_id)
        if not any(account.queue is not None for account in accounts):
            keep_alive = self.keep_alive_is_due(accounts)
            reply = await self._call(accounts[0].books, self.requests.reserve(ask, ask.output, False, keep_alive), True)
            if isinstance(reply, int):
                if keep_alive:
                    self.kept_alive(accounts)
                accounts[0].seen = max(accounts[0].seen, reply)
                return self.granted(ask.hold_id, accounts, ask.output, needed(ask, ask.output))
        return await asyncio.to_thread(self.reserve, ask)

    async def dispatch_async(self, hold_id: str, lease: float) -> bool:
        """See `Ledger.dispatch`."""
        levels = self.levels_of(hold_id)
        if levels:
            books = levels[0].books
            if await self._call(books, self.requests.dispatch(books, hold_id, lease), True):
                await self._serve_in_thread(levels)
                return True
        return await asyncio.to_thread(self.dispatch, hold_id, lease)

    async def settle_async(self, hold_id: str, actual: Amounts) -> Settlement:
        """See `Ledger.settle`."""
        hold = self.holds.get(hold_id)
        if hold is not None and not self.sweep_is_due:
            first = hold.accounts[0]
            call = self.requests.settle(first.books, hold_id, first.scope, actual)
            reply = await self._call(first.books, call, False)
            if reply is not None and not unknown(reply):
                self.heard_settled(hold, reply)
                await self._serve_in_thread(hold.accounts)
                return self.settlement(hold_id, reply)
        return await asyncio.to_thread(self.settle, hold_id, actual)

    async def _serve_in_thread(self, accounts: Any) -> None:
        if any(account.queue is not None for account in accounts):
            await asyncio.to_thread(self.serve, accounts)

    async def _call(self, books: bytes, call: Call, acknowledged: bool) -> Any:
        """The reply; `None` where the call is to be made in a thread."""
        try:
            connection = await self._connection(books)
            if connection is None:
                return None
            try:
                reply, replicas = await connection.call(call, acknowledged)
            except ELSEWHERE:
                connection.leave()
                return None
        except (Unreachable, TooSlow):
            return None  # that is the first try
        return reply if not acknowledged or replicas >= self.exchange.replicas else None

    async def _connection(self, books: bytes) -> Coalescing | None:
        loop = asyncio.get_running_loop()
        if self._latest is not None and self._latest[0] is loop and not self._latest[1].closed:
            return self._latest[1]
        node = await asyncio.to_thread(self.servers.node, books) if self.servers.many else self.servers.node(books)
        found = self._connections.setdefault(loop, {}).get(id(node))
        if found is not None and not found.closed:
            return found
        async with self._connecting.setdefault(loop, asyncio.Lock()):
            found = self._connections[loop].get(id(node))
            if found is None or found.closed:
                wire = await asyncio.to_thread(node.take)
                if isinstance(wire, SSLConnection):
                    node.give(wire)
                    return None
                found = await connected(wire, self.exchange.wait, self.exchange.timeout / 2)
                self._connections[loop][id(node)] = found
                if not self.servers.many:
                    self._latest = loop, found
        return found
