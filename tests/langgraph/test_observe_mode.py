"""Observe mode takes no action: the same requests byte for byte, the same results, and a record of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command

import mas_guard
from mas_guard._engine import Engine
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.clock import Clock
from tests.langgraph.apps import QUESTION, chain, fan_out, interrupt_chat, model, swarm, toolbox

THREAD = {"configurable": {"thread_id": "1"}}


def look_up(order: str) -> str:
    """Look an order up."""
    return f"{order}: nothing found"


def hands_on(hops: int) -> Callable[[Request], Reply]:
    """Hands on *hops* times, then answers."""

    def script(request: Request) -> Reply:
        done = sum(len(message.get("tool_calls", ())) for message in request.messages)
        return text("Settled.") if done >= hops else call(request.tool_names[0])

    return script


def looks_up(times: int) -> Callable[[Request], Reply]:
    """Makes the same call again and again, then answers."""

    def script(request: Request) -> Reply:
        done = sum(len(message.get("tool_calls", ())) for message in request.messages)
        return text("Nothing was found.") if done >= times else call("look_up", order="7")

    return script


def readable(state: Any) -> Any:
    """What an app returned, without the ids that differ from run to run."""
    if not isinstance(state, dict) or "messages" not in state:
        return state
    return [(message.type, message.content, getattr(message, "tool_calls", ())) for message in state["messages"]]


@dataclass
class Play:
    """One app, what it is asked, and which rule would have ended it."""

    name: str
    script: Any
    run: Callable[[Callable[[Any], Any], ModelServer, Clock], Any]
    settings: dict[str, Any]
    rule: str = ""


def late(wrap: Any, server: ModelServer, clock: Clock) -> Any:
    chat = model(server.url)

    def node(state: MessagesState) -> dict[str, Any]:
        replies = []
        for _ in range(3):
            replies.append(chat.invoke("go on"))
            clock.advance(50)
        return {"messages": replies}

    return readable(wrap(chain(node)).invoke(QUESTION))


def spread(wrap: Any, server: ModelServer, clock: Clock) -> Any:
    chat = model(server.url)

    async def worker(state: dict[str, Any]) -> dict[str, Any]:
        return {"answers": [(await chat.ainvoke(f"job {state['job']}")).text]}

    return asyncio.run(wrap(fan_out(worker)).ainvoke({"jobs": list(range(12)), "answers": []}))


def streamed(wrap: Any, server: ModelServer, clock: Clock) -> Any:
    app = wrap(toolbox(server.url, look_up))
    return [
        (chunk.content, getattr(chunk, "usage_metadata", None), where["langgraph_node"])
        for chunk, where in app.stream(QUESTION, stream_mode="messages")
    ]


def chat_by_interrupt(wrap: Any, server: ModelServer, clock: Clock) -> Any:
    app = wrap(interrupt_chat(server.url, checkpointer=InMemorySaver()))
    app.invoke(QUESTION, THREAD)
    for number in range(3):
        app.invoke(Command(resume=f"message {number}"), THREAD)
    saved = app.get_state(THREAD)
    return readable(saved.values), saved.next, readable(app.invoke(Command(resume="bye"), THREAD))


def hands_over_and_answers(request: Request) -> Reply:
    return call(request.tool_names[0]) if request.messages[-1]["role"] == "user" else text("What else?")


PLAYS = (
    Play("hops", hands_on(20), lambda wrap, server, _: readable(wrap(swarm(server.url)).invoke(QUESTION)), {}, "hops"),
    Play(
        "repetition",
        looks_up(8),
        lambda wrap, server, _: readable(wrap(toolbox(server.url, look_up)).invoke(QUESTION)),
        {},
        "repetition",
    ),
    Play(
        "budget of calls",
        hands_on(6),
        lambda wrap, server, _: readable(wrap(swarm(server.url)).invoke(QUESTION)),
        {"budget": {"model_calls": 3, "tool_calls": 2}},
        "budget",
    ),
    Play("budget of tokens", [text("done")], spread, {"budget": {"tokens": 50}}, "budget"),
    Play(
        "budget in dollars of a model without a price",
        [text("done")],
        lambda wrap, server, _: readable(
            wrap(chain(lambda_node(model(server.url, model="house-model")))).invoke(QUESTION)
        ),
        {"budget": {"usd": 1}},
    ),
    Play("deadline", [text("done")], late, {"deadline": 60}, "deadline"),
    Play("a stream without usage", looks_up(8), streamed, {"budget": {"model_calls": 3}}, "budget"),
    Play("interrupts", hands_over_and_answers, chat_by_interrupt, {"budget": {"model_calls": 3}}, "budget"),
)


def lambda_node(chat: Any) -> Callable[[MessagesState], dict[str, Any]]:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke(state["messages"])]}

    return node


class Record:
    """Every event of a guard."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    @mas_guard.hookimpl
    def mas_guard_on_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def rules_of(self, name: str) -> set[str]:
        return {event["rule"] for event in self.events if event["event"] == name}


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def guard(clock: Clock, record: Record) -> Iterator[mas_guard.Guard]:
    guard = mas_guard.Guard((record,), engine=Engine(mas_guard.load_policy(), now=clock))
    guard.register(record)
    yield guard
    guard.uninstrument()


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_the_same_requests_leave_and_the_same_results_come(
    guard: mas_guard.Guard, clock: Clock, record: Record, play: Play
) -> None:
    def observed(app: Any) -> Any:
        return guard.wrap(app, mode="observe", **play.settings)

    sent, results = [], []
    for wrap in (lambda app: app, observed):
        with ModelServer(play.script, repeat_last=isinstance(play.script, list)) as server:
            results.append(play.run(wrap, server, clock))
            sent.append(sorted(request.raw for request in server.requests))
    assert sent[0] and sent[0] == sent[1]
    assert results[0] == results[1]
    assert not record.rules_of("stop")
    assert {event["mode"] for event in record.events} == {"observe"}
    outcome = mas_guard.last_outcome()
    assert outcome is not None and outcome.status == "completed"


@pytest.mark.parametrize("play", [play for play in PLAYS if play.rule], ids=lambda play: play.name)
def test_what_enforce_would_have_ended_is_recorded(
    guard: mas_guard.Guard, clock: Clock, record: Record, play: Play
) -> None:
    with ModelServer(play.script, repeat_last=isinstance(play.script, list)) as server:
        play.run(lambda app: guard.wrap(app, mode="observe", **play.settings), server, clock)
        observed = server.count
    told = [event for event in record.events if event["event"] == "would_stop"]
    assert play.rule in record.rules_of("would_stop")
    assert all(event["reason"] for event in told)
    with ModelServer(play.script, repeat_last=isinstance(play.script, list)) as server:
        try:
            play.run(lambda app: guard.wrap(app, **play.settings), server, clock)
        except mas_guard.GuardStopped as stop:
            assert stop.rule == play.rule
        assert server.count < observed
    assert play.rule in record.rules_of("stop")


def test_the_figures_of_an_observed_run_are_recorded(guard: mas_guard.Guard, record: Record) -> None:
    with ModelServer(hands_on(20)) as server:
        guard.wrap(swarm(server.url), mode="observe").invoke(QUESTION)
    (finished,) = [event for event in record.events if event["event"] == "run_finished"]
    assert finished["hops"] == 20
    assert finished["spent"]["model_calls"] == 21
    assert finished["spent"]["tool_calls"] == 20
    assert finished["spent"]["tokens"] > 0
    redirected = [event for event in record.events if event["event"] == "verdict"]
    assert {event["action"] for event in redirected} == {"none"}


def test_the_person_on_call_can_set_it_above_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_MODE", "observe")
    with ModelServer(hands_on(20)) as server:
        mas_guard.wrap(swarm(server.url), mode="enforce").invoke(QUESTION)
        assert server.count == 21
