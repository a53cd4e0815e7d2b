"""Stands in for a model: every model call of the SDK passes here, whatever model and provider the app has chosen.

The stand-in lives in one `Runner.run` and is never put on the user's agent.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import wrapt
from agents.retry import ModelRetryAdvice, ModelRetryNormalizedError

from mas_guard.adapter import (
    Answer,
    CallOutcome,
    FirstLine,
    GuardStopped,
    ModelCall,
    Usage,
    guard_call_async,
    guard_stream_async,
    unguarded,
    was_cut_by_us,
)
from mas_guard.types import UNKNOWN_USAGE
from mas_guard_openai_agents import _owed
from mas_guard_openai_agents._agents import HOSTED_AGENTS
from mas_guard_openai_agents._envelope import EnvelopeStream, taken_off
from mas_guard_openai_agents._frame import Frame, active_frame
from mas_guard_openai_agents._request import Request
from mas_guard_openai_agents._text import field, read_output, usage_of

Make = Callable[..., Any]

ENDS = ("response.completed", "response.incomplete", "response.failed")


def make_get_model(original: Make) -> Make:
    """Wrap `get_model`, as the run loop looks it up."""

    @functools.wraps(original)
    def get_model(*arguments: Any, **keywords: Any) -> Any:
        model = original(*arguments, **keywords)
        frame = active_frame()
        if frame is None:
            return model
        known = frame.models.get(id(model))
        if known is None:
            if type(model).__module__.startswith(HOSTED_AGENTS):
                unguarded("agents that the provider hosts hand over among themselves where no hop is seen")
            known = frame.models[id(model)] = GuardedModel(model, frame)
        return known

    return get_model


class GuardedModel(wrapt.ObjectProxy[Any]):
    """A model in every way but two: it asks the guard first, and it does not let a stop be retried."""

    def __init__(self, model: Any, frame: Frame) -> None:
        super().__init__(model)
        self._self_frame = frame

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__wrapped__

    def __copy__(self) -> Any:
        return self.__wrapped__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def get_retry_advice(self, request: Any) -> Any:
        """As the model's own; a stop of ours is none that a retry could help."""
        if isinstance(request.error, GuardStopped):
            return ModelRetryAdvice(
                suggested=False,
                replay_safety="unsafe",
                normalized=ModelRetryNormalizedError(is_abort=True),
            )
        return self.__wrapped__.get_retry_advice(request)

    async def get_response(self, *positional: Any, **keywords: Any) -> Any:
        """Guard one reply."""
        model, frame = self.__wrapped__, self._self_frame
        request, call = _read(frame, model, positional, keywords)
        if call is None:
            return await model.get_response(*positional, **keywords)

        def read(reply: Any) -> CallOutcome:
            usage = usage_of(reply.usage)
            request.remember(reply.response_id or "", usage)
            frame.open_calls.replied(frame.run, request, reply.response_id, reply.output)
            _note_cut(frame, call, usage)
            return read_output(frame.run, call, reply.output, usage)

        async def send() -> Any:
            return taken_off(call, await model.get_response(**request.changed(call, chained=frame.chains)))

        try:
            # A coroutine less for the usual call, which asks for no envelope.
            plain = frame.run.policy.envelopes != "require"
            reply = await guard_call_async(
                frame.run,
                call,
                (lambda: model.get_response(**request.changed(call, chained=frame.chains))) if plain else send,
                read,
            )
            if not plain:
                await _repair(frame, model, request, call)
            return reply
        except GuardStopped:
            frame.open_calls.not_taken(request)
            frame.refused_input = request["input"]
            raise
        except Exception:
            _note_cut(frame, call, UNKNOWN_USAGE)
            frame.open_calls.not_taken(request)
            raise

    async def stream_response(self, *positional: Any, **keywords: Any) -> AsyncIterator[Any]:
        """Guard one streamed reply."""
        model, frame = self.__wrapped__, self._self_frame
        request, call = _read(frame, model, positional, keywords)
        if call is None:
            async for event in model.stream_response(*positional, **keywords):
                yield event
            return
        reply = StreamedReply(frame, call, request)

        def send() -> AsyncIterator[Any]:
            events = model.stream_response(**request.changed(call, chained=frame.chains))
            return _without_envelope(call, events) if call.asks_envelope else events

        events = guard_stream_async(frame.run, call, send, reply)
        first_line: FirstLine[Any] = FirstLine()
        ending: list[Any] = []
        try:
            async for event in events:
                if ending or field(event, "type") in ENDS:
                    ending.append(event)  # shown once the call is settled: whoever reads may stop there
                    continue
                if not call.concluding:
                    yield event
                    continue
                for passed in first_line.take(_delta(event), event):
                    yield passed
        except GuardStopped:
            frame.open_calls.not_taken(request)
            frame.refused_input = request["input"]
            raise
        except Exception:
            frame.open_calls.not_taken(request)
            for passed in ending:  # what the provider said last is the app's, also where the model then fails
                yield passed
            raise
        finally:
            _note_cut(frame, call, reply.usage)
            await events.aclose()  # type: ignore[attr-defined]
        await _repair(frame, model, request, call)
        for passed in (*first_line.rest(), *ending):
            yield passed


class StreamedReply:
    """Reads a stream as it passes; its last event holds the reply and its usage."""

    def __init__(self, frame: Frame, call: ModelCall, request: Request) -> None:
        self._frame = frame
        self._call = call
        self._request = request
        self._items: list[Any] = []
        self._output: Any = None
        self.usage = Usage()

    def add(self, event: Any) -> bool:
        """Take *event* in; all of them belong to the app."""
        kind = field(event, "type")
        if kind == "response.output_item.done":
            self._items.append(field(event, "item"))
        elif kind in ENDS:
            response = field(event, "response")
            self._output = field(response, "output")
            self.usage = usage_of(field(response, "usage"))
            self._request.remember(str(field(response, "id") or ""), self.usage)
            if kind == "response.completed":
                self._frame.open_calls.replied(
                    self._frame.run, self._request, field(response, "id"), self._output or self._items
                )
            if kind == "response.incomplete" and self._call.output_cap is not None:
                self._frame.cut = self._call  # the SDK raises before the stream has ended
        return True

    def outcome(self) -> CallOutcome:
        """What the stream amounted to so far."""
        return read_output(self._frame.run, self._call, self._output or self._items, self.usage)


def _read(
    frame: Frame, model: Any, positional: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Request, ModelCall | None]:
    request = Request(positional, keywords)
    if active_frame() is not frame:
        return request, None
    frame.cut = None
    try:
        request.owed = _owed.to_send(frame.run, request)
        return request, request.call(frame, model)
    except Exception as error:  # an input of an unexpected shape is still counted, and stopped once the run is
        frame.run.engine.plugins.errors.report("Reading a model call of the Agents SDK", error)
        agent = frame.scope.agent if frame.scope is not None else ""
        return request, ModelCall(
            type(model).__name__, agent, input_bound=len(repr(request["input"])), unseen_input=True
        )


async def _without_envelope(call: ModelCall, events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    held = EnvelopeStream(call)
    try:
        async for event in events:
            for shown in held.take(event):
                yield shown
    finally:
        await events.aclose()  # type: ignore[attr-defined]


async def _repair(frame: Frame, model: Any, request: Request, call: ModelCall) -> None:
    """Ask once more for an envelope that is missing or does not hold."""
    if not call.asks_envelope or not frame.run.envelopes.may_repair(frame.run, call):
        return
    arguments = None if frame.chains else request.repair(call)
    if arguments is None:
        return
    again = Request((), arguments)
    asked = again.call(frame, model)
    asked.optional = True
    try:
        reply = await guard_call_async(
            frame.run,
            asked,
            lambda: model.get_response(**again.changed(asked, chained=False)),
            lambda reply: read_output(frame.run, asked, reply.output, usage_of(reply.usage)),
        )
        if not isinstance(reply, Answer):
            frame.run.envelopes.settle_repair(
                frame.run, call, read_output(frame.run, asked, reply.output, Usage()).text
            )
    except GuardStopped:
        raise
    except Exception as error:  # the answer is there: what was asked beside it never takes it away
        frame.run.engine.plugins.errors.report("Asking for an envelope again", error)


def _note_cut(frame: Frame, call: ModelCall, usage: Usage) -> None:
    """Remember that the guard's own cap cut a reply off: what the SDK makes of it is then the budget's doing."""
    seen = usage if usage.known or call.usage_seen is None else call.usage_seen
    if was_cut_by_us(call, seen):
        frame.cut = call


def _delta(event: Any) -> str:
    if field(event, "type") == "response.output_text.delta":
        delta = field(event, "delta")
        return delta if isinstance(delta, str) else ""
    return ""
