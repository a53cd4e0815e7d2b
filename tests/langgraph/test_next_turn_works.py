"""Wherever a run is stopped, the saved thread takes the next message: every tool call in it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

import mas_guard
from mas_guard._engine import Engine
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, hand_made, toolbox, two_with_tools
from tests.langgraph.clock import Clock

THREAD = {"configurable": {"thread_id": "7"}}
NEXT = {"messages": [("user", "And now?")]}


class World:
    """What a scripted turn acts on: the clock, and a tool that may take long."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tool_takes = 0.0
        self.model_takes = 0.0
        self.asks_for: Callable[[int], tuple[ToolCallReply, ...]] = one_more
        self.ran: list[str] = []

    def look_up(self, order: str) -> str:
        """Look an order up."""
        self.ran.append(order)
        self.clock.advance(self.tool_takes)
        return f"order {order}: nothing found"

    def script(self, request: Request) -> Reply:
        if "And now?" in [message["content"] for message in request.messages]:
            return text("Here I am.")
        if request.body.get("tool_choice") == "none":
            return text(OWNER_ANSWER)
        if "look_up" not in request.tool_names:
            return call(request.tool_names[0])
        self.clock.advance(self.model_takes)
        return Reply(tool_calls=self.asks_for(request.index))


def one_more(index: int) -> tuple[ToolCallReply, ...]:
    return (ToolCallReply("look_up", {"order": str(index)}),)


def three_at_once(index: int) -> tuple[ToolCallReply, ...]:
    return tuple(ToolCallReply("look_up", {"order": f"{index}-{place}"}) for place in range(3))


def the_same(index: int) -> tuple[ToolCallReply, ...]:
    return (ToolCallReply("look_up", {"order": "7"}),)


def back_to_alice(index: int) -> tuple[ToolCallReply, ...]:
    return (ToolCallReply("look_up", {"order": "7"}), ToolCallReply("transfer_to_alice", {}))


@dataclass(frozen=True)
class Case:
    """Where the first turn is stopped."""

    name: str
    rule: str
    settings: dict[str, Any]
    world: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("before a model call", "budget", {"budget": {"model_calls": 4}}),
    Case("after a model call", "deadline", {"deadline": 60}, {"model_takes": 100.0}),
    Case(
        "after a model call that asks for three tools",
        "deadline",
        {"deadline": 60},
        {"model_takes": 100.0, "asks_for": three_at_once},
    ),
    Case("before a tool call", "budget", {"budget": {"tool_calls": 3}}),
    Case("after a tool call", "deadline", {"deadline": 60}, {"tool_takes": 100.0}),
    Case("parallel tool calls half done", "budget", {"budget": {"tool_calls": 3}}, {"asks_for": three_at_once}),
    Case(
        "parallel tool calls half done in time",
        "deadline",
        {"deadline": 60},
        {"tool_takes": 25.0, "asks_for": three_at_once},
    ),
    Case("a repeated tool call", "repetition", {}, {"asks_for": the_same}),
    Case("a handoff beside a tool call", "hops", {"max_hops": 1}, {"asks_for": back_to_alice}),
)


def unanswered(messages: list[Any]) -> set[str]:
    asked = {call["id"] for message in messages for call in getattr(message, "tool_calls", ())}
    answered = [message.tool_call_id for message in messages if message.type == "tool"]
    assert len(answered) == len(set(answered)), "a call was answered twice"
    return asked - set(answered)


@contextmanager
def sync_saver(kind: str, tmp_path: Path) -> Iterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
    else:
        with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
            yield saver


@asynccontextmanager
async def async_saver(kind: str, tmp_path: Path) -> Any:
    if kind == "memory":
        yield InMemorySaver()
    else:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
            yield saver


def first_turn_is_stopped(on_limit: str, rule: str, outcomes: list[Any], turn: Callable[[], Any]) -> None:
    try:
        turn()
    except mas_guard.GuardStopped as stop:
        assert stop.rule == rule
        assert on_limit == "abort" or stop.outcome.status == "aborted"
    assert outcomes[-1].rule == rule, outcomes[-1]


def is_valid(state: Any) -> None:
    messages = state.values["messages"]
    assert not unanswered(messages)
    assert not any("[mas-guard]" in str(message.content) for message in messages)


BUILDS: dict[str, Callable[..., Any]] = {"swarm": two_with_tools, "agent": toolbox, "hand-made": hand_made}
ENDS = ("owner,abort", "abort", "partial")


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
@pytest.mark.parametrize("on_limit", ENDS)
@pytest.mark.parametrize("app", list(BUILDS))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_next_message_is_accepted(case: Case, app: str, on_limit: str, saver: str, tmp_path: Path) -> None:
    if case.rule == "hops" and app != "swarm":
        pytest.skip("nobody to hand on to")
    world, outcomes = World(), []
    vars(world).update(case.world)
    guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=world.clock))
    try:
        with ModelServer(world.script) as server, sync_saver(saver, tmp_path) as kept:
            bare = BUILDS[app](server.url, world.look_up, checkpointer=kept)
            guarded = guard.wrap(bare, on_limit=on_limit, on_outcome=outcomes.append, **case.settings)
            first_turn_is_stopped(on_limit, case.rule, outcomes, lambda: guarded.invoke(QUESTION, THREAD))
            is_valid(bare.get_state(THREAD))
            state = guarded.invoke(NEXT, THREAD)
        assert state["messages"][-1].content == "Here I am."
        assert outcomes[-1].status == "completed"
        is_valid(bare.get_state(THREAD))
    finally:
        guard.uninstrument()


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
@pytest.mark.parametrize("on_limit", ENDS)
@pytest.mark.parametrize("app", list(BUILDS))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_next_message_is_accepted_by_an_async_app(
    case: Case, app: str, on_limit: str, saver: str, tmp_path: Path
) -> None:
    if case.rule == "hops" and app != "swarm":
        pytest.skip("nobody to hand on to")
    world, outcomes = World(), []
    vars(world).update(case.world)
    guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=world.clock))

    async def turns(server: ModelServer) -> Any:
        async with async_saver(saver, tmp_path) as kept:
            bare = BUILDS[app](server.url, world.look_up, checkpointer=kept)
            guarded = guard.wrap(bare, on_limit=on_limit, on_outcome=outcomes.append, **case.settings)
            try:
                await guarded.ainvoke(QUESTION, THREAD)
            except mas_guard.GuardStopped as stop:
                assert stop.rule == case.rule
            assert outcomes[-1].rule == case.rule, outcomes[-1]
            is_valid(await bare.aget_state(THREAD))
            state = await guarded.ainvoke(NEXT, THREAD)
            is_valid(await bare.aget_state(THREAD))
            return state

    try:
        with ModelServer(world.script) as server:
            state = asyncio.run(turns(server))
        assert state["messages"][-1].content == "Here I am."
        assert outcomes[-1].status == "completed"
    finally:
        guard.uninstrument()
