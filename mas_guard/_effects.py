"""What a flow yields, is sent, and returns; the drivers in `_drivers` carry it out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from mas_guard.ledger import Ask, Ledger
from mas_guard.types import CallOutcome

Scope = tuple[tuple[ContextVar[Any], Any], ...]


@dataclass(slots=True)
class Wait:
    """Wait in *ledger*'s queue, at most *seconds*. The flow is sent the ticket's result, or `None` where it
    was not reached in time or this caller may not wait: a synchronous call on an event loop's thread."""

    ledger: Ledger
    ask: Ask
    seconds: float | None


@dataclass(slots=True)
class Book:
    """Make one call of *ledger*, `reserve`, `dispatch` or `settle`, and be sent what it answers.

    Only for a ledger that can be awaited: on an event loop it is, so that a store far away does not hold the loop up.
    """

    ledger: Ledger
    method: str
    hold_id: str
    arguments: tuple[Any, ...]

    def at_once(self) -> Any:
        """The answer, for a caller that may block."""
        return getattr(self.ledger, self.method)(*self.arguments)

    async def awaited(self) -> Any:
        """The answer. Where the caller is cancelled meanwhile, nothing stays held, and what was used is booked."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # another event loop than asyncio's
            return self.at_once()
        try:
            return await getattr(self.ledger, f"{self.method}_async")(*self.arguments)
        except asyncio.CancelledError:
            if self.method == "settle":
                self.at_once()
            else:
                self.ledger.release(self.hold_id)
            raise


@dataclass(slots=True)
class Proceed:
    """Carry the app's call out, with *scope* in its context and at most *seconds* where it can be cut.

    `expired` is asked after each chunk of a stream and after an asynchronous call was cut: it returns the
    error to raise once time is over. Where `whole`, an asynchronous call that has begun goes on to its end even if
    whoever awaits it is cancelled.
    """

    scope: Scope = ()
    seconds: Callable[[], float | None] | None = None
    expired: Callable[[], BaseException | None] | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The crossing is answered with *text* and was not carried out. Where it is a `result`, that is what the same tool call
    gave before."""

    text: str
    rule: str = ""
    result: bool = False


Effect = Wait | Book | Proceed
Flow = Generator[Effect, Any, Answer | None]
Reader = Callable[[Any], CallOutcome]


class Collector(Protocol):
    """Reads a stream as it passes."""

    def add(self, chunk: Any) -> bool:
        """Take *chunk* in; False keeps it from the app, because only the guard asked for it."""
        ...

    def outcome(self) -> CallOutcome:
        """What the stream amounted to so far."""
        ...
