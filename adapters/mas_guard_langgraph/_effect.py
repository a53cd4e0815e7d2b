"""What LangChain itself makes of a tool that fails, as far as it matters for tools whose effect happens at most once:
whether the tool's own code was entered, and which error a text stands for.

`BaseTool.run` refuses arguments before it calls `_run`, and turns the errors that `handle_tool_error` and
`handle_validation_error` name into text in two functions of its module: there the error is still to be had. The functions
are private; where one is missing, a refused argument reads as a failure of which nothing is known.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from mas_guard.adapter import Run, ToolCall, live_call

Make = Callable[..., Any]

TOOLS = "langchain_core.tools"
PARSING = "_parse_input"
AROUND = ("run", "arun", "_to_args_and_kwargs")


def happens_once(run: Run, call: ToolCall) -> bool:
    """True where the effect of *call* is recorded, so that the run that it belongs to must be found again by a resume."""
    return run.policy.once_key(call.tool) is not None and run.policy.rule_mode("once") == "enforce"


def watched(call: ToolCall, send: Callable[[], Any]) -> Callable[[], Any]:
    """*send*, after whose errors it is known whether anything can have happened."""

    def sent() -> Any:
        try:
            return send()
        except BaseException as error:
            call.no_effect = nothing_happened(error)
            raise

    return sent


def watched_async(call: ToolCall, send: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """As `watched`."""

    async def sent() -> Any:
        try:
            return await send()
        except BaseException as error:
            call.no_effect = nothing_happened(error)
            raise

    return sent


def make_handle(original: Make) -> Make:
    """Wrap `_handle_tool_error` and `_handle_validation_error`: the error is remembered on the call that it ends."""

    @functools.wraps(original)
    def handle(error: Any, *arguments: Any, **keywords: Any) -> Any:
        live = live_call.get()
        if live is not None and isinstance(live.call, ToolCall):
            live.call.raised, live.call.no_effect = error, nothing_happened(error)
        return original(error, *arguments, **keywords)

    return handle


def nothing_happened(error: BaseException) -> bool:
    """True where the tool's own code was not entered, or where it has paused the graph: it begins anew with the resume."""
    from langgraph.errors import GraphInterrupt

    if isinstance(error, GraphInterrupt):
        return True
    inside = False
    trace = error.__traceback__
    while trace is not None:
        of_tools = str(trace.tb_frame.f_globals.get("__name__", "")).startswith(TOOLS)
        name = trace.tb_frame.f_code.co_name
        if inside and not (of_tools and name in AROUND):
            return of_tools and name == PARSING
        inside = inside or of_tools
        trace = trace.tb_next
    return False


def with_note(result: Any, note: str) -> Any:
    """*result*, the text of an error, with what the model must know beside it."""
    if isinstance(result, str):
        return f"{result}\n{note}"
    content = getattr(result, "content", None)
    if isinstance(content, str):
        return result.model_copy(update={"content": f"{content}\n{note}"})
    if isinstance(content, list):
        return result.model_copy(update={"content": [*content, {"type": "text", "text": note}]})
    return result
