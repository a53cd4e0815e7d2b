"""Doubt is noticed before a graph's result leaves: confidence, validators, evidence, and a person who decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool as as_tool
from langgraph.graph import END, START, MessagesState, StateGraph

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.doubtful_results import ANSWER, FALLBACK, doubtful, from_another_process, reviews_in
from tests.langgraph.apps import QUESTION, hand_on_for_ever, model, swarm

THREAD = {"configurable": {"thread_id": "1"}, "recursion_limit": 200}


def clerk(url: str, *tools: Any, checkpointer: Any = None, **options: Any) -> Any:
    return create_agent(model(url, **options), list(tools), system_prompt="You are clerk.", checkpointer=checkpointer)


async def streamed(app: Any) -> str:
    """The tokens of a run as its reader gets them, in the same context as the reader's."""
    return "".join([str(chunk.content) async for chunk, _ in app.astream(QUESTION, THREAD, stream_mode="messages")])


# -- confidence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_without_a_channel_a_doubtful_result_leaves_and_the_outcome_says_so(asynchronous: bool) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), envelopes="require")
        result = await app.ainvoke(QUESTION) if asynchronous else app.invoke(QUESTION)
        assert server.count == 1
    outcome = mas_guard.outcome(result)
    assert result["messages"][-1].content == ANSWER
    assert (outcome.status, outcome.rule) == ("partial", "result")
    assert "0.4, below 0.7 (CONFIDENCE_THRESHOLD)" in outcome.reason


def test_confidence_that_reaches_the_threshold_is_no_doubt(queue: dict[str, Any]) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), envelopes="require", review=queue, confidence_threshold=0.4)
        assert mas_guard.outcome(app.invoke(QUESTION)).status == "completed"
    assert reviews_in(queue) == []


@pytest.mark.parametrize(
    ("words", "decision", "result"),
    [
        (("approve",), "approved", None),
        (("reject",), "rejected", FALLBACK),
        (("answer", "90 EUR go back."), "answered", "90 EUR go back."),
    ],
    ids=["approve", "reject", "answer"],
)
def test_a_doubtful_result_waits_for_a_person_in_another_process(
    words: tuple[str, ...], decision: str, result: str | None, queue: dict[str, Any]
) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), envelopes="require", review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            app.invoke(QUESTION)
    stop = caught.value
    assert stop.outcome.status == "escalated"
    assert stop.review in str(stop)
    (review,) = reviews_in(queue)
    assert (review.id, review.shown["result"], review.shown["confidence"]) == (stop.review, ANSWER, 0.4)
    assert mas_guard.reviewed(stop.review, review=queue) is None
    from_another_process(queue, words[0], stop.review, *words[1:], "--by", "anna")
    resolution = mas_guard.reviewed(stop.review, review=queue)
    assert (resolution.decision, resolution.result, resolution.by) == (decision, result, "anna")


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_a_streamed_answer_is_out_before_the_doubt_is_raised(streaming: bool, queue: dict[str, Any]) -> None:
    said: list[str] = []
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url, streaming=streaming), envelopes="require", review=queue)
        with pytest.raises(mas_guard.EscalationRequired):
            async for chunk, _ in app.astream(QUESTION, THREAD, stream_mode="messages"):
                said.append(str(chunk.content))
    assert "".join(said) == ANSWER
    assert len(reviews_in(queue)) == 1


def test_where_nobody_says_how_sure_it_is_a_person_may_be_asked(queue: dict[str, Any]) -> None:
    with ModelServer(lambda request: text(ANSWER)) as server:
        app = mas_guard.wrap(clerk(server.url), review=queue, unknown_confidence="review")
        with pytest.raises(mas_guard.EscalationRequired):
            app.invoke(QUESTION)
        assert server.count == 1
    assert "UNKNOWN_CONFIDENCE=review" in reviews_in(queue)[0].reason


def test_in_observe_mode_nothing_is_asked_of_anybody(queue: dict[str, Any]) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), mode="observe", envelopes="require", review=queue)
        result = app.invoke(QUESTION)
        assert server.count == 1
        assert "mas-guard" not in str(server.requests[0].body)
    assert result["messages"][-1].content == ANSWER
    assert reviews_in(queue) == []


# -- at a limit ---------------------------------------------------------------------------------------


def concluding(answer: str) -> Callable[[Request], Reply]:
    """Agents that hand on for ever, and an owner that concludes with *answer*."""

    def script(request: Request) -> Reply:
        reply = hand_on_for_ever(request)
        return reply if reply.tool_calls else text(answer)

    return script


@pytest.mark.parametrize("on_limit", ["escalate", "escalate,abort", "partial,escalate"])
def test_a_hop_cap_is_put_to_a_person(on_limit: str, queue: dict[str, Any]) -> None:
    with ModelServer(concluding(ANSWER)) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2, on_limit=on_limit, review=queue)
        if on_limit.startswith("partial"):
            assert mas_guard.outcome(app.invoke(QUESTION, THREAD)).status == "partial"
            assert reviews_in(queue) == []
            return
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            app.invoke(QUESTION, THREAD)
        assert server.count == 3
    (review,) = reviews_in(queue)
    assert (review.id, review.kind) == (caught.value.review, "limit")
    assert review.shown["path"] == ["alice", "bob", "carol"]
    assert isinstance(caught.value.__cause__, mas_guard.HopLimitExceeded)


def test_an_owner_that_can_conclude_is_asked_before_a_person(queue: dict[str, Any]) -> None:
    with ModelServer(concluding(ANSWER)) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2, on_limit="owner,escalate,abort", review=queue)
        result = app.invoke(QUESTION, THREAD)
    assert result["messages"][-1].content == ANSWER
    assert mas_guard.outcome(result).status == "partial"
    assert reviews_in(queue) == []


def test_a_person_is_asked_where_the_owner_has_no_answer(queue: dict[str, Any]) -> None:
    with ModelServer(concluding("")) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2, on_limit="owner,escalate,abort", review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            app.invoke(QUESTION, THREAD)
    assert [review.kind for review in reviews_in(queue)] == ["limit"]
    assert caught.value.outcome.status == "escalated"


def test_an_owner_may_ask_for_a_person_where_one_can_be_asked(queue: dict[str, Any]) -> None:
    with ModelServer(concluding("ESCALATE: two customers claim it")) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2, review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            app.invoke(QUESTION, THREAD)
        assert "ESCALATE: <reason>" in server.requests[-1].last_text
    assert len(reviews_in(queue)) == 1
    assert "two customers claim it" in caught.value.outcome.reason


def test_without_a_channel_asking_for_a_person_ends_the_run() -> None:
    with ModelServer(concluding("ESCALATE: two customers claim it")) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2)
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            app.invoke(QUESTION, THREAD)
        assert "ESCALATE" not in server.requests[-1].last_text
    assert caught.value.outcome.status == "aborted"


def test_a_person_is_told_why_the_owner_asked(queue: dict[str, Any]) -> None:
    with ModelServer(concluding("ESCALATE: two customers claim it")) as server:
        app = mas_guard.wrap(swarm(server.url), max_hops=2, review=queue)
        with pytest.raises(mas_guard.EscalationRequired):
            app.invoke(QUESTION, THREAD)
    (review,) = reviews_in(queue)
    assert "two customers claim it" in review.reason + str(review.shown)


# -- validators and evidence --------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_a_validator_sees_the_answer_without_its_envelope(streaming: bool, judged: list[Any]) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url, streaming=streaming), envelopes="require")
        await app.ainvoke(QUESTION)
    assert judged == [(ANSWER, 0.4)]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "streamed"])
async def test_a_validator_keeps_a_result_back(asynchronous: bool) -> None:
    @mas_guard.validator
    def names_a_source(found: mas_guard.Envelope, run: Any) -> str | None:
        return None if "source" in str(found.result) else "no source is named"

    try:
        with ModelServer(lambda request: text(ANSWER)) as server:
            app = mas_guard.wrap(clerk(server.url))
            with pytest.raises(mas_guard.ResultRejected, match="no source is named") as caught:
                await streamed(app) if asynchronous else app.invoke(QUESTION)
    finally:
        mas_guard.unregister(names_a_source)
    assert caught.value.outcome.status == "aborted"


def test_figures_of_the_answer_must_stand_in_what_a_tool_declared() -> None:
    @as_tool
    def ledger() -> str:
        """Read the ledger."""
        mas_guard.evidence("Invoice 1042: 90 EUR.")
        return "Invoice 1042: 90 EUR."

    def script(request: Request) -> Reply:
        return text(ANSWER) if request.messages[-1]["role"] == "tool" else call("ledger")

    with ModelServer(script) as server:
        outcome = mas_guard.outcome(mas_guard.wrap(clerk(server.url, ledger)).invoke(QUESTION))
    assert (outcome.status, outcome.rule) == ("partial", "result")
    assert "1 figures of the result stand in none of the 1 texts" in outcome.reason


def test_what_a_graph_gives_is_what_is_judged(judged: list[Any]) -> None:
    def conclude(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", "In short: 80 EUR.")]}

    with ModelServer(lambda request: text(ANSWER)) as server:
        graph: Any = StateGraph(MessagesState)
        graph.add_node("clerk", clerk(server.url))
        graph.add_node("conclude", RunnableLambda(conclude))
        graph.add_edge(START, "clerk")
        graph.add_edge("clerk", "conclude")
        graph.add_edge("conclude", END)
        result = mas_guard.wrap(graph.compile()).invoke(QUESTION)
    assert result["messages"][-1].content == "In short: 80 EUR."
    assert [shown for shown, _ in judged] == ["In short: 80 EUR."]
