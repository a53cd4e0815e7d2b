"""Function tools, MCP servers' and agents' among them: every way of calling one passes here.

A stop inside a tool, such as a nested agent's, reaches the outer agent as a failure: the SDK turns errors of tools into
text, so what a nested run was stopped by is looked up afterwards.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from agents.tool import _FunctionToolInvocationResult

from mas_guard.adapter import (
    Answer,
    CallOutcome,
    GuardStopped,
    ToolCall,
    current_run,
    current_step,
    guard_call_async,
    stops_within,
)
from mas_guard_openai_agents._frame import active_frame

Make = Callable[..., Any]

ENDED = "limit reached before it had a result"


def make_invoke(original: Make) -> Make:
    """Wrap `_invoke_function_tool_with_metadata`, as its callers look it up."""

    @functools.wraps(original)
    async def invoke(*, function_tool: Any, context: Any, arguments: str) -> Any:
        run = current_run.get()
        if run is None or active_frame() is None:
            return await original(function_tool=function_tool, context=context, arguments=arguments)
        step = current_step.get()
        call = ToolCall(function_tool.name, _parsed(arguments), step.agent if step is not None else "")
        stops: list[GuardStopped] = []
        token = stops_within.set(stops)
        try:
            result = await guard_call_async(
                run,
                call,
                lambda: original(function_tool=function_tool, context=context, arguments=arguments),
                lambda result: CallOutcome(_text(result.output), substituted=bool(result.is_sdk_generated_error)),
            )
        except GuardStopped as stop:
            return _answer(f"failed: {stop.rule}: {ENDED}")
        finally:
            stops_within.reset(token)
        if isinstance(result, Answer):
            return _answer(result.text)
        if stops:
            return _answer(_failed(run, stops[-1]))
        return result

    return invoke


def _failed(run: Any, stop: GuardStopped) -> str:
    if run.stop is not None:
        return f"failed: {stop.rule}: {ENDED}"
    run.note(f"an agent used as a tool was ended by its own limit: {stop}")
    return f"[mas-guard] status failed, reason: {stop} Do not call it again; go on with what is known."


def _answer(text: str) -> Any:
    return _FunctionToolInvocationResult(text, is_sdk_generated_error=True)


def _parsed(arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments) if arguments else {}
    except ValueError:
        return {"input": arguments}
    return given if isinstance(given, dict) else {"input": given}


def _text(output: Any) -> str:
    return output if isinstance(output, str) else str(output)
