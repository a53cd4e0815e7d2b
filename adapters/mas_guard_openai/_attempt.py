"""`BaseClient._build_request` and `_calculate_retry_timeout`: every attempt, the client's own retries included.

A retry is a request that the provider may bill, so it is counted before it leaves, and gets no more time than is left.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import (
    GuardStopped,
    LiveCall,
    ModelCall,
    charge_lost_attempt,
    check_time,
    count_attempt,
    current_step,
    live_call,
)
from mas_guard_openai import _kinds
from mas_guard_openai._sent import current_sent, never_sent

Make = Callable[..., Any]


def make_build(original: Make) -> Make:
    """Wrap `BaseClient._build_request`, which both clients call once an attempt."""

    @functools.wraps(original)
    def _build_request(self: Any, options: Any, **keywords: Any) -> Any:
        live = _live_model_call(options)
        if live is None:
            return original(self, options, **keywords)
        try:
            check_time(live.run, current_step.get(), concluding=_concluding(live))
            count_attempt(live)
            options = _with_time_left(self, options, live.seconds_left())
        except GuardStopped:
            raise
        except Exception as error:
            live.run.engine.plugins.errors.report("Counting an attempt of the OpenAI client", error)
        request = original(self, options, **keywords)
        _mark(under_way=True)
        return request

    return _build_request


def make_wait(original: Make) -> Make:
    """Wrap `BaseClient._calculate_retry_timeout`, asked once an attempt has failed and another one follows."""

    @functools.wraps(original)
    def _calculate_retry_timeout(self: Any, *arguments: Any, **keywords: Any) -> Any:
        seconds = original(self, *arguments, **keywords)
        live = live_call.get()
        if live is None or not isinstance(live.call, ModelCall):
            return seconds
        if _was_lost(sys.exception()):
            charge_lost_attempt(live)
        _mark(under_way=False)
        left = live.seconds_left()
        return seconds if left is None else min(seconds, max(0.0, left))

    return _calculate_retry_timeout


def _live_model_call(options: Any) -> LiveCall | None:
    live = live_call.get()
    if live is None or not isinstance(live.call, ModelCall) or _kinds.kind_of(options) is None:
        return None
    return live


def _concluding(live: LiveCall) -> bool:
    return isinstance(live.call, ModelCall) and live.call.concluding


def _mark(*, under_way: bool) -> None:
    sent = current_sent.get()
    if sent is not None:
        sent.under_way = under_way


def _was_lost(error: BaseException | None) -> bool:
    """True where the attempt may have reached the provider and brought no answer."""
    return error is not None and getattr(error, "response", None) is None and not never_sent(error)


def _with_time_left(client: Any, options: Any, left: float | None) -> Any:
    """*options* with the smaller of their time-out (or the client's) and what is left, in seconds."""
    if left is None:
        return options
    own = client.timeout if type(options.timeout).__name__ == "NotGiven" else options.timeout
    timeout = _smaller(own, max(left, 0.001))
    if timeout is own:
        return options
    copy = options.model_copy()
    copy.timeout = timeout
    return copy


def _smaller(own: Any, left: float) -> Any:
    if own is None:
        return left
    if isinstance(own, int | float):
        return min(own, left)
    parts = {name: getattr(own, name) for name in ("connect", "read", "write", "pool")}
    if all(part is not None and part <= left for part in parts.values()):
        return own
    return type(own)(**{name: left if part is None else min(part, left) for name, part in parts.items()})
