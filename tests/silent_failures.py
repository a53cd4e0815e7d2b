"""What a worker may give back that is no result, and that a bare framework hands on as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mas_guard.testing import Reply, Request, text

STALE = "The harbour was closed on the third of May, and no ship could enter it until the fifth."


@dataclass(frozen=True)
class SilentFailure:
    """One kind of it.

    Attributes:
        name: What it is called in the tests.
        reply: What the worker's model says.
        proven: True where the framework or the provider proves it, so that it is told without being asked for.
        reason: Part of the words that whoever comes next is told.
    """

    name: str
    reply: Callable[[], Reply]
    proven: bool
    reason: str


AT_THE_MODEL = (
    SilentFailure("empty", lambda: text(""), False, "the output is empty"),
    SilentFailure("null", lambda: text("null"), False, "the output is null"),
    SilentFailure("default", lambda: text('{"finding": "unknown", "sources": []}'), False, "default value"),
    SilentFailure("error_text", lambda: text("TimeoutError: the source did not answer"), False, "text of an error"),
    SilentFailure("cut", lambda: text("The harbour was closed and", finish_reason="length"), True, "cut off"),
    SilentFailure("refusal", lambda: Reply(refusal="I cannot help with that."), True, "refused"),
)


def last_request_of(requests: list[Request], words: str) -> Request:
    """The latest request whose instructions hold *words*."""
    return next(
        request
        for request in reversed(requests)
        if words in str(request.body.get("instructions") or request.messages[0].get("content"))
    )
