"""A request inside a model call that a framework's adapter has opened: the call is that adapter's, and what the reply
says of its usage is kept for it, where the framework itself loses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mas_guard.adapter import CallOutcome, LiveCall, ModelCall, OngoingCall
from mas_guard_openai import _kinds
from mas_guard_openai._kinds import Kind
from mas_guard_openai._replies import read_reply, usage_of
from mas_guard_openai._sent import Sent


class Overhearing(OngoingCall):
    """Stands for the framework's call: it is settled elsewhere, only its usage is noted here."""

    __slots__ = ("_call", "_open")

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._open = True

    @property
    def open(self) -> bool:
        """True until the reply has said its usage, or has ended."""
        return self._open

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Nothing: the framework's call is in force already."""
        yield

    async def within_time(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Await *send*: the framework's call is cut by its own adapter."""
        return await send()

    def expired(self) -> BaseException | None:
        """Never: see `within_time`."""
        return None

    def settle(self, outcome: CallOutcome) -> None:
        """Note the usage."""
        if self._open:
            self._open = False
            self._call.usage_heard.append(lambda: outcome.usage)
            self._call.heard_cut = self._call.heard_cut or outcome.cut
            self._call.heard_refusal = self._call.heard_refusal or outcome.refused

    def abandon(self, outcome: CallOutcome) -> None:
        """The same."""
        self.settle(outcome)


def overheard(live: LiveCall, kind: Kind | None, options: Any, host: str) -> Sent | None:
    """A stream whose usage nobody has asked for, to be asked for by the guard; `None` for every other request."""
    if kind is None or live.run.policy.mode != "enforce" or not isinstance(live.call, ModelCall):
        return None
    try:
        body = _kinds.body_of(options)
        if body.get("stream") is not True:
            return None
        sent = Sent(live.run, kind, live.call, Overhearing(live.call), body, host)
        return sent if sent.ask_for_usage(options) else None
    except Exception as error:
        live.run.engine.plugins.errors.report("Asking a stream of OpenAI for its usage", error)
        return None


def note_usage(live: LiveCall | None, kind: Kind | None, reply: Any) -> None:
    """Keep what a whole reply says of its usage, and of a refusal that the framework may not pass on."""
    raw = getattr(reply, "http_response", None)
    if raw is not None and kind is not None and live is not None and isinstance(live.call, ModelCall):
        _note_raw(live.call, kind, raw)
        return
    said = getattr(reply, "usage", None)
    if live is not None and said is not None and isinstance(live.call, ModelCall):
        call = live.call
        call.usage_heard.append(lambda: usage_of(said.model_dump()))
        reason = _why_ended(reply)
        call.heard_cut = reason in ("length", "max_output_tokens")
        call.heard_refusal = reason == "content_filter"


def _note_raw(call: ModelCall, kind: Kind, raw: Any) -> None:
    """The same of a reply that the framework asked for as it came over the wire."""
    if call.retries is None or not getattr(raw, "is_stream_consumed", True):
        return  # only a framework that is told of retries drops refusals, and a stream is still to be read
    try:
        outcome, _ = read_reply(kind, raw.content)
    except Exception:  # no reply of that kind: the framework will say so
        return
    call.usage_heard.append(lambda: outcome.usage)
    call.heard_cut, call.heard_refusal = outcome.cut, outcome.refused


def _why_ended(reply: Any) -> Any:
    """The word of either API for why a whole reply ended; `None` where it says nothing of it."""
    choices = getattr(reply, "choices", None)
    if choices:
        return getattr(choices[0], "finish_reason", None)
    return getattr(getattr(reply, "incomplete_details", None), "reason", None)
