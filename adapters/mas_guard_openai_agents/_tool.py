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
    StoreUnavailable,
    ToolCall,
    current_run,
    current_step,
    guard_call_async,
    stops_within,
)
from mas_guard_openai_agents._effect import Watched
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
        once = run.policy.once_key(call.tool) is not None and run.policy.rule_mode("once") == "enforce"
        watched = Watched(call, function_tool, _text) if once else None
        tool = function_tool if watched is None else watched.tool

        def send() -> Any:
            sent = functools.partial(original, function_tool=tool, context=context, arguments=arguments)
            return sent() if watched is None else watched.invoke(sent)

        stops: list[GuardStopped] = []
        token = stops_within.set(stops)
        try:
            result = await guard_call_async(run, call, send, _read if watched is None else watched.read)
        except GuardStopped as stop:
            if isinstance(stop, StoreUnavailable):
                raise  # nothing was latched: a resume makes the call, once the store is back
            return _answer(f"failed: {stop.rule}: {ENDED}")
        finally:
            stops_within.reset(token)
        if isinstance(result, Answer):
            return _answer(result.text, failed=not result.result)
        if stops:
            return _answer(_with(call.told, _failed(run, stops[-1])))
        if call.told:
            return _answer(_with(call.told, _text(result.output)))
        return result

    return invoke


def _failed(run: Any, stop: GuardStopped) -> str:
    if run.stop is not None:
        return f"failed: {stop.rule}: {ENDED}"
    run.note(f"an agent used as a tool was ended by its own limit: {stop}")
    return f"[mas-guard] status failed, reason: {stop} Do not call it again; go on with what is known."


def _answer(text: str, *, failed: bool = True) -> Any:
    return _FunctionToolInvocationResult(text, is_sdk_generated_error=failed)


def _with(note: str, text: str) -> str:
    return f"{text}\n{note}" if note else text


def _read(result: Any) -> CallOutcome:
    return CallOutcome(_text(result.output), substituted=bool(result.is_sdk_generated_error))


def _parsed(arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments) if arguments else {}
    except ValueError:
        return {"input": arguments}
    return given if isinstance(given, dict) else {"input": given}


def _text(output: Any) -> str:
    return output if isinstance(output, str) else str(output)
