"""Answers that the history owes at a stop: a tool call without its answer is refused by the next turn's provider.

A stop that comes between a model's tool calls and their answers is not taken home at once. One more superstep, the
settling one, is let through: tool nodes run and the latch answers each call; any other node is not run, its task is
written as if it had returned the answers, so that its own edges lead on and a topped-up run continues from there.
What is still owed after that is written beside the superstep's other writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mas_guard.adapter import NOT_EXECUTED
from mas_guard_langgraph._frame import Frame
from mas_guard_langgraph._graph import BRANCH, JOIN

TASKS = "__pregel_tasks"
WHOLE = ("LastValue", "LastValueAfterFinish", "AnyValue")  # channels whose writes replace what they hold

ToolCalls = dict[str, dict[str, Any]]  # unanswered calls by id, in order


def owed(loop: Any, tasks: Iterable[Any] = ()) -> dict[str, ToolCalls]:
    """The unanswered tool calls of each channel that holds messages, once the writes of *tasks* are applied."""
    written: dict[str, list[Any]] = {}
    for task in tasks:
        for channel, value in task.writes:
            written.setdefault(channel, []).append(value)
    found: dict[str, ToolCalls] = {}
    for name, channel in getattr(loop, "channels", {}).items():
        if name.startswith(("__", BRANCH)):
            continue
        messages = _value(channel)
        if messages is None and name not in written:
            continue
        for value in written.get(name, ()):
            value = value if isinstance(value, list | tuple) else [value]
            messages = [*value] if _replaces(channel) else [*(messages or ()), *value]
        if calls := unanswered(messages or ()):
            found[name] = calls
    return found


def unanswered(messages: Sequence[Any]) -> ToolCalls:
    """The tool calls in *messages* that no tool message answers."""
    open_calls: ToolCalls = {}
    for message in messages:
        kind = getattr(message, "type", None)
        if kind in ("ai", "AIMessageChunk"):
            for call in getattr(message, "tool_calls", None) or ():
                open_calls[str(call["id"])] = call
        elif kind == "tool":
            open_calls.pop(str(getattr(message, "tool_call_id", "")), None)
    return open_calls


def settle(frame: Frame, loop: Any, tasks: list[Any]) -> bool:
    """Make sure that the superstep of *tasks*, at whose end the run is stopped, leaves no call unanswered; True
    where one more superstep is needed for that. Only routing to nodes that may answer is kept for it."""
    calls = owed(loop, tasks)
    if not calls:
        frame.settling = frame.settled = False
        return False
    answering = {target for task in tasks for target in _ends(task) if target not in frame.agents}
    if answering and not frame.settled:
        frame.settled = frame.settling = True
        # A breakpoint in front of the tools would suspend a run that is over.
        loop.interrupt_before = ()
        if frame.run.stop is not None and frame.run.stop.action != "abort":
            for task in tasks:
                kept = [write for write in task.writes if not _leads_elsewhere(write, answering)]
                task.writes.clear()
                task.writes.extend(kept)
        return True
    frame.settling = False
    for name, missing in calls.items():
        _write_beside(loop, name, [*missing.values()], tasks)
    return False


def runs_while_settling(frame: Frame, task: Any) -> bool:
    """True for a tool node, whose calls the latch answers one by one; the task of any other node is written here."""
    if _is_tool_node(frame, task.name):
        return True
    if any(_is_tool_node(frame, other.name) for other in frame.loop.tasks.values()) or not answer_in_place(frame, task):
        _put_off(task)
    return False


def answer_in_place(frame: Frame, task: Any) -> bool:
    """Write *task* as if its node had answered what is owed, instead of running or failing; False if nothing is."""
    own = _own_calls(task)
    value: dict[str, Any] = {}
    with frame.lock:
        for name, calls in owed(frame.loop).items():
            mine = [
                call
                for identity, call in calls.items()
                if identity not in frame.answered and (own is None or identity in own)
            ]
            if mine:
                frame.answered.update(str(call["id"]) for call in mine)
                value[name] = _written(frame.loop, name, mine)
    if not value:
        return False
    task.writes.clear()
    for writer in task.writers:
        try:
            writer.invoke(value, task.config)
        except Exception:
            break
    return True


def _put_off(task: Any) -> None:
    """Leave *task* for a run that is topped up."""
    from langgraph.types import Send

    task.writes.clear()
    if task.path and task.path[0] == "__pregel_push":
        task.writes.append((TASKS, Send(task.name, task.input)))
    else:
        task.writes.append((f"{BRANCH}{task.name}", None))


def _ends(task: Any) -> list[str]:
    return [
        value.node if channel == TASKS else channel.removeprefix(BRANCH)
        for channel, value in task.writes
        if channel == TASKS or channel.startswith(BRANCH)
    ]


def _leads_elsewhere(write: tuple[str, Any], answering: set[str]) -> bool:
    channel, value = write
    if channel == TASKS:
        return value.node not in answering
    return channel.startswith(JOIN) or (channel.startswith(BRANCH) and channel.removeprefix(BRANCH) not in answering)


def _is_tool_node(frame: Frame, name: str) -> bool:
    node = frame.pregel.nodes.get(name)
    return node is not None and any(kind.__name__ == "ToolNode" for kind in type(node.bound).__mro__)


def _write_beside(loop: Any, name: str, calls: list[dict[str, Any]], tasks: list[Any]) -> None:
    """Add answers to a superstep's writes; a channel that takes one whole value gets them within it."""
    if _replaces(loop.channels[name]):
        for task in tasks:
            for position, (channel, value) in enumerate(task.writes):
                if channel == name:
                    task.writes[position] = (channel, [*value, *_answers(calls)])
                    return
    tasks[0].writes.append((name, _written(loop, name, calls)))


def _own_calls(task: Any) -> set[str] | None:
    """The calls that a `Send` handed to *task*; `None` where it answers for the whole state."""
    given = task.input
    if isinstance(given, dict) and isinstance(given.get("tool_call"), dict):
        return {str(given["tool_call"].get("id"))}
    if isinstance(given, list) and given and all(isinstance(call, dict) and "id" in call for call in given):
        return {str(call["id"]) for call in given}
    return None


def _answers(calls: list[dict[str, Any]]) -> list[Any]:
    from langchain_core.messages import ToolMessage

    return [
        ToolMessage(NOT_EXECUTED, name=str(call.get("name", "")), tool_call_id=str(call["id"]), status="error")
        for call in calls
    ]


def _written(loop: Any, name: str, calls: list[dict[str, Any]]) -> list[Any]:
    channel = loop.channels[name]
    return [*(_value(channel) or ()), *_answers(calls)] if _replaces(channel) else _answers(calls)


def _value(channel: Any) -> list[Any] | None:
    try:
        value = channel.get()
    except Exception:
        return None
    return value if isinstance(value, list) else None


def _replaces(channel: Any) -> bool:
    return type(channel).__name__ in WHOLE
