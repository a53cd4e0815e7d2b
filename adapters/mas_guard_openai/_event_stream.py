"""Reads a reply while it passes, as bytes, so that every way of reading it is seen and none is changed.

The event that ends a stream is not passed on before its usage is known: an app may stop reading there. Events with
usage that only the guard asked for are kept from the app.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from mas_guard.adapter import CallOutcome, Usage
from mas_guard_openai._kinds import COMPACTION, RESPONSES, Kind
from mas_guard_openai._replies import read_reply, read_response, tool_names, usage_of

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
# Quotes inside of a JSON string are escaped, so this is always a field.
_NO_USAGE = re.compile(rb',\s*"usage":\s*null')
_LAST = ("response.completed", "response.incomplete", "response.failed")
_MAY_BE_LAST = tuple(kind.encode() for kind in _LAST)


class BodyReader(Protocol):
    """Takes a body in and gives out what the app may see of it.

    Attributes:
        finished: True once all is known that the reply will say of its usage.
        reply_id: The provider's id of the reply; empty while it is unknown.
    """

    finished: bool
    reply_id: str

    def feed(self, data: bytes) -> bytes:
        """Take *data* in; what the app may have now."""
        ...

    def end(self) -> bytes:
        """The body has come to its end; what the app has not had yet."""
        ...

    def rest(self) -> bytes:
        """The body broke off; what was held back."""
        ...

    def outcome(self) -> CallOutcome:
        """What the reply amounts to so far; its usage is unknown before `finished`."""
        ...


class WholeBody:
    """A body that is one JSON document."""

    def __init__(self, kind: Kind) -> None:
        self.finished = False
        self.reply_id = ""
        self._kind = kind
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        return data

    def end(self) -> bytes:
        self.finished = True
        return b""

    def rest(self) -> bytes:
        return b""

    def outcome(self) -> CallOutcome:
        if not self.finished:
            return CallOutcome()
        outcome, self.reply_id = read_reply(self._kind, b"".join(self._parts))
        return outcome


class EventStream:
    """A body of server-sent events.

    Args:
        kind: The endpoint that sends them.
        choices: How many answers were asked for; the stream ends when all of them have.
        hide_usage: True where only the guard asked for usage.
        report: Is told of what could not be read; the app gets it all the same.
    """

    def __init__(
        self, kind: Kind, choices: int, hide_usage: bool, report: Callable[[str, BaseException], None]
    ) -> None:
        self.finished = False
        self.reply_id = ""
        self._take = self._take_response if kind in (RESPONSES, COMPACTION) else self._take_chunk
        self._choices = choices
        self._hide_usage = hide_usage
        self._report = report
        self._unread = bytearray()
        self._searched = 0
        self._held = b""
        self._ended_choices = 0
        self._outcome: CallOutcome | None = None
        self._texts: list[str] = []
        self._calls: list[str] = []
        self._usage = Usage()
        self._cut = False
        self._refused = False

    def feed(self, data: bytes) -> bytes:
        passed = bytearray()
        for event in self._events(data):
            shown, hold_back = event, False
            try:
                shown, hold_back = self._take(event)
            except Exception as error:
                self._report("Reading an event of OpenAI's stream", error)
            passed += self._held
            self._held = shown if hold_back else b""
            if not hold_back:
                passed += shown
        return bytes(passed)

    def end(self) -> bytes:
        self.finished = True
        return self.rest()

    def rest(self) -> bytes:
        rest, self._held = self._held + bytes(self._unread), b""
        self._unread.clear()
        return rest

    def outcome(self) -> CallOutcome:
        if self._outcome is not None:
            return self._outcome
        # Some providers send running totals: a figure from the middle is no usage.
        usage = self._usage if self.finished else Usage()
        answered = self._ended_choices == self._choices == 1 and not self._calls
        return CallOutcome(
            "".join(self._texts), tuple(self._calls), usage, cut=self._cut, answered=answered, refused=self._refused
        )

    def _events(self, data: bytes) -> Iterator[bytes]:
        unread = self._unread
        unread += data
        while found := _BOUNDARY.search(unread, self._searched):
            event = bytes(unread[: found.end()])
            del unread[: found.end()]
            self._searched = 0
            yield event
        self._searched = max(0, len(unread) - 3)

    def _take_response(self, event: bytes) -> tuple[bytes, bool]:
        if any(kind in event for kind in _MAY_BE_LAST):
            said = json.loads(_data(event) or b"null")
            if isinstance(said, Mapping) and said.get("type") in _LAST:
                self._outcome = read_response(said["response"])
                self.reply_id = str(said["response"].get("id") or "")
                self.finished = True
        return event, False

    def _take_chunk(self, event: bytes) -> tuple[bytes, bool]:
        data = _data(event)
        if data is None:
            return event, False
        if data == b"[DONE]":
            self.finished = True
            return event, False
        chunk = json.loads(data)
        if not isinstance(chunk, dict):
            return event, False
        choices = chunk.get("choices") or ()
        ended = self._take_choices(choices)
        usage = chunk.get("usage")
        if isinstance(usage, Mapping):
            self._usage = usage_of(usage)
            self.finished = self.finished or self._ended_choices >= self._choices
        return self._shown(event, chunk), ended and not self.finished

    def _take_choices(self, choices: Any) -> bool:
        ended = False
        for choice in choices:
            delta = choice.get("delta") or {}
            self._texts += filter(None, (choice.get("text"), delta.get("content"), delta.get("refusal")))
            self._calls += tool_names(delta)
            self._refused = (
                self._refused or bool(delta.get("refusal")) or choice.get("finish_reason") == "content_filter"
            )
            reason = choice.get("finish_reason")
            if reason:
                ended = True
                self._ended_choices += 1
                self._cut = self._cut or reason == "length"
        return ended

    def _shown(self, event: bytes, chunk: dict[str, Any]) -> bytes:
        if not self._hide_usage or "usage" not in chunk:
            return event
        if chunk["usage"] is None:
            return _NO_USAGE.sub(b"", event)
        if not chunk.get("choices"):
            return b""
        del chunk["usage"]
        return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _data(event: bytes) -> bytes | None:
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
