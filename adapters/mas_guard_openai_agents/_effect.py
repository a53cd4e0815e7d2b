"""What the SDK itself makes of a tool that fails, as far as it matters for tools whose effect happens at most once.

A tool's own time-out would cancel it mid-way: it only ends the waiting here, and what the tool gives in the end is recorded
then. An error is made a text by `maybe_invoke_function_tool_failure_error_function`, whichever function of the app's words
it, so there it is remembered which error it was.
"""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from agents.exceptions import ModelBehaviorError

from mas_guard.adapter import CallOutcome, ToolCall, live_call

Make = Callable[..., Any]

TOOLS = "agents.tool"


class Watched:
    """One invocation of a tool: what it gave, also where the SDK has given it up before.

    Args:
        call: The call as the guard knows it.
        tool: The SDK's tool.
        text: Makes a text of an output.
    """

    def __init__(self, call: ToolCall, tool: Any, text: Callable[[Any], str]) -> None:
        self._call = call
        self._text = text
        self._task: asyncio.Task[Any] | None = None
        self.tool = tool
        if getattr(tool, "timeout_seconds", None) is not None:
            self.tool = copy.copy(tool)
            self.tool.on_invoke_tool = self._whole(tool.on_invoke_tool)

    def _whole(self, invoke: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(invoke)
        async def invoked(context: Any, arguments: str) -> Any:
            self._task = asyncio.ensure_future(invoke(context, arguments))
            return await asyncio.shield(self._task)

        return invoked

    async def invoke(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Await *send*; afterwards it is known whether anything can have happened, and whether the tool goes on."""
        try:
            return await send()
        except BaseException as error:
            self._call.no_effect = arguments_refused(error)
            raise
        finally:
            if self._task is not None and not self._task.done():
                self._call.goes_on = True
                self._task.add_done_callback(self._ended)

    def read(self, result: Any) -> CallOutcome:
        """How the call ended."""
        call, output, task = self._call, result.output, self._task
        substituted = bool(result.is_sdk_generated_error) or call.raised is not None or call.goes_on
        if task is not None and task.done() and not task.cancelled() and task.exception() is None:
            # The tool has ended all the same, where the SDK's text says that it took too long.
            output, substituted = task.result(), substituted and task.result() is output
        return CallOutcome(self._text(output), substituted=substituted)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self._call.ended is None:
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        text = self._text(task.result()) if error is None else ""
        self._call.ended(CallOutcome(text, error=error))


def make_failure(original: Make) -> Make:
    """Wrap `maybe_invoke_function_tool_failure_error_function`: the error is remembered on the call that it ends."""

    @functools.wraps(original)
    async def failure(*, error: BaseException, **keywords: Any) -> Any:
        live = live_call.get()
        if live is not None and isinstance(live.call, ToolCall):
            live.call.raised, live.call.no_effect = error, arguments_refused(error)
        return await original(error=error, **keywords)

    return failure


def arguments_refused(error: BaseException) -> bool:
    """True where the SDK refused the arguments before it called the tool's function: no other code was entered."""
    if not isinstance(error, ModelBehaviorError):
        return False
    inside = False
    trace = error.__traceback__
    while trace is not None:
        of_tools = trace.tb_frame.f_globals.get("__name__") == TOOLS
        if inside and not of_tools:
            return False
        inside = inside or of_tools
        trace = trace.tb_next
    return inside
