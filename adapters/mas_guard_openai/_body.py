"""Stands in an open response's `iter_bytes` and `close`, reads along, and settles the call when the reply ends.

Closing comes in three ways: by the app, by the HTTP library at the end of the body (not an end for us: the last bytes
are still in our hands), and by the garbage collector.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from mas_guard.adapter import GuardStopped
from mas_guard_openai._sent import Sent


class Body:
    """The body of a synchronous response."""

    def __init__(self, response: Any, sent: Sent) -> None:
        self._bytes = response.iter_bytes
        self._close = response.close
        self._sent = sent
        self._begun = False
        self._reading = False

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """As the response's own; the first time it reads along."""
        source: Iterator[bytes] = self._bytes(chunk_size)
        if self._begun:
            return source
        self._begun = True
        return self._read_along(source)

    def close(self) -> None:
        """As the response's own; a reply that is closed before its end is charged as held."""
        self._close()
        if not self._reading:
            self._sent.gone()

    def _read_along(self, source: Iterator[bytes]) -> Iterator[bytes]:
        sent, reader = self._sent, self._sent.reader
        assert reader is not None
        try:
            while (data := self._next(source)) is not None:
                shown = reader.feed(data)
                sent.look()
                if shown:
                    yield shown
                if sent.ongoing.open and (over := sent.ongoing.expired()) is not None:
                    raise over
            shown = reader.end()
            sent.look()
            if shown:
                yield shown
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, GuardStopped) and (rest := reader.rest()):
                yield rest
            ours = sent.broke_off(error)
            self._close()
            if ours is not None:
                raise ours from error
            raise

    def _next(self, source: Iterator[bytes]) -> bytes | None:
        self._reading = True
        try:
            return next(source, None)
        finally:
            self._reading = False


class AsyncBody:
    """The body of an asynchronous response."""

    def __init__(self, response: Any, sent: Sent) -> None:
        self._bytes = response.aiter_bytes
        self._close = response.aclose
        self._sent = sent
        self._begun = False
        self._reading = False

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """As the response's own; the first time it reads along."""
        source: AsyncIterator[bytes] = self._bytes(chunk_size)
        if self._begun:
            return source
        self._begun = True
        return self._read_along(source)

    async def aclose(self) -> None:
        """As the response's own; a reply that is closed before its end is charged as held."""
        try:
            await self._close()
        finally:
            if not self._reading:
                self._sent.gone()

    async def _read_along(self, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        sent, reader = self._sent, self._sent.reader
        assert reader is not None
        try:
            while (data := await self._next(source)) is not None:
                shown = reader.feed(data)
                sent.look()
                if shown:
                    yield shown
                if sent.ongoing.open and (over := sent.ongoing.expired()) is not None:
                    raise over
            shown = reader.end()
            sent.look()
            if shown:
                yield shown
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, GuardStopped) and (rest := reader.rest()):
                yield rest
            ours = sent.broke_off(error)
            await self._close()
            if ours is not None:
                raise ours from error
            raise

    async def _next(self, source: AsyncIterator[bytes]) -> bytes | None:
        self._reading = True
        try:
            following: bytes | None
            if self._sent.ongoing.open:
                following = await self._sent.ongoing.within_time(lambda: anext(source, None))
            else:
                following = await anext(source, None)
            return following
        finally:
            self._reading = False
