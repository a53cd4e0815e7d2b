"""Routing, once per superstep and before it is committed: hops are counted, and at a stop control goes home.

A superstep's routing stands in its tasks' writes (`branch:to:NODE`, `join:…`, `Send`). Before they are applied each
move from one agent to another is put to the guard. At a stop all routing is dropped and, where the run has an owner
in this graph, replaced by one move to it; after the owner's turn it is dropped again and the graph ends normally.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mas_guard.adapter import Answer, Handoff, Run, check_time, guard_handoff
from mas_guard.adapter import GuardStopped as Stopped
from mas_guard_langgraph._frame import Frame, current_frame
from mas_guard_langgraph._graph import BRANCH, HIDDEN, JOIN
from mas_guard_langgraph._owed import settle
from mas_guard_langgraph._translate import text_of

TASKS = "__pregel_tasks"
LONGEST_SAID = 20_000  # characters of a sender's last message that are read
NO_WRITES = "__no_writes__"


def make_after_tick(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `PregelLoop.after_tick`."""

    @functools.wraps(original)
    def after_tick(self: Any) -> None:
        frame = current_frame.get()
        if frame is None or frame.loop is not self:
            return original(self)  # type: ignore[no-any-return]
        _route(frame, self)
        original(self)
        run = frame.run
        if run.stop is not None and run.policy.mode == "enforce" and not frame.settling:
            concluding = run.stop.phase != "latched"
            if run.stop.action == "abort" or not (frame.in_place or concluding):
                # After the commit, so that the state is saved and a topped-up run goes on from here.
                raise run.raised()
        return None

    return after_tick


def _route(frame: Frame, loop: Any) -> None:
    run = frame.run
    tasks = list(loop.tasks.values())
    if run.stop is None and run.may_be_late():
        try:
            check_time(run, None, concluding=False)
        except Stopped:
            pass
    if run.stop is None:
        frame.know_agents_of(tasks)
        if frame.agents:
            _pass_control(frame, tasks)
    if run.stop is not None and run.policy.mode == "enforce":
        if run.stop.phase == "latched" and settle(frame, loop, tasks):
            return
        _go_home(frame, tasks)


def _pass_control(frame: Frame, tasks: list[Any]) -> None:
    graph = frame.graph
    for task in tasks if frame.pending else ():
        name = task.name
        if name in frame.pending and name in frame.agents:
            # It was not known to be an agent when control came to it: the hop is counted now.
            source, kind = frame.pending.pop(name)
            _ask(frame, source, (name,), kind, None)
            if frame.run.stop is not None:
                return
    for task in tasks:
        targets = _targets(task)
        if not targets:
            continue
        name = task.name
        if name in HIDDEN:
            continue
        source = name if name in frame.agents else frame.lineage.get(name, name)
        moves: dict[str, list[str]] = {}
        for target in targets:
            frame.lineage[target] = source
            if target == source or not frame.may_be_agent(target):
                continue
            kind = _kind(frame, source, name, target)
            if source not in frame.agents:
                continue
            if target in frame.agents or target not in graph.nodes:
                moves.setdefault(kind, []).append(target)
            else:
                frame.pending[target] = (source, kind)
        for kind, ends in moves.items():
            answer = _ask(frame, source, tuple(ends), kind, task)
            if answer is not None and frame.run.stop is None:
                _keep_control(task, source, set(ends), answer)
            if frame.run.stop is not None:
                _tell_not_transferred(task, answer)
                return


def _kind(frame: Frame, source: str, node: str, target: str) -> str:
    graph = frame.graph
    if frame.delegated.get(source) == target and (node, target) in graph.static_edges:
        return "return"
    if graph.cannot_repeat(node, target):
        return "sequence"
    return "transfer"


def _ask(frame: Frame, source: str, targets: tuple[str, ...], kind: str, task: Any) -> Answer | None:
    run = frame.run
    handoff = Handoff(source, targets, kind, known_targets=frame.graph.nodes)  # type: ignore[arg-type]
    asked = task is not None and _asked_by_tool(task)
    handoff = replace(handoff, packet=_said_with(frame, task) if asked else "", carries=asked)
    answer = guard_handoff(run, handoff)
    if answer is None and kind == "transfer":
        for target in targets:
            frame.delegated[target] = source
    return answer


def _asked_by_tool(task: Any) -> bool:
    """True where a tool asked for the move: it answers a call beside its routing. An edge of the app's own does not."""
    for channel, value in task.writes:
        given = getattr(value, "arg", None) if channel == TASKS else value
        messages = given.get("messages") if isinstance(given, dict) else given
        if isinstance(messages, list) and messages and getattr(messages[-1], "type", "") == "tool":
            return True
    return False


def _said_with(frame: Frame, task: Any) -> str:
    """What the sender said when it handed over: its last message, and the arguments of the tools it called with it."""
    written = [message for _, value in task.writes if isinstance(value, list) for message in value]
    message = next((one for one in reversed(written) if getattr(one, "type", "") == "ai"), None)
    if message is None and frame.loop is not None:  # a tool node: the message stands in the state
        channel = frame.loop.channels.get("messages")
        state = channel.get() if channel is not None and channel.is_available() else ()
        message = next((one for one in reversed(state or ()) if getattr(one, "type", "") == "ai"), None)
    if message is None:
        return ""
    arguments = [call.get("args") for call in getattr(message, "tool_calls", None) or () if call.get("args")]
    given = [json.dumps(one, default=str, ensure_ascii=False) for one in arguments]
    return "\n".join([text_of(message.content), *given])[-LONGEST_SAID:]


def _targets(task: Any) -> list[str]:
    targets: list[str] = []
    for channel, value in task.writes:
        if channel.startswith(BRANCH):
            targets.append(channel[len(BRANCH) :])
        elif channel == TASKS:
            targets.append(value.node)
        elif channel.startswith(JOIN):
            targets.append(channel.rsplit(":", 1)[1])
    return list(dict.fromkeys(targets)) if len(targets) > 1 else targets


def _is_routing(channel: str) -> bool:
    return channel.startswith((BRANCH, JOIN)) or channel == TASKS


def _keep_control(task: Any, source: str, denied: set[str], answer: Answer) -> None:
    """Control stays with *source*, whose model is told why."""
    writes = []
    for channel, value in task.writes:
        if _is_routing(channel):
            target = value.node if channel == TASKS else channel.removeprefix(BRANCH).rsplit(":", 1)[-1]
            if target in denied:
                continue
        if channel == "active_agent" and value in denied:
            value = source
        writes.append((channel, value))
    writes.append((f"{BRANCH}{source}", None))
    task.writes.clear()
    task.writes.extend(writes)
    _tell_not_transferred(task, answer)


def _tell_not_transferred(task: Any, answer: Answer | None) -> None:
    """The answer of a transfer that did not happen must not read as if it had."""
    if answer is None:
        return
    for position, (channel, value) in enumerate(task.writes):
        if isinstance(value, list) and value and type(value[-1]).__name__ == "ToolMessage":
            told = value[-1].model_copy(update={"content": answer.text})
            task.writes[position] = (channel, [*value[:-1], told])


def _go_home(frame: Frame, tasks: list[Any]) -> None:
    run: Run = frame.run
    stop = run.stop
    assert stop is not None
    if stop.action == "abort" or (not frame.root and stop.phase in ("concluding", "asked")):
        return
    targets: set[str] = set()
    for task in tasks:
        targets.update(_targets(task))
        kept = [(channel, value) for channel, value in task.writes if not _is_routing(channel)]
        if len(kept) != len(task.writes):
            task.writes.clear()
            task.writes.extend(kept or [(NO_WRITES, None)])
    if stop.action != "owner" or not frame.root:
        return
    owner = run.owner
    if stop.phase == "latched" and tasks and owner in frame.graph.nodes and stop.begin_conclusion():
        for task in tasks:
            for position, (channel, value) in enumerate(task.writes):
                if channel == "active_agent" and value in targets:
                    task.writes[position] = (channel, owner)
        # Commit what was routed nowhere; only the owner goes on.
        tasks[0].writes.append((f"{BRANCH}{owner}", None))
        run.visit(owner)
        run.engine.event(run, "conclusion", agent=owner, rule=stop.error.rule, action="owner")
    elif stop.phase == "asked":
        stop.next_action("the owner's turn ended without an answer")
    elif stop.phase == "concluding":
        stop.next_action("the owner did not call its model in its concluding turn")
