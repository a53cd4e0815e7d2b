"""`_process_response`: the reply as it came, before the client turns it into an object.

Here every kind of reply is still one HTTP response: parsed or raw, whole or streamed. A body that was read is kept for
the settlement; one that the app will read is read along by standing in the response's own `iter_bytes` and `close`,
where `Stream`, `with_raw_response` and `with_streaming_response` all get it from. No class is changed.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from mas_guard_openai._body import AsyncBody, Body
from mas_guard_openai._event_stream import EventStream, WholeBody
from mas_guard_openai._sent import Sent, current_sent

Make = Callable[..., Any]


def make_process(original: Make) -> Make:
    """Wrap the synchronous client's `_process_response`."""

    @functools.wraps(original)
    def _process_response(self: Any, **keywords: Any) -> Any:
        sent = current_sent.get()
        if sent is not None and _unread(sent, keywords):
            response = keywords["response"]
            body = Body(response, sent)
            response.iter_bytes, response.close = body.iter_bytes, body.close
        return original(self, **keywords)

    return _process_response


def make_async_process(original: Make) -> Make:
    """Wrap the asynchronous client's `_process_response`."""

    @functools.wraps(original)
    async def _process_response(self: Any, **keywords: Any) -> Any:
        sent = current_sent.get()
        if sent is not None and _unread(sent, keywords):
            response = keywords["response"]
            body = AsyncBody(response, sent)
            response.aiter_bytes, response.aclose = body.aiter_bytes, body.aclose
        return await original(self, **keywords)

    return _process_response


def _unread(sent: Sent, keywords: dict[str, Any]) -> bool:
    """Take the body over where it has been read; True where the app will read it."""
    try:
        response = keywords["response"]
        try:
            sent.content = response.content
            return False
        except Exception as error:  # two HTTP libraries, each with a class of its own
            if type(error).__name__ != "ResponseNotRead":
                raise
        streamed = bool(keywords.get("stream")) and "json" not in response.headers.get("content-type", "")
        report = sent.run.engine.plugins.errors.report
        sent.reader = (
            EventStream(sent.kind, sent.call.choices, sent.hides_usage, report) if streamed else WholeBody(sent.kind)
        )
        weakref.finalize(response, sent.gone).atexit = False
        return True
    except Exception as error:
        sent.run.engine.plugins.errors.report("Reading a reply of OpenAI", error)
        sent.reader = None
        return False
