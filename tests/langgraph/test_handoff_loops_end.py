"""Three agents that hand on for ever end with their owner's answer, however the app is run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import Pregel
from langgraph_supervisor import create_supervisor

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, hand_on_for_ever, model, supervisor, swarm


def last_text(state: Any) -> str:
    return str(state["messages"][-1].text)


def invoke(app: Any) -> str:
    return last_text(app.invoke(QUESTION))


def ainvoke(app: Any) -> str:
    return last_text(asyncio.run(app.ainvoke(QUESTION)))


def stream(app: Any) -> str:
    return last_text(list(app.stream(QUESTION, stream_mode="values"))[-1])


def astream(app: Any) -> str:
    async def run() -> Any:
        return [chunk async for chunk in app.astream(QUESTION, stream_mode="values")][-1]

    return last_text(asyncio.run(run()))


def events_v2(app: Any) -> str:
    async def run() -> Any:
        return [event async for event in app.astream_events(QUESTION, version="v2")][-1]

    return last_text(asyncio.run(run())["data"]["output"])


def events_v3(app: Any) -> str:
    return last_text(app.stream_events(QUESTION, version="v3").output)


def batch(app: Any) -> str:
    return last_text(app.batch([QUESTION])[0])


def abatch(app: Any) -> str:
    return last_text(asyncio.run(app.abatch([QUESTION]))[0])


# The third version of the event stream came with LangGraph 1.2.
WAYS = (
    invoke,
    ainvoke,
    stream,
    astream,
    events_v2,
    batch,
    abatch,
    *([events_v3] if hasattr(Pregel, "_pregel_stream_v3") else []),
)


def test_bare_the_swarm_reaches_the_servers_own_limit() -> None:
    with ModelServer(hand_on_for_ever, max_requests=60) as server:
        with pytest.raises(Exception, match="gave.up"):
            swarm(server.url).invoke(QUESTION)
        assert server.answered == 60


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_guarded_it_ends_with_the_owners_answer_after_twelve_hops(way: Callable[[Any], str]) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(hand_on_for_ever) as server:
        answer = way(mas_guard.wrap(swarm(server.url), on_outcome=outcomes.append))
        assert server.count == 14
    assert answer == OWNER_ANSWER
    (outcome,) = outcomes
    assert (outcome.status, outcome.rule, outcome.hops) == ("partial", "hops", 12)
    assert outcome.path == (*["alice", "bob", "carol"] * 4, "alice")
    assert outcome.envelope is not None and outcome.envelope.result == OWNER_ANSWER


def test_the_owner_is_told_which_limit_and_its_brief_stays_out_of_the_state() -> None:
    with ModelServer(hand_on_for_ever) as server:
        state = mas_guard.wrap(swarm(server.url)).invoke(QUESTION)
        brief = server.requests[-1].last_text
    assert "12 hops" in brief and "alice -> bob -> carol" in brief
    assert not any("[mas-guard]" in str(message.content) for message in state["messages"])
    assert state["messages"][-2].content == "not transferred: the hop limit of this run is reached"


def test_a_lower_cap_is_a_setting_and_the_next_run_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_MAX_HOPS", "3")
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(swarm(server.url))
        for run in (1, 2):
            app.invoke(QUESTION)
            assert server.count == 5 * run


def test_under_instrument_the_unchanged_app_is_guarded() -> None:
    mas_guard.instrument()
    with ModelServer(hand_on_for_ever) as server:
        assert invoke(swarm(server.url)) == OWNER_ANSWER
        assert server.count == 14


@pytest.mark.parametrize(
    ("answer", "reason"), [("ABORT: nothing is known", "nothing is known"), ("", "empty")], ids=["abort", "empty"]
)
def test_an_owner_that_aborts_or_says_nothing_ends_the_run_with_the_stop(answer: str, reason: str) -> None:
    def script(request: Request) -> Reply:
        return text(answer) if request.body.get("tool_choice") == "none" else call(request.tool_names[0])

    with ModelServer(script) as server:
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            mas_guard.wrap(swarm(server.url)).invoke(QUESTION)
        assert server.count == 14
    assert caught.value.outcome.status == "aborted"
    assert reason in caught.value.outcome.reason
    assert len(caught.value.outcome.partial["messages"]) > 20


def test_a_disobedient_owner_is_not_obeyed() -> None:
    with ModelServer(lambda request: call(request.tool_names[0])) as server:
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            mas_guard.wrap(swarm(server.url)).invoke(QUESTION)
        assert server.count == 14
    assert caught.value.outcome.status == "aborted"
    assert "transfer_to_bob" in caught.value.outcome.reason


def test_with_abort_alone_the_boundary_raises_with_the_state_so_far() -> None:
    with ModelServer(hand_on_for_ever) as server:
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            mas_guard.wrap(swarm(server.url), on_limit="abort").invoke(QUESTION)
        assert server.count == 13
    assert (caught.value.hops, caught.value.limit) == (12, 12)
    assert caught.value.outcome.partial["messages"]


def test_with_partial_the_state_so_far_is_the_normal_result() -> None:
    with ModelServer(hand_on_for_ever) as server:
        state = mas_guard.wrap(swarm(server.url), on_limit="partial").invoke(QUESTION)
        assert server.count == 13
    assert mas_guard.outcome(state).status == "partial"


def asks_each_worker_once(request: Request) -> Reply:
    """A supervisor that asks its three workers once each; workers answer in text."""
    if not request.tool_names:
        return text("done")
    workers = [name for name in request.tool_names if name.startswith("transfer_to_")]
    asked = [
        message for message in request.messages if message["role"] == "tool" and "back" not in str(message["content"])
    ]
    return call(workers[len(asked)]) if len(asked) < len(workers) else text("All three were asked.")


def delegates_for_ever(request: Request) -> Reply:
    if request.body.get("tool_choice") == "none":
        return text(OWNER_ANSWER)
    return call(request.tool_names[0]) if request.tool_names else text("still working on it")


def test_a_supervisor_that_asks_each_worker_once_is_far_from_the_cap() -> None:
    with ModelServer(asks_each_worker_once) as server:
        state = mas_guard.wrap(supervisor(server.url).compile()).invoke(QUESTION)
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.hops) == ("completed", 3)
    assert last_text(state) == "All three were asked."


def test_a_supervisor_that_delegates_for_ever_concludes_itself() -> None:
    with ModelServer(delegates_for_ever) as server:
        state = mas_guard.wrap(supervisor(server.url).compile()).invoke(QUESTION)
        assert server.count == 12 * 2 + 1 + 1
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule, outcome.hops) == ("partial", "hops", 12)
    assert last_text(state) == OWNER_ANSWER


def test_a_supervisor_within_a_supervisor_gives_control_back_to_the_outer_one() -> None:
    with ModelServer(delegates_for_ever) as server:
        inner = supervisor(server.url, ("research", "maths"), name="lead").compile(name="lead")
        outer = create_supervisor([inner], model=model(server.url), supervisor_name="boss", prompt="You are boss.")
        state = mas_guard.wrap(outer.compile()).invoke(QUESTION)
        assert server.requests[-1].system == "You are boss."
        assert server.count <= 2 * 12 + 3
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule, outcome.hops) == ("partial", "hops", 12)
    assert last_text(state) == OWNER_ANSWER


def test_the_frameworks_own_limit_still_stands() -> None:
    with ModelServer(hand_on_for_ever) as server, pytest.raises(GraphRecursionError):
        mas_guard.wrap(swarm(server.url)).invoke(QUESTION, {"recursion_limit": 4})


def test_resuming_a_stopped_run_sends_nothing_until_it_is_topped_up() -> None:
    config = {"configurable": {"thread_id": "1"}}
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(swarm(server.url, checkpointer=InMemorySaver()), max_hops=3, on_limit="abort")
        with pytest.raises(mas_guard.HopLimitExceeded) as first:
            app.invoke(QUESTION, config)
        assert server.count == 4
        with pytest.raises(mas_guard.HopLimitExceeded) as again:
            app.invoke(None, config)
        assert server.count == 4 and str(again.value) == str(first.value)
        first.value.run.top_up(hops=2)
        with pytest.raises(mas_guard.HopLimitExceeded) as later:
            app.invoke(None, config)
    assert (later.value.hops, later.value.limit) == (5, 5)


def test_an_agents_own_budget_ends_its_invocation_and_the_run_says_partial() -> None:
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(swarm(server.url), agents={"bob": {"budget": {"model_calls": 0}}})
        state = app.invoke(QUESTION)
        assert server.count == 1
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule) == ("partial", "budget")
    assert "bob" in outcome.reason


def test_the_brief_is_seen_by_the_model_alone() -> None:
    class Recorder(BaseCallbackHandler):
        seen = ""

        def on_chat_model_start(self, serialized: Any, messages: Any, **keywords: Any) -> None:
            self.seen += str(messages)

    async def events(app: Any) -> str:
        return str([event async for event in app.astream_events(QUESTION, version="v2")])

    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2)
        app.invoke(QUESTION, {"callbacks": [recorder := Recorder()]})
        told = asyncio.run(events(app))
        streamed = str(list(app.stream(QUESTION, stream_mode=["messages", "updates", "debug"], subgraphs=True)))
        briefs = [request for request in server.requests if "[mas-guard]" in request.last_text]
        assert len(briefs) == 3
    assert "[mas-guard]" not in recorder.seen + told + streamed


def test_a_wrapped_apps_own_limits_hold_inside_a_wrapped_outer_app() -> None:
    def outer_around(inner: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("inner", inner)
        graph.add_edge(START, "inner")
        return graph.compile()

    with ModelServer(hand_on_for_ever) as server:
        inner = mas_guard.wrap(swarm(server.url), budget={"model_calls": 2})
        state = mas_guard.wrap(outer_around(inner)).invoke(QUESTION)
        assert server.count == 2
        assert mas_guard.outcome(state).status == "partial"
        called = mas_guard.wrap(outer_around(lambda state: inner.invoke(state)))
        with suppress(mas_guard.GuardStopped):
            called.invoke(QUESTION)
        assert server.count == 4


def test_wrapped_again_an_app_keeps_its_narrower_limits() -> None:
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(mas_guard.wrap(swarm(server.url), max_hops=2), max_hops=9)
        app.invoke(QUESTION)
        assert server.count == 4


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("answer", ["ABORT: nothing is known\nand more", "All that is known is enclosed."])
def test_a_directive_never_reaches_the_token_stream_and_an_answer_does(answer: str, asynchronous: bool) -> None:
    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") != "none":
            return call(request.tool_names[0])
        return Reply(chunks=[answer[:3], answer[3:8], answer[8:]])

    tokens: list[str] = []

    def take(chunk: Any) -> None:
        _, (message, _) = chunk
        if message.type == "AIMessageChunk":
            tokens.append(str(message.text))

    async def read(app: Any) -> None:
        async for chunk in app.astream(QUESTION, stream_mode="messages", subgraphs=True):
            take(chunk)

    with ModelServer(script) as server, suppress(mas_guard.HopLimitExceeded):
        app = mas_guard.wrap(swarm(server.url, streaming=True), max_hops=2)
        if asynchronous:
            asyncio.run(read(app))
        else:
            for chunk in app.stream(QUESTION, stream_mode="messages", subgraphs=True):
                take(chunk)
    assert "".join(tokens) == ("" if answer.startswith("ABORT") else answer)
