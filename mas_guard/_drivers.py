"""What drives a flow: sync, async, and the two streaming kinds.

A flow is a generator over one crossing. It yields `Wait` where it must wait for budget and `Proceed` where
the app's own call is carried out; it is sent the `CallOutcome`; it returns `Answer` where the crossing is
answered without being carried out. The four drivers are the only places that know sync from async.

A guard's own bug does not break the app: a flow that fails with anything but a `GuardError` is reported and
the app's call goes on without it (`ON_INTERNAL_ERROR=open`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

from mas_guard._effects import Answer, Book, Collector, Effect, Flow, Proceed, Reader, Wait
from mas_guard._plugins import InternalErrors
from mas_guard._waiting import wait, wait_async
from mas_guard.errors import GuardError
from mas_guard.types import CallOutcome


class FlowFailed(Exception):
    """The flow itself broke; the app goes on without it."""


def advance(
    flow: Flow, value: Any, errors: InternalErrors, first: bool = False, raised: Exception | None = None
) -> Effect | Answer | None:
    """The flow's next effect after *value*, or after what was *raised* in its place."""
    try:
        if raised is not None:
            return flow.throw(raised)
        return next(flow) if first else flow.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except GuardError:
        raise
    except Exception as error:
        errors.report("The guard's own flow", error)
        raise FlowFailed from error


def until_sent(flow: Flow, errors: InternalErrors) -> Proceed | Answer | None:
    """Advance *flow* to where its call is carried out or answered; waits and books on the way."""
    effect = advance(flow, None, errors, first=True)
    while isinstance(effect, Wait | Book):
        try:
            answer = wait(effect) if isinstance(effect, Wait) else effect.at_once()
        except Exception as error:  # the flow decides what a store's failure means
            effect = advance(flow, None, errors, raised=error)
        else:
            effect = advance(flow, answer, errors)
    return effect


async def until_sent_async(flow: Flow, errors: InternalErrors) -> Proceed | Answer | None:
    """As `until_sent`, without blocking the event loop."""
    effect = advance(flow, None, errors, first=True)
    while isinstance(effect, Wait | Book):
        try:
            answer = await (wait_async(effect) if isinstance(effect, Wait) else effect.awaited())
        except Exception as error:
            effect = advance(flow, None, errors, raised=error)
        else:
            effect = advance(flow, answer, errors)
    return effect


def finish_flow(flow: Flow, outcome: CallOutcome, errors: InternalErrors) -> None:
    """Let the flow settle; its verdict is raised, its bugs are not."""
    try:
        effect = flow.send(outcome)
        while isinstance(effect, Book):
            effect = flow.send(effect.at_once())
    except StopIteration:
        return
    except GuardError:
        raise
    except Exception as error:
        errors.report("The guard's own flow", error)


async def finish_flow_async(flow: Flow, outcome: CallOutcome, errors: InternalErrors) -> None:
    """As `finish_flow`, without blocking the event loop."""
    try:
        effect = flow.send(outcome)
        while isinstance(effect, Book):
            effect = flow.send(await effect.awaited())
    except StopIteration:
        return
    except GuardError:
        raise
    except Exception as error:
        errors.report("The guard's own flow", error)


def drive(flow: Flow, send: Callable[[], Any], read: Reader, errors: InternalErrors) -> Any:
    """Drive *flow* around the synchronous *send*; return its value or the flow's `Answer`."""
    try:
        effect = until_sent(flow, errors)
    except FlowFailed:
        return send()
    if not isinstance(effect, Proceed):
        return effect
    tokens = [(variable, variable.set(value)) for variable, value in effect.scope]
    try:
        value = send()
    except BaseException as error:
        finish_flow(flow, _read_error(read, error), errors)
        _raise_if_time_is_over(effect, error)
        raise
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
    finish_flow(flow, _read(read, value, errors), errors)
    return value


async def drive_async(flow: Flow, send: Callable[[], Awaitable[Any]], read: Reader, errors: InternalErrors) -> Any:
    """Drive *flow* around the asynchronous *send*; a call is cancelled when the flow's time is over."""
    try:
        effect = await until_sent_async(flow, errors)
    except FlowFailed:
        return await send()
    if not isinstance(effect, Proceed):
        return effect
    tokens = [(variable, variable.set(value)) for variable, value in effect.scope]
    try:
        if effect.whole:
            return await _whole(flow, send, read, errors)
        value = await within_time(effect, send)
    except BaseException as error:
        if not effect.whole:
            await finish_flow_async(flow, _read_error(read, error), errors)
        raise
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
    await finish_flow_async(flow, _read(read, value, errors), errors)
    return value


async def _whole(flow: Flow, send: Callable[[], Awaitable[Any]], read: Reader, errors: InternalErrors) -> Any:
    """Await *send* in a task of its own, which goes on to its end and ends the flow, whatever becomes of this caller."""

    async def carried_out() -> Any:
        try:
            value = await send()
        except BaseException as error:
            await finish_flow_async(flow, _read_error(read, error), errors)
            raise
        await finish_flow_async(flow, _read(read, value, errors), errors)
        return value

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another event loop than asyncio's
        return await carried_out()
    task = loop.create_task(carried_out())
    _under_way.add(task)  # the loop itself keeps no task alive
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)


_under_way: set[asyncio.Task[Any]] = set()


def drive_stream(
    flow: Flow, send: Callable[[], Iterator[Any]], collector: Collector | None, errors: InternalErrors
) -> Generator[Any, None, Answer | None]:
    """Drive *flow* around a stream, which *collector* reads. The context holds the flow's scope only while the
    stream is asked."""
    try:
        effect = until_sent(flow, errors)
    except FlowFailed:
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
            finish_flow(flow, _stream_outcome(collector, error), errors)
        _raise_if_time_is_over(effect, error)
        raise
    finish_flow(flow, _stream_outcome(collector, None), errors)
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
        effect = await until_sent_async(flow, errors)
    except FlowFailed:
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
                chunk = await within_time(effect, stream.__anext__)
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
            await finish_flow_async(flow, _stream_outcome(collector, error), errors)
        raise
    await finish_flow_async(flow, _stream_outcome(collector, None), errors)


async def within_time(effect: Proceed, send: Callable[[], Awaitable[Any]]) -> Any:
    """Await *send*, cancelled when the flow's time is over. As `asyncio.timeout`, at a third of its cost: this runs for
    every call, and for every chunk of a stream."""
    seconds = effect.seconds() if effect.seconds is not None else None
    task = asyncio.current_task() if seconds is not None else None
    if seconds is None or task is None:
        return await send()
    cut = _Cut(task)
    timer = task.get_loop().call_later(seconds, cut)
    try:
        return await send()
    except asyncio.CancelledError:
        if not cut.take_back():
            raise
        error = effect.expired() if effect.expired is not None else None
        raise error or TimeoutError() from None
    finally:
        timer.cancel()
        cut.take_back()


class _Cut:
    """Cancels *task* when it is called."""

    __slots__ = ("_before", "_done", "_task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._before = task.cancelling()
        self._done = False

    def __call__(self) -> None:
        self._done = True
        self._task.cancel()

    def take_back(self) -> bool:
        """Take the cancellation back; True where there was one and no other stays."""
        done, self._done = self._done, False
        return done and self._task.uncancel() <= self._before


def _raise_if_time_is_over(effect: Proceed, error: BaseException) -> None:
    """A client's own time-out that came because our deadline did is raised as what it is."""
    if isinstance(error, GuardError) or "timeout" not in type(error).__name__.lower() or effect.expired is None:
        return
    stop = effect.expired()
    if stop is not None:
        raise stop from error


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
