"""What drives a flow: sync, async, and the two streaming kinds.

A flow is a generator over one crossing. It yields `Wait` where it must wait for budget and `Proceed` where
the app's own call is carried out; it is sent the `CallOutcome`; it returns `Answer` where the crossing is
answered without being carried out. The four drivers are the only places that know sync from async.

A guard's own bug does not break the app: a flow that fails with anything but a `GuardError` is reported and
the app's call goes on without it (`ON_INTERNAL_ERROR=open`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from mas_guard._plugins import InternalErrors
from mas_guard.errors import GuardError
from mas_guard.ledger import Ask, Grant, Ledger, Refusal
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
class Proceed:
    """Carry the app's call out, with *scope* in its context and at most *seconds* where it can be cut.

    `expired` is asked after each chunk of a stream and after an asynchronous call was cut: it returns the
    error to raise once time is over.
    """

    scope: Scope = ()
    seconds: Callable[[], float | None] | None = None
    expired: Callable[[], BaseException | None] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The crossing is answered with *text* and was not carried out."""

    text: str
    rule: str = ""


Effect = Wait | Proceed
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


class _Failed(Exception):
    """The flow itself broke; the app goes on without it."""


def _advance(flow: Flow, value: Any, errors: InternalErrors, first: bool = False) -> Effect | Answer | None:
    try:
        return next(flow) if first else flow.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except GuardError:
        raise
    except Exception as error:
        errors.report("The guard's own flow", error)
        raise _Failed from error


def _finish(flow: Flow, outcome: CallOutcome, errors: InternalErrors) -> None:
    """Let the flow settle; its verdict is raised, its bugs are not."""
    try:
        flow.send(outcome)
    except StopIteration:
        return
    except GuardError:
        raise
    except Exception as error:
        errors.report("The guard's own flow", error)


def drive(flow: Flow, send: Callable[[], Any], read: Reader, errors: InternalErrors) -> Any:
    """Drive *flow* around the synchronous *send*; return its value or the flow's `Answer`."""
    try:
        effect = _advance(flow, None, errors, first=True)
        while isinstance(effect, Wait):
            effect = _advance(flow, _wait(effect), errors)
    except _Failed:
        return send()
    if not isinstance(effect, Proceed):
        return effect
    tokens = [(variable, variable.set(value)) for variable, value in effect.scope]
    try:
        value = send()
    except BaseException as error:
        _finish(flow, _read_error(read, error), errors)
        raise
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
    _finish(flow, _read(read, value, errors), errors)
    return value


async def drive_async(
    flow: Flow, send: Callable[[], Awaitable[Any]], read: Reader, errors: InternalErrors
) -> Any:
    """Drive *flow* around the asynchronous *send*; a call is cancelled when the flow's time is over."""
    try:
        effect = _advance(flow, None, errors, first=True)
        while isinstance(effect, Wait):
            effect = _advance(flow, await _wait_async(effect), errors)
    except _Failed:
        return await send()
    if not isinstance(effect, Proceed):
        return effect
    tokens = [(variable, variable.set(value)) for variable, value in effect.scope]
    try:
        value = await _within_time(effect, send)
    except BaseException as error:
        _finish(flow, _read_error(read, error), errors)
        raise
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
    _finish(flow, _read(read, value, errors), errors)
    return value


def drive_stream(
    flow: Flow, send: Callable[[], Iterator[Any]], collector: Collector | None, errors: InternalErrors
) -> Generator[Any, None, Answer | None]:
    """Drive *flow* around a stream, which *collector* reads. The context holds the flow's scope only while the
    stream is asked."""
    try:
        effect = _advance(flow, None, errors, first=True)
        while isinstance(effect, Wait):
            effect = _advance(flow, _wait(effect), errors)
    except _Failed:
        yield from send()
        return None
    if not isinstance(effect, Proceed):
        return effect
    stream: Iterator[Any] | None = None
    # Bound once: this loop runs for every chunk of every stream.
    entering = [(variable.set, value) for variable, value in effect.scope]
    leaving = [variable.reset for variable, _ in effect.scope]
    expired = effect.expired
    try:
        if not entering and collector is None and expired is None:
            stream = iter(send())
            yield from stream
        while entering or collector is not None or expired is not None:
            tokens = [enter(value) for enter, value in entering]
            try:
                if stream is None:
                    stream = iter(send())
                chunk = next(stream)
            except StopIteration:
                break
            finally:
                for leave, token in zip(leaving, tokens, strict=True):
                    leave(token)
            if collector is None or _collect(collector, chunk, errors):
                yield chunk
            if expired is not None and (error := expired()) is not None:
                raise error
    except BaseException as error:
        try:
            _close(stream)
        finally:
            _finish(flow, _stream_outcome(collector, error), errors)
        raise
    _finish(flow, _stream_outcome(collector, None), errors)
    return None


async def drive_stream_async(
    flow: Flow,
    send: Callable[[], AsyncIterator[Any]],
    collector: Collector | None,
    errors: InternalErrors,
    on_answer: Callable[[Answer], Any] | None = None,
) -> AsyncIterator[Any]:
    """Drive *flow* around an asynchronous stream; an `Answer` is yielded through *on_answer*."""
    try:
        effect = _advance(flow, None, errors, first=True)
        while isinstance(effect, Wait):
            effect = _advance(flow, await _wait_async(effect), errors)
    except _Failed:
        async for chunk in send():
            yield chunk
        return
    if not isinstance(effect, Proceed):
        if isinstance(effect, Answer) and on_answer is not None:
            yield on_answer(effect)
        return
    stream: AsyncIterator[Any] | None = None
    try:
        while True:
            tokens = [(variable, variable.set(value)) for variable, value in effect.scope]
            try:
                if stream is None:
                    stream = aiter(send())
                chunk = await _within_time(effect, stream.__anext__)
            except StopAsyncIteration:
                break
            finally:
                for variable, token in reversed(tokens):
                    variable.reset(token)
            if collector is None or _collect(collector, chunk, errors):
                yield chunk
            if effect.expired is not None and (error := effect.expired()) is not None:
                raise error
    except BaseException as error:
        try:
            await _close_async(stream)
        finally:
            _finish(flow, _stream_outcome(collector, error), errors)
        raise
    _finish(flow, _stream_outcome(collector, None), errors)


def _wait(wait: Wait) -> Grant | Refusal | None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return None
    woken = threading.Event()
    ticket = wait.ledger.wait(wait.ask, woken.set)
    patience = _Patience(wait)
    try:
        while ticket.result is None and not woken.wait(patience.next()) and not patience.over:
            pass
    finally:
        if ticket.result is None:
            wait.ledger.cancel(ticket)
    return ticket.result


async def _wait_async(wait: Wait) -> Grant | Refusal | None:
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    ticket = wait.ledger.wait(wait.ask, lambda: loop.call_soon_threadsafe(woken.set))
    patience = _Patience(wait)
    try:
        while ticket.result is None and not patience.over:
            try:
                await asyncio.wait_for(woken.wait(), patience.next())
            except TimeoutError:
                continue
    except BaseException:
        # Cancelled while waiting: a grant made meanwhile is given back.
        wait.ledger.cancel(ticket)
        raise
    if ticket.result is None:
        wait.ledger.cancel(ticket)
    return ticket.result


class _Patience:
    """How long to sleep before the ledger's ended leases are swept again, until the wait is over."""

    def __init__(self, wait: Wait) -> None:
        self._ledger = wait.ledger
        self._until = None if wait.seconds is None else time.monotonic() + wait.seconds

    @property
    def over(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    def next(self) -> float | None:
        sweep = self._ledger.sweep()
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        if sweep is None or left is None:
            return left if sweep is None else sweep
        return min(sweep, left)


async def _within_time(effect: Proceed, send: Callable[[], Awaitable[Any]]) -> Any:
    seconds = effect.seconds() if effect.seconds is not None else None
    if seconds is None:
        return await send()
    try:
        async with asyncio.timeout(seconds) as limit:
            return await send()
    except TimeoutError:
        if limit.expired() and effect.expired is not None and (error := effect.expired()) is not None:
            raise error from None
        raise


def _read(read: Reader, value: Any, errors: InternalErrors) -> CallOutcome:
    try:
        return read(value)
    except Exception as error:  # an unreadable reply is one of unknown usage
        errors.report("Reading a reply", error)
        return CallOutcome()


def _read_error(read: Reader, error: BaseException) -> CallOutcome:
    del read
    from mas_guard.adapter import usage_of_error

    return CallOutcome(error=error, usage=usage_of_error(error))


def _stream_outcome(collector: Collector | None, error: BaseException | None) -> CallOutcome:
    from dataclasses import replace

    from mas_guard.adapter import usage_of_error

    outcome = collector.outcome() if collector is not None else CallOutcome()
    if error is None:
        return outcome
    usage = outcome.usage if outcome.usage.known else usage_of_error(error)
    return replace(outcome, error=error, usage=usage)


def _collect(collector: Collector, chunk: Any, errors: InternalErrors) -> bool:
    try:
        return collector.add(chunk)
    except Exception as error:  # an unreadable chunk still belongs to the app
        errors.report("Reading a chunk", error)
        return True


def _close(stream: Any) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()


async def _close_async(stream: Any) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


class OngoingCall:
    """A call that goes on after the function that sent it has returned: a reply that is read as a stream object.

    `begin` and `begin_async` make it once the flow lets the call through. Its holder sends inside of `scope()`, and
    ends it with `settle` or `abandon` from whatever thread or task touches the reply last. Only the first end counts.
    """

    __slots__ = ("__weakref__", "_effect", "_errors", "_flow")

    def __init__(self, flow: Flow, effect: Proceed, errors: InternalErrors) -> None:
        self._effect = effect
        self._errors = errors
        # A list of one: taking the flow out is atomic, also for the garbage collector in the middle of a settle.
        self._flow = [flow]

    @property
    def variables(self) -> Scope:
        """What `scope()` sets."""
        return self._effect.scope

    @property
    def open(self) -> bool:
        """True until the call has been ended."""
        return bool(self._flow)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """The flow's scope, for as long as the call is being sent."""
        tokens = [(variable, variable.set(value)) for variable, value in self._effect.scope]
        try:
            yield
        finally:
            for variable, token in reversed(tokens):
                variable.reset(token)

    async def within_time(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Await *send*, cut when the flow's time is over; raises the flow's error then."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # another event loop than asyncio's, which some clients support: nothing can be cut
            return await send()
        return await _within_time(self._effect, send)

    def expired(self) -> BaseException | None:
        """The error to raise once the flow's time is over; `None` before."""
        return self._effect.expired() if self._effect.expired is not None else None

    def settle(self, outcome: CallOutcome) -> None:
        """End the call with *outcome*.

        Raises:
            GuardError: The flow's verdict about the outcome.
        """
        try:
            flow = self._flow.pop()
        except IndexError:
            return
        _finish(flow, outcome, self._errors)

    def abandon(self, outcome: CallOutcome) -> None:
        """End the call where nobody is there to hear a verdict: on closing, and when the reply is collected."""
        try:
            self.settle(outcome)
        except GuardError:
            pass  # it is latched; the next crossing raises it


def begin(flow: Flow, errors: InternalErrors) -> OngoingCall | Answer | None:
    """Advance *flow* to where its call is carried out; `None` where the flow broke and the app goes on without it."""
    try:
        effect = _advance(flow, None, errors, first=True)
        while isinstance(effect, Wait):
            effect = _advance(flow, _wait(effect), errors)
    except _Failed:
        return None
    return OngoingCall(flow, effect, errors) if isinstance(effect, Proceed) else effect


async def begin_async(flow: Flow, errors: InternalErrors) -> OngoingCall | Answer | None:
    """As `begin`, waiting without blocking the event loop."""
    try:
        effect = _advance(flow, None, errors, first=True)
        while isinstance(effect, Wait):
            effect = _advance(flow, await _wait_async(effect), errors)
    except _Failed:
        return None
    return OngoingCall(flow, effect, errors) if isinstance(effect, Proceed) else effect
