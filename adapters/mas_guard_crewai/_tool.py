"""CrewAI's tools: `BaseTool.run` where the model calls functions, `CrewStructuredTool.invoke` where it writes them as text.

Nothing is ever raised out of a tool: CrewAI would run it again, six times in the second case. A refused call is answered
with text, and so is a stop inside of its body. A result from CrewAI's own cache counts as a call that was repeated.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from crewai.utilities.string_utils import sanitize_tool_name

from mas_guard.adapter import (
    Answer,
    CallOutcome,
    GuardStopped,
    StoreUnavailable,
    ToolCall,
    current_run,
    current_step,
    guard_call,
    guard_call_async,
)
from mas_guard_crewai._effect import Answered, read, watched, watched_async, with_note
from mas_guard_crewai._frame import current_activation
from mas_guard_crewai._sent import current_sent
from mas_guard_crewai._translate import reply_text

Make = Callable[..., Any]

ENDED = "limit reached before it had a result"
NOT_RECORDED = "not executed: what keeps the books does not answer at the moment. Do without it, and say so."
in_tool: ContextVar[Any] = ContextVar("mas_guard_crewai_tool", default=None)


def make_run(original: Make) -> Make:
    """Wrap `BaseTool.run` and `Tool.run`."""

    @functools.wraps(original)
    def run(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return _guarded(self, _arguments(self, arguments, keywords), lambda: original(self, *arguments, **keywords))

    return run


def make_arun(original: Make) -> Make:
    """Wrap `BaseTool.arun` and `Tool.arun`."""

    @functools.wraps(original)
    async def arun(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return await _guarded_async(
            self, _arguments(self, arguments, keywords), lambda: original(self, *arguments, **keywords)
        )

    return arun


def make_invoke(original: Make) -> Make:
    """Wrap `CrewStructuredTool.invoke`."""

    @functools.wraps(original)
    def invoke(self: Any, input: Any, *arguments: Any, **keywords: Any) -> Any:
        return _guarded(self, _input(input), lambda: original(self, input, *arguments, **keywords))

    return invoke


def make_ainvoke(original: Make) -> Make:
    """Wrap `CrewStructuredTool.ainvoke`."""

    @functools.wraps(original)
    async def ainvoke(self: Any, input: Any, *arguments: Any, **keywords: Any) -> Any:
        return await _guarded_async(self, _input(input), lambda: original(self, input, *arguments, **keywords))

    return ainvoke


def make_cache_read(original: Make) -> Make:
    """Wrap `CacheHandler.read`: a hit is a call with the same arguments and the same result as before."""

    @functools.wraps(original)
    def read(self: Any, tool: Any, input: Any) -> Any:
        found = original(self, tool, input)
        active, step = current_run.get(), current_step.get()
        if found is None or active is None or step is None:
            return found
        call = ToolCall(str(tool), {"input": input}, step.agent, from_cache=True)
        try:
            result = guard_call(active, call, lambda: found, lambda value: CallOutcome(reply_text(value), cached=True))
        except GuardStopped as stop:
            return f"failed: {stop.rule}: {ENDED}"
        return Answered(result.text) if isinstance(result, Answer) else result

    return read


def _guarded(tool: Any, arguments: Mapping[str, Any], send: Callable[[], Any]) -> Any:
    active, name = current_run.get(), _name(tool)
    if active is None or in_tool.get() == name:  # one way of calling it has gone on to another
        return send()

    def inside() -> Any:
        token, sent = in_tool.set(name), current_sent.set(None)
        if (activation := current_activation.get()) is not None:
            activation.used_tool = True
        try:
            return send()
        finally:
            current_sent.reset(sent)
            in_tool.reset(token)

    call = _call(tool, name, arguments)
    try:
        result = guard_call(active, call, watched(call, inside), functools.partial(read, call))
    except GuardStopped as stop:
        return _ended(stop)
    return _given(call, result)


async def _guarded_async(tool: Any, arguments: Mapping[str, Any], send: Callable[[], Any]) -> Any:
    active, name = current_run.get(), _name(tool)
    if active is None or in_tool.get() == name:  # one way of calling it has gone on to another
        return await send()

    async def inside() -> Any:
        token, sent = in_tool.set(name), current_sent.set(None)
        if (activation := current_activation.get()) is not None:
            activation.used_tool = True
        try:
            return await send()
        finally:
            current_sent.reset(sent)
            in_tool.reset(token)

    call = _call(tool, name, arguments)
    try:
        result = await guard_call_async(active, call, watched_async(call, inside), functools.partial(read, call))
    except GuardStopped as stop:
        return _ended(stop)
    return _given(call, result)


def _ended(stop: GuardStopped) -> Answered:
    # Without the store nothing is latched, and CrewAI would only call again what is raised: the model is told.
    return Answered(NOT_RECORDED if isinstance(stop, StoreUnavailable) else f"failed: {stop.rule}: {ENDED}")


def _given(call: ToolCall, result: Any) -> Any:
    if isinstance(result, Answer):
        return result.text if result.result else Answered(result.text)
    return with_note(result, call.told) if call.told else result


def _call(tool: Any, name: str, arguments: Mapping[str, Any]) -> ToolCall:
    step = current_step.get()
    return ToolCall(name, arguments, step.agent if step is not None else "", is_handoff=_delegates(tool))


def _delegates(tool: Any) -> bool:
    kinds = {kind.__name__ for kind in type(getattr(tool, "_original_tool", None) or tool).__mro__}
    return "BaseAgentTool" in kinds


def _name(tool: Any) -> str:
    return str(sanitize_tool_name(str(tool.name)))


def _arguments(tool: Any, positional: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
    if not positional:
        return dict(keywords)
    names = tuple(getattr(getattr(tool, "args_schema", None), "model_fields", ()))
    if len(names) < len(positional):
        return {"input": list(positional), **keywords}
    return {**dict(zip(names, positional, strict=False)), **keywords}


def _input(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            given = json.loads(given)
    return given if isinstance(given, Mapping) else {"input": given}
