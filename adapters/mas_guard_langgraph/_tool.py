"""LangChain's tools: every way of calling one passes `BaseTool.run` or `BaseTool.arun`.

A refused call is answered in the form the framework would give the tool's own result, so that every tool call in the
history stays answered. A stop inside a tool's body (a nested agent's) is answered as a failure, never as an empty
success; the latch keeps anything else from being sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from mas_guard.adapter import (
    Answer,
    CallOutcome,
    GuardStopped,
    Run,
    StoreUnavailable,
    ToolCall,
    current_run,
    current_step,
    guard_call,
    guard_call_async,
)
from mas_guard_langgraph import _translate
from mas_guard_langgraph._checkpoint import wait_until_saved, wait_until_saved_async
from mas_guard_langgraph._effect import happens_once, watched, watched_async, with_note
from mas_guard_langgraph._frame import current_task
from mas_guard_langgraph._pause import ask_person, can_pause

ENDED = "limit reached before it had a result"
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
        call = _call(active, self, tool_input)
        send = watched(call, lambda: original(self, tool_input, *arguments, **keywords))
        read = functools.partial(_read, call)
        answered_to = keywords.get("tool_call_id")
        if happens_once(active, call):
            wait_until_saved(active)
        try:
            result = guard_call(active, call, send, read)
            while call.waits_for:
                ask_person(active, call)
                result = guard_call(active, call, send, read)
        except GuardStopped as stop:
            if not answered_to or isinstance(stop, StoreUnavailable):
                raise  # nothing was latched: a resume makes the call, once the store is back
            return _message(self, f"failed: {stop.rule}: {ENDED}", answered_to)
        if isinstance(result, Answer):
            return _answer(active, self, result, answered_to)
        return with_note(result, call.told) if call.told else result

    return run


def make_arun(original: Make) -> Make:
    """Wrap `BaseTool.arun`."""

    @functools.wraps(original)
    async def arun(self: Any, tool_input: Any, *arguments: Any, **keywords: Any) -> Any:
        active = current_run.get()
        if active is None:
            return await original(self, tool_input, *arguments, **keywords)
        call = _call(active, self, tool_input)
        send = watched_async(call, lambda: original(self, tool_input, *arguments, **keywords))
        read = functools.partial(_read, call)
        answered_to = keywords.get("tool_call_id")
        if happens_once(active, call):
            await wait_until_saved_async(active)
        try:
            result = await guard_call_async(active, call, send, read)
            while call.waits_for:
                ask_person(active, call)
                result = await guard_call_async(active, call, send, read)
        except GuardStopped as stop:
            if not answered_to or isinstance(stop, StoreUnavailable):
                raise  # nothing was latched: a resume makes the call, once the store is back
            return _message(self, f"failed: {stop.rule}: {ENDED}", answered_to)
        if isinstance(result, Answer):
            return _answer(active, self, result, answered_to)
        return with_note(result, call.told) if call.told else result

    return arun


def _call(run: Run, tool: Any, tool_input: Any) -> ToolCall:
    metadata = getattr(tool, "metadata", None) or {}
    name = str(tool.name)
    arguments = tool_input if isinstance(tool_input, dict) else {"input": tool_input}
    return ToolCall(
        name,
        {key: value for key, value in arguments.items() if key not in ("state", "runtime", "store", "tool_call_id")},
        _acting_agent(),
        is_handoff=HANDOFF_METADATA in metadata or name.startswith(HANDOFF_PREFIXES),
        pauses=can_pause(run),
    )


def _acting_agent() -> str:
    """The agent that a tool is called for: a node of one's own that carries calls out acts for the one before it."""
    step, inside = current_step.get(), current_task.get()
    if step is None:
        return ""
    if inside is not None and step.agent == inside[1].name and step.agent not in inside[0].agents:
        return inside[0].lineage.get(step.agent, step.agent)
    return step.agent


def _read(call: ToolCall, result: Any) -> CallOutcome:
    if getattr(result, "goto", None):
        call.is_handoff = True
    failed = getattr(result, "status", None) == "error"
    return CallOutcome(_translate.text_of(getattr(result, "content", result)), substituted=failed)


def _answer(run: Any, tool: Any, answer: Answer, answered_to: Any) -> Any:
    if answered_to:
        return _message(tool, answer.text, answered_to, "success" if answer.result else "error")
    if run.stop is not None and not answer.result:
        raise run.raised()
    return answer.text


def _message(tool: Any, text: str, answered_to: str, status: Literal["success", "error"] = "error") -> Any:
    from langchain_core.messages import ToolMessage

    return ToolMessage(content=text, name=tool.name, tool_call_id=answered_to, status=status)
