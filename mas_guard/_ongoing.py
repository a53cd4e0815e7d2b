"""A call that outlives the function that sent it: a reply that is read as a stream object."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mas_guard._drivers import FlowFailed, finish_flow, until_sent, until_sent_async, within_time
from mas_guard._effects import Answer, Flow, Proceed, Scope
from mas_guard._plugins import InternalErrors
from mas_guard.errors import GuardError
from mas_guard.types import CallOutcome


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
        return await within_time(self._effect, send)

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
        finish_flow(flow, outcome, self._errors)

    def abandon(self, outcome: CallOutcome) -> None:
        """End the call where nobody is there to hear a verdict: on closing, and when the reply is collected."""
        try:
            self.settle(outcome)
        except GuardError:
            pass  # it is latched; the next crossing raises it


def begin(flow: Flow, errors: InternalErrors) -> OngoingCall | Answer | None:
    """Advance *flow* to where its call is carried out; `None` where the flow broke and the app goes on without it."""
    try:
        effect = until_sent(flow, errors)
    except FlowFailed:
        return None
    return OngoingCall(flow, effect, errors) if isinstance(effect, Proceed) else effect


async def begin_async(flow: Flow, errors: InternalErrors) -> OngoingCall | Answer | None:
    """As `begin`, waiting without blocking the event loop."""
    try:
        effect = await until_sent_async(flow, errors)
    except FlowFailed:
        return None
    return OngoingCall(flow, effect, errors) if isinstance(effect, Proceed) else effect
