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
from tests.clock import Clock
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, hand_made, hand_made_async, toolbox, two_with_tools

THREAD = {"configurable": {"thread_id": "7"}}
NEXT = {"messages": [("user", "And now?")]}


class OneStepIsEnough:
    """A user's own rule."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._begun = 0

    def _verdict(self, steps: int) -> mas_guard.Verdict | None:
        if self._begun < steps:
            return None
        error = mas_guard.OwnershipConflict("one step is enough")
        return mas_guard.Verdict("deny", "ownership", "stop", str(error), stop=error)

    @mas_guard.hookimpl
    def mas_guard_before_step(self, step: Any, run: Any) -> mas_guard.Verdict | None:
        self._begun += 1
        return self._verdict(2) if self._world.step_rule == "before" else None

    @mas_guard.hookimpl
    def mas_guard_after_step(self, step: Any, output: Any, run: Any) -> mas_guard.Verdict | None:
        return self._verdict(1) if self._world.step_rule == "after" else None


class World:
    """What a scripted turn acts on: the clock, and a tool that may take long."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tool_takes = 0.0
        self.model_takes = 0.0
        self.asks_for: Callable[[int], tuple[ToolCallReply, ...]] = one_more
        self.step_rule = ""
        self.ran: list[str] = []
        self.url = ""

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
    Case("before a step", "ownership", {}, {"step_rule": "before"}),
    Case("after a step", "ownership", {}, {"step_rule": "after"}),
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


def is_valid(state: Any) -> None:
    messages = state.values["messages"]
    assert not unanswered(messages)
    assert not any("[mas-guard]" in str(message.content) for message in messages)


BUILDS: dict[str, Callable[..., Any]] = {"swarm": two_with_tools, "agent": toolbox, "hand-made": hand_made}
WAYS = [
    (case, app, on_limit, saver)
    for case in CASES
    for app in BUILDS
    for on_limit, saver in (("owner,abort", "memory"), ("abort", "sqlite"), ("partial", "memory"))
    if (app == "swarm" or case.rule != "hops") and (app != "agent" or on_limit == "abort")
]
IDS = [f"{case.name}-{app}-{on_limit}-{saver}" for case, app, on_limit, saver in WAYS]


@pytest.fixture(scope="module")
def worlds() -> Iterator[list[World]]:
    """One server for all; the world that it plays is the last one."""
    worlds = [World()]
    with ModelServer(lambda request: worlds[-1].script(request)) as server:
        worlds[0].url = server.url
        yield worlds


@pytest.fixture
def world(worlds: list[World]) -> World:
    new = World()
    new.url = worlds[0].url
    worlds.append(new)
    return new


@pytest.fixture
def guard(world: World) -> Iterator[mas_guard.Guard]:
    guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=world.clock))
    yield guard
    guard.uninstrument()


@pytest.mark.parametrize(("case", "app", "on_limit", "saver"), WAYS, ids=IDS)
def test_the_next_message_is_accepted(
    guard: mas_guard.Guard, world: World, case: Case, app: str, on_limit: str, saver: str, tmp_path: Path
) -> None:
    outcomes: list[mas_guard.Outcome] = []
    vars(world).update(case.world)
    guard.register(OneStepIsEnough(world))
    with sync_saver(saver, tmp_path) as kept:
        bare = BUILDS[app](world.url, world.look_up, checkpointer=kept)
        guarded = guard.wrap(bare, on_limit=on_limit, on_outcome=outcomes.append, **case.settings)
        try:
            first = guarded.invoke(QUESTION, THREAD)
        except mas_guard.GuardStopped as stop:
            assert (stop.rule, outcomes[-1].status) == (case.rule, "aborted")
        else:
            assert (outcomes[-1].rule, outcomes[-1].status) == (case.rule, "partial")
            assert on_limit == "partial" or first["messages"][-1].content == OWNER_ANSWER
        is_valid(bare.get_state(THREAD))
        world.step_rule = ""
        state = guarded.invoke(NEXT, THREAD)
        is_valid(bare.get_state(THREAD))
    assert state["messages"][-1].content == "Here I am."
    assert outcomes[-1].status == "completed"


@pytest.mark.asyncio(loop_scope="module")  # LangChain shares one asynchronous HTTP client per URL
@pytest.mark.parametrize(("case", "app", "on_limit", "saver"), WAYS, ids=IDS)
async def test_the_next_message_is_accepted_by_an_async_app(
    guard: mas_guard.Guard, world: World, case: Case, app: str, on_limit: str, saver: str, tmp_path: Path
) -> None:
    outcomes: list[mas_guard.Outcome] = []
    vars(world).update(case.world)
    guard.register(OneStepIsEnough(world))
    async with async_saver(saver, tmp_path) as kept:
        bare = BUILDS[app](world.url, world.look_up, checkpointer=kept)
        guarded = guard.wrap(bare, on_limit=on_limit, on_outcome=outcomes.append, **case.settings)
        try:
            await guarded.ainvoke(QUESTION, THREAD)
        except mas_guard.GuardStopped as stop:
            assert stop.rule == case.rule
        assert outcomes[-1].rule == case.rule
        is_valid(await bare.aget_state(THREAD))
        world.step_rule = ""
        state = await guarded.ainvoke(NEXT, THREAD)
        is_valid(await bare.aget_state(THREAD))
    assert state["messages"][-1].content == "Here I am."
    assert outcomes[-1].status == "completed"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("on_limit", ["owner,abort", "abort"])
@pytest.mark.parametrize("app", ["swarm", "agent", "hand-made"])
async def test_tools_that_are_cut_at_the_deadline_are_answered_and_finished_ones_keep_their_result(
    guard: mas_guard.Guard, world: World, app: str, on_limit: str
) -> None:
    async def look_up(order: str) -> str:
        """Look an order up."""
        world.ran.append(order)
        if order.endswith("-1"):
            world.clock.advance(1)
            await asyncio.Event().wait()
        return f"order {order}: nothing found"

    def takes_nearly_all(index: int) -> tuple[ToolCallReply, ...]:
        world.clock.advance(100 - world.clock.seconds - 10 * (on_limit != "abort") * (app == "swarm") - 0.1)
        return three_at_once(index)

    world.asks_for = takes_nearly_all
    build = {**BUILDS, "hand-made": hand_made_async}[app]
    bare = build(world.url, look_up, checkpointer=InMemorySaver())
    guarded = guard.wrap(bare, on_limit=on_limit, deadline=100)
    try:
        state = await guarded.ainvoke(QUESTION, THREAD)
    except mas_guard.DeadlineExceeded as stop:
        assert (app, on_limit) != ("swarm", "owner,abort")
        state = stop.outcome.partial
    else:
        assert state["messages"][-1].content == OWNER_ANSWER
    is_valid(await bare.aget_state(THREAD))
    results = [str(message.content) for message in state["messages"] if message.type == "tool"]
    if app != "hand-made" and (app, on_limit) != ("swarm", "abort"):
        assert ["nothing found" in result for result in results[-3:]] == [True, False, True]
        assert "before it had a result" in results[-2]
    state = await guarded.ainvoke(NEXT, THREAD)
    assert state["messages"][-1].content == "Here I am."
