"""`SyncAPIClient.request` and `AsyncAPIClient.request`: one call of the app, whichever resource it comes from.

`with_raw_response`, `with_streaming_response`, `parse()` and the `stream()` helpers all end here. Inside a model call
that a framework's adapter has opened, a request is an attempt of that call; inside a tool it is a call of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import (
    GuardStopped,
    LiveCall,
    ModelCall,
    OngoingCall,
    Run,
    begin_call,
    begin_call_async,
    check_time,
    current_run,
    current_step,
    live_call,
    outside_run,
)
from mas_guard_openai import _kinds
from mas_guard_openai._kinds import EMBEDDINGS, Kind
from mas_guard_openai._overheard import note_usage, overheard
from mas_guard_openai._sent import Sent, is_timeout
from mas_guard_openai._translate import model_call, unreadable_call

Make = Callable[..., Any]


def make_request(original: Make) -> Make:
    """Wrap the synchronous client's `request`."""

    @functools.wraps(original)
    def request(self: Any, cast_to: Any, options: Any, **keywords: Any) -> Any:
        kind = _kinds.kind_of(options)
        live = live_call.get()
        if kind is None or _is_attempt(live, kind):
            _note_unseen(kind, options)
            options = _with_retries(self, live, options)
            try:
                return _attempt(self, live, kind, original, cast_to, options, keywords)
            except Exception as error:
                _raise_stop(live, error)
                raise
        run = _run(kind)
        if run is None:
            return original(self, cast_to, options, **keywords)
        body, call = _read(run, kind, options)
        ongoing = begin_call(run, call)
        if not isinstance(ongoing, OngoingCall):
            return original(self, cast_to, options, **keywords)
        sent = _prepared(Sent(run, kind, call, ongoing, body, str(self.base_url)), options)
        with sent.being_sent():
            while True:
                try:
                    reply = original(self, cast_to, sent.options, **keywords)
                    break
                except BaseException as error:
                    if sent.asks_again(error):
                        continue
                    if (ours := sent.failed(error)) is not None:
                        raise ours from error
                    raise
        sent.returned()
        return reply

    return request


def make_async_request(original: Make) -> Make:
    """Wrap the asynchronous client's `request`."""

    @functools.wraps(original)
    async def request(self: Any, cast_to: Any, options: Any, **keywords: Any) -> Any:
        kind = _kinds.kind_of(options)
        live = live_call.get()
        if kind is None or _is_attempt(live, kind):
            _note_unseen(kind, options)
            options = _with_retries(self, live, options)
            try:
                asking = _asking(self, live, kind, options)
                if asking is not None:
                    return await _ask_stream_async(asking, original, self, cast_to, keywords)
                reply = await original(self, cast_to, options, **keywords)
                note_usage(live, kind, reply)
                return reply
            except Exception as error:
                _raise_stop(live, error)
                raise
        run = _run(kind)
        if run is None:
            return await original(self, cast_to, options, **keywords)
        body, call = _read(run, kind, options)
        ongoing = await begin_call_async(run, call)
        if not isinstance(ongoing, OngoingCall):
            return await original(self, cast_to, options, **keywords)
        sent = _prepared(Sent(run, kind, call, ongoing, body, str(self.base_url)), options)
        with sent.being_sent():
            while True:
                try:
                    reply = await ongoing.within_time(lambda: original(self, cast_to, sent.options, **keywords))
                    break
                except BaseException as error:
                    if sent.asks_again(error):
                        continue
                    if (ours := sent.failed(error)) is not None:
                        raise ours from error
                    raise
        sent.returned()
        return reply

    return request


def _attempt(
    client: Any, live: LiveCall | None, kind: Kind | None, original: Make, cast_to: Any, options: Any, keywords: Any
) -> Any:
    sent = _asking(client, live, kind, options)
    if sent is None:
        reply = original(client, cast_to, options, **keywords)
        note_usage(live, kind, reply)
        return reply
    with sent.being_sent():
        try:
            return original(client, cast_to, sent.options, **keywords)
        except Exception as error:
            if not sent.asks_again(error):
                raise
            return original(client, cast_to, sent.options, **keywords)


async def _ask_stream_async(sent: Sent, original: Make, client: Any, cast_to: Any, keywords: Any) -> Any:
    with sent.being_sent():
        try:
            return await original(client, cast_to, sent.options, **keywords)
        except Exception as error:
            if not sent.asks_again(error):
                raise
            return await original(client, cast_to, sent.options, **keywords)


def _asking(client: Any, live: LiveCall | None, kind: Kind | None, options: Any) -> Sent | None:
    """The stream whose usage is to be asked for."""
    return overheard(live, kind, options, str(client.base_url)) if live is not None and kind is not None else None


def _is_attempt(live: LiveCall | None, kind: Kind) -> bool:
    # An embedding inside a framework's model call is no attempt of it: a cache looks something up, for instance.
    return live is not None and isinstance(live.call, ModelCall) and kind is not EMBEDDINGS


def _with_retries(client: Any, live: LiveCall | None, options: Any) -> Any:
    """*options* with no more retries than the framework's call may have."""
    most = live.call.retries if live is not None and isinstance(live.call, ModelCall) else None
    if most is None or options.get_max_retries(client.max_retries) <= most:
        return options
    copy = options.model_copy()
    copy.max_retries = most
    return copy


def _note_unseen(kind: Kind | None, options: Any) -> None:
    run = current_run.get()
    if kind is None and run is not None and (path := _kinds.unseen(options)):
        run.note(f"requests to {path} are not counted: the OpenAI adapter does not know what they cost")


def _raise_stop(live: LiveCall | None, error: Exception) -> None:
    """Raise the deadline's stop where *error* is a time-out at the time that was left of a framework's call."""
    if live is not None and isinstance(live.call, ModelCall) and is_timeout(error):
        try:
            check_time(live.run, current_step.get(), concluding=live.call.concluding)
        except GuardStopped as stop:
            raise stop from error


def _run(kind: Kind) -> Run | None:
    run = current_run.get()
    if run is None:
        outside_run(f"A request of the OpenAI client to {kind.path}")
    return run


def _read(run: Run, kind: Kind, options: Any) -> tuple[Any, ModelCall]:
    body: Any = {}
    try:
        body = _kinds.body_of(options)
        return body, model_call(run, kind, body)
    except Exception as error:
        run.engine.plugins.errors.report("Reading a request to OpenAI", error)
        return body, unreadable_call(body)


def _prepared(sent: Sent, options: Any) -> Sent:
    try:
        sent.prepare(options)
    except Exception as error:
        sent.run.engine.plugins.errors.report("Changing a request to OpenAI", error)
        sent.options, sent.hides_usage = options, False
    return sent
