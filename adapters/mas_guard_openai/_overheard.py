"""A request inside a model call that a framework's adapter has opened: the call is that adapter's, and what the reply
says of its usage is kept for it, where the framework itself loses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mas_guard.adapter import CallOutcome, LiveCall, ModelCall, OngoingCall, Usage
from mas_guard_openai import _kinds
from mas_guard_openai._kinds import Kind
from mas_guard_openai._replies import usage_of
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
            _add(self._call, outcome.usage)

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


def note_usage(live: LiveCall | None, reply: Any) -> None:
    """Keep what a whole reply says of its usage."""
    said = getattr(reply, "usage", None)
    if live is not None and said is not None and isinstance(live.call, ModelCall):
        # Its fields as they stand: a dump of the whole, or asking for one that is not there, costs more than all else
        # at this seam.
        fields = dict(getattr(said, "__dict__", {}))
        for name in ("prompt_tokens_details", "input_tokens_details"):
            if fields.get(name) is not None:
                fields[name] = {"cached_tokens": getattr(fields[name], "__dict__", {}).get("cached_tokens") or 0}
        _add(live.call, usage_of(fields))


def _add(call: ModelCall, usage: Usage) -> None:
    """Keep *usage* beside what the call's earlier requests said; unknown where one of them is, or may be."""
    if call.requests != 1:
        return  # a batch: which of its requests have answered is not known here
    before = call.usage_seen
    if before is None or not (before.known and usage.known):
        call.usage_seen = usage if before is None else Usage()
        return
    call.usage_seen = Usage(
        (before.input_tokens or 0) + (usage.input_tokens or 0),
        (before.output_tokens or 0) + (usage.output_tokens or 0),
        cached_tokens=before.cached_tokens + usage.cached_tokens,
    )
