"""LangChain's tools: every way of calling one passes `BaseTool.run` or `BaseTool.arun`.

A refused call is answered in the form the framework would give the tool's own result, so that every tool call in the
history stays answered. A stop inside a tool's body (a nested agent's) is answered as a failure, never as an empty
success; the latch keeps anything else from being sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import (
    NOT_EXECUTED,
    Answer,
    CallOutcome,
    GuardStopped,
    ToolCall,
    current_run,
    current_step,
    guard_call,
    guard_call_async,
)
from mas_guard_langgraph import _translate

HANDOFF_METADATA = "__handoff_destination"
HANDOFF_PREFIXES = ("transfer_to_", "transfer_back_to_", "handoff_to_", "delegate_to_")
Make = Callable[..., Any]


def make_run(original: Make) -> Make:
    """Wrap `BaseTool.run`."""

    @functools.wraps(original)
    def run(self: Any, tool_input: Any, *arguments: Any, **keywords: Any) -> Any:
        active = current_run.get()
        if active is None:
            return original(self, tool_input, *arguments, **keywords)
        call = _call(self, tool_input)
        answered_to = keywords.get("tool_call_id")
        try:
            result = guard_call(
                active,
                call,
                lambda: original(self, tool_input, *arguments, **keywords),
                functools.partial(_read, call),
            )
        except GuardStopped as stop:
            if not answered_to:
                raise
            return _message(self, f"failed: {stop.rule}: {NOT_EXECUTED}", answered_to)
        if isinstance(result, Answer):
            return _answer(active, self, result, answered_to)
        return result

    return run


def make_arun(original: Make) -> Make:
    """Wrap `BaseTool.arun`."""

    @functools.wraps(original)
    async def arun(self: Any, tool_input: Any, *arguments: Any, **keywords: Any) -> Any:
        active = current_run.get()
        if active is None:
            return await original(self, tool_input, *arguments, **keywords)
        call = _call(self, tool_input)
        answered_to = keywords.get("tool_call_id")
        try:
            result = await guard_call_async(
                active,
                call,
                lambda: original(self, tool_input, *arguments, **keywords),
                functools.partial(_read, call),
            )
        except GuardStopped as stop:
            if not answered_to:
                raise
            return _message(self, f"failed: {stop.rule}: {NOT_EXECUTED}", answered_to)
        if isinstance(result, Answer):
            return _answer(active, self, result, answered_to)
        return result

    return arun


def _call(tool: Any, tool_input: Any) -> ToolCall:
    step = current_step.get()
    metadata = getattr(tool, "metadata", None) or {}
    name = str(tool.name)
    arguments = tool_input if isinstance(tool_input, dict) else {"input": tool_input}
    return ToolCall(
        name,
        {key: value for key, value in arguments.items() if key not in ("state", "runtime", "store", "tool_call_id")},
        step.agent if step is not None else "",
        is_handoff=HANDOFF_METADATA in metadata or name.startswith(HANDOFF_PREFIXES),
    )


def _read(call: ToolCall, result: Any) -> CallOutcome:
    if getattr(result, "goto", None):
        call.is_handoff = True
    return CallOutcome(_translate.text_of(getattr(result, "content", result)))


def _answer(run: Any, tool: Any, answer: Answer, answered_to: Any) -> Any:
    if answered_to:
        return _message(tool, answer.text, answered_to)
    if run.stop is not None:
        raise run.raised()
    return answer.text


def _message(tool: Any, text: str, answered_to: str) -> Any:
    from langchain_core.messages import ToolMessage

    return ToolMessage(content=text, name=tool.name, tool_call_id=answered_to, status="error")
