"""One guarded request: what is sent, what came of it, and when it is settled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from mas_guard.adapter import (
    CallOutcome,
    GuardStopped,
    ModelCall,
    OngoingCall,
    Run,
    Usage,
    keep_open,
    usage_of_error,
)
from mas_guard.prices import held_history
from mas_guard_openai import _edits
from mas_guard_openai._event_stream import BodyReader
from mas_guard_openai._kinds import Kind
from mas_guard_openai._replies import read_reply

current_sent: ContextVar[Sent | None] = ContextVar("mas_guard_openai_sent", default=None)

_NEVER_SENT = (
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "UnsupportedProtocol",
    "InvalidURL",
)
_refusing_hosts: set[str] = set()


class Sent:
    """A request between the app's call and the end of its reply.

    It never refers to the reply's own objects, so that a reply that nobody reads any more is collected, and settled.

    Attributes:
        options: What to send.
        hides_usage: True where the stream was asked for its usage by the guard alone.
        under_way: True while an attempt is out, whose cost an error leaves unknown; else nothing unpaid was sent.
        content: The body of a reply that was read as a whole.
        reader: Reads the body of a reply that the app reads itself.
    """

    def __init__(
        self, run: Run, kind: Kind, call: ModelCall, ongoing: OngoingCall, body: Mapping[str, Any], host: str
    ) -> None:
        self.run = run
        self.kind = kind
        self.call = call
        self.ongoing = ongoing
        self.options: Any = None
        self.hides_usage = False
        self.under_way = False
        self.content: bytes | None = None
        self.reader: BodyReader | None = None
        self._body = body
        self._host = host
        self._plain_options: Any = None

    def prepare(self, options: Any) -> None:
        """Work out what to send; in observe mode that is what the app asked for."""
        self.options = options
        if self.run.policy.mode != "enforce":
            return
        changed = _edits.changes(self.kind, self.call, self._body, self._host)
        if self._lacks_usage():
            self._plain_options = _edits.applied(options, changed)
            changed.update(_edits.asking_for_usage(self._body))
            self.hides_usage = True
        if changed:
            self.options = _edits.applied(options, changed)

    def ask_for_usage(self, options: Any) -> bool:
        """Change *options* in this alone, for a call that another adapter has prepared; False where it says it."""
        if not self._lacks_usage():
            return False
        self._plain_options = options
        self.options = _edits.applied(options, _edits.asking_for_usage(self._body))
        self.hides_usage = True
        return True

    def _lacks_usage(self) -> bool:
        return _edits.lacks_usage(self.kind, self._body) and self._host not in _refusing_hosts

    @contextmanager
    def being_sent(self) -> Iterator[None]:
        """The context in which the other seams find this request."""
        token = current_sent.set(self)
        try:
            with self.ongoing.scope():
                yield
        finally:
            current_sent.reset(token)

    def asks_again(self, error: BaseException) -> bool:
        """True where the endpoint refused to be asked for usage: it is asked once more without, and remembered."""
        if self._plain_options is None or getattr(error, "status_code", None) not in (400, 422):
            return False
        said = f"{error} {getattr(error, 'body', '')}"
        if "stream_options" not in said and "include_usage" not in said:
            return False
        _refusing_hosts.add(self._host)
        self.options, self._plain_options, self.hides_usage = self._plain_options, None, False
        return True

    def returned(self) -> None:
        """The client has returned. A reply that is still to be read stays open; every other one is settled."""
        if self.reader is not None and self.ongoing.open:
            keep_open(self.ongoing)
        else:
            self.ongoing.settle(self._outcome())

    def failed(self, error: BaseException) -> BaseException | None:
        """The client has raised *error*; returns what to raise in its place where the time-out was the guard's."""
        ours = self._deadline(error)
        outcome = self._outcome()
        if not outcome.usage.known:
            outcome = replace(outcome, usage=self._usage_of(error))
        self.ongoing.settle(replace(outcome, error=ours or error))
        return ours

    def look(self) -> None:
        """Settle as soon as the reply has said all of its usage."""
        if self.reader is not None and self.reader.finished and self.ongoing.open:
            self.ongoing.settle(self._outcome())

    def broke_off(self, error: BaseException) -> BaseException | None:
        """The body ended in *error*; returns what to raise in its place, as `failed` does."""
        ours = self._deadline(error)
        self.ongoing.abandon(replace(self._outcome(), error=ours or error))
        return ours

    def gone(self) -> None:
        """Nobody reads on: closed or collected. What the reply has not said is charged as held."""
        if self.ongoing.open:
            self.ongoing.abandon(self._outcome())

    def _outcome(self) -> CallOutcome:
        try:
            if self.reader is not None:
                outcome, reply_id = self.reader.outcome(), self.reader.reply_id
            elif self.content is not None:
                outcome, reply_id = read_reply(self.kind, self.content)
            else:
                return CallOutcome()
        except Exception as error:
            self.run.engine.plugins.errors.report("Reading a reply of OpenAI", error)
            return CallOutcome()
        held_history.remember(self._body, reply_id, outcome.usage)
        return outcome

    def _deadline(self, error: BaseException) -> BaseException | None:
        return self.ongoing.expired() if is_timeout(error) and self.ongoing.open else None

    def _usage_of(self, error: BaseException) -> Usage:
        if not self.under_way or never_sent(error.__cause__):
            return Usage(0, 0)
        return Usage() if isinstance(error, GuardStopped) else usage_of_error(error)


def is_timeout(error: BaseException) -> bool:
    """True for a time-out of the client or of either HTTP library."""
    return isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower()


def never_sent(error: BaseException | None) -> bool:
    """True where no connection was made, so that nothing can have been billed."""
    return type(error).__name__ in _NEVER_SENT
