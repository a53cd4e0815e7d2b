"""The rules around a step: asked before and after each activation of an agent, where any rule asks to be.

A node is an agent from the start where it holds a graph or is declared one, else from its first model call on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_origin

from mas_guard.adapter import CallOutcome, GuardStopped, Step, StepScope, guard_step, guard_step_async
from mas_guard.envelopes import Finding
from mas_guard_langgraph._frame import Frame
from mas_guard_langgraph._translate import text_of

PLAIN_TYPES = (str, int, bool, list, dict)


def is_judged(frame: Frame, task: Any) -> bool:
    """True where *task* activates a known agent and some rule judges steps."""
    plugins = frame.run.engine.plugins
    return bool(plugins.before_step or plugins.after_step) and task.name in frame.agents


def judged(frame: Frame, task: Any, scope: StepScope, send: Callable[[], Any]) -> Any:
    """Carry *task* out between the rules."""
    done = []

    def run() -> Any:
        value = send()
        done.append(True)
        return value

    try:
        return guard_step(frame.run, Step(task.name, task.id), scope, run, lambda _: _output(task))
    except GuardStopped:
        if not done:
            raise
        return None  # what the agent gave is kept; the stop is met when the superstep is committed


async def judged_async(frame: Frame, task: Any, scope: StepScope, send: Callable[[], Awaitable[Any]]) -> Any:
    """As `judged`."""
    done = []

    async def run() -> Any:
        value = await send()
        done.append(True)
        return value

    try:
        return await guard_step_async(frame.run, Step(task.name, task.id), scope, run, lambda _: _output(task))
    except GuardStopped:
        if not done:
            raise
        return None


def settle_output(frame: Frame, task: Any) -> None:
    """Look at what an agent's node has written beside messages, which were looked at as its model's answers. One update
    that says something is enough: keys that are empty beside it are an app's own affair."""
    written: dict[str, Any] = {}
    for channel, value in task.writes:
        if ":" in channel or channel.startswith("__") or hasattr(value, "content"):
            continue
        if isinstance(value, list) and any(hasattr(one, "content") for one in value):
            continue
        declared = _declared_type(frame.pregel.channels.get(channel))
        if declared is not None and value is not None and not isinstance(value, declared):
            reason = f"{channel} is declared {declared.__name__}, and what was written is {type(value).__name__}"
            frame.run.envelopes.settle_finding(frame.run, task.name, Finding("type", "failed", reason, proven=True))
            return
        if value is None or isinstance(value, str | dict | list | tuple):
            written[channel] = value
    if written:
        value = next(iter(written.values())) if len(written) == 1 else written
        frame.run.envelopes.settle_output(frame.run, task.name, value)


def _declared_type(channel: Any) -> type | None:
    """The plain type that a state's key is declared with; `None` for any other, and for keys with a reducer."""
    if type(channel).__name__ != "LastValue":
        return None
    declared = getattr(channel, "ValueType", None)
    plain = get_origin(declared) or declared
    return plain if plain in PLAIN_TYPES else None


def _output(task: Any) -> CallOutcome:
    """What a step gave: the text of the last message that it wrote."""
    for _, value in reversed(task.writes):
        last = value[-1] if isinstance(value, list) and value else value
        if hasattr(last, "content"):
            return CallOutcome(text_of(last.content))
    return CallOutcome()
