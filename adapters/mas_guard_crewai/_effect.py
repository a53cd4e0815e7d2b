"""What CrewAI itself makes of a tool that fails or is not called, as far as it matters for tools whose effect happens at
most once.

CrewAI refuses arguments, and calls past `max_usage_count`, before the tool's own code is entered: nothing has happened
then. An error of the tool's own reaches us as it was raised, before CrewAI calls the tool again. What the guard answers in
a tool's place is kept out of CrewAI's cache, which outlives the run that it was said to.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from mas_guard.adapter import CallOutcome, ToolCall
from mas_guard_crewai._translate import reply_text

Make = Callable[..., Any]

TOOLS = "crewai.tools"
CALLING = ("run", "arun", "invoke", "ainvoke")
PARSING = ("_validate_kwargs", "_parse_args")
LIMIT = "usage_limit"


class Answered(str):
    """A text that the guard gives in a tool's place. CrewAI's cache does not keep it."""


def make_cache_add(original: Make) -> Make:
    """Wrap `CacheHandler.add`."""

    @functools.wraps(original)
    def add(self: Any, tool: Any, input: Any, output: Any) -> Any:
        return None if isinstance(output, Answered) else original(self, tool, input, output)

    return add


def watched(call: ToolCall, send: Callable[[], Any]) -> Callable[[], Any]:
    """*send*, after whose errors it is known whether the tool's own code was entered."""

    def sent() -> Any:
        try:
            return send()
        except BaseException as error:
            call.no_effect = never_entered(error)
            raise

    return sent


def watched_async(call: ToolCall, send: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """As `watched`."""

    async def sent() -> Any:
        try:
            return await send()
        except BaseException as error:
            call.no_effect = never_entered(error)
            raise

    return sent


def never_entered(error: BaseException) -> bool:
    """True where CrewAI raised *error* before it called the tool's own code."""
    inside = False
    trace = error.__traceback__
    while trace is not None:
        of_tools = str(trace.tb_frame.f_globals.get("__name__", "")).startswith(TOOLS)
        name = trace.tb_frame.f_code.co_name
        if inside and not (of_tools and name in CALLING):
            return of_tools and name in PARSING
        inside = inside or of_tools
        trace = trace.tb_next
    return inside and type(error).__name__ == "ToolUsageLimitExceededError"


def read(call: ToolCall, result: Any) -> CallOutcome:
    """How a call ended. A failure that the tool declares is one, as an error is."""
    text = reply_text(result)
    reason = getattr(getattr(result, "reason", None), "value", None) if _is_failure(result) else None
    call.no_effect = call.no_effect or reason == LIMIT
    return CallOutcome(text, substituted=reason is not None or text.startswith("Error executing tool"))


def with_note(result: Any, note: str) -> Any:
    """*result*, a failure, with what the model must know beside it."""
    if isinstance(result, str):
        return f"{result}\n{note}"
    return result.model_copy(update={"message": f"{result.message}\n{note}"}) if _is_failure(result) else result


def _is_failure(result: Any) -> bool:
    return type(result).__name__ == "ToolFailure" and hasattr(result, "message")
