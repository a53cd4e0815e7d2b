"""Doubt is noticed before a runner's result leaves: confidence, validators, evidence, and a person who decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    RunContextWrapper,
    Runner,
    function_tool,
    output_guardrail,
)

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.doubtful_results import ANSWER, FALLBACK, doubtful, from_another_process, reviews_in
from tests.openai_agents.apps import APIS, QUESTION, circle, hand_on_for_ever, model, run_in

RUNS = ("run", "run_streamed")


def clerk(url: str, api: str = "chat", **options: Any) -> Agent[Any]:
    return Agent[Any](name="clerk", instructions="You are clerk.", model=model(url, api), **options)


def deltas(event: Any) -> str:
    if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
        return str(event.data.delta)
    return ""


# -- confidence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize("api", APIS)
async def test_without_a_channel_a_doubtful_result_leaves_and_the_outcome_says_so(way: str, api: str) -> None:
    with ModelServer(doubtful) as server:
        result = await run_in(way, mas_guard.wrap(clerk(server.url, api), envelopes="require"), QUESTION)
        assert server.count == 1
    outcome = mas_guard.outcome(result)
    assert result.final_output == ANSWER
    assert (outcome.status, outcome.rule) == ("partial", "result")
    assert "0.4, below 0.7 (CONFIDENCE_THRESHOLD)" in outcome.reason


def test_confidence_that_reaches_the_threshold_is_no_doubt(queue: dict[str, Any]) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), envelopes="require", review=queue, confidence_threshold=0.4)
        assert mas_guard.outcome(Runner.run_sync(app, QUESTION)).status == "completed"
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
            Runner.run_sync(app, QUESTION)
    stop = caught.value
    assert stop.outcome.status == "escalated"
    assert stop.review in str(stop)
    (review,) = reviews_in(queue)
    assert (review.id, review.shown["result"], review.shown["confidence"]) == (stop.review, ANSWER, 0.4)
    assert mas_guard.reviewed(stop.review, review=queue) is None
    from_another_process(queue, words[0], stop.review, *words[1:], "--by", "anna")
    resolution = mas_guard.reviewed(stop.review, review=queue)
    assert (resolution.decision, resolution.result, resolution.by) == (decision, result, "anna")


async def test_a_streamed_answer_is_out_before_the_doubt_is_raised(queue: dict[str, Any]) -> None:
    said: list[str] = []
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), envelopes="require", review=queue)
        result = Runner.run_streamed(app, QUESTION)
        with pytest.raises(mas_guard.EscalationRequired):
            async for event in result.stream_events():
                said.append(deltas(event))
    assert "".join(said) == ANSWER
    assert len(reviews_in(queue)) == 1


def test_where_nobody_says_how_sure_it_is_a_person_may_be_asked(queue: dict[str, Any]) -> None:
    with ModelServer(lambda request: text(ANSWER)) as server:
        app = mas_guard.wrap(clerk(server.url), review=queue, unknown_confidence="review")
        with pytest.raises(mas_guard.EscalationRequired):
            Runner.run_sync(app, QUESTION)
        assert server.count == 1
    assert "UNKNOWN_CONFIDENCE=review" in reviews_in(queue)[0].reason


@pytest.mark.parametrize("way", RUNS)
async def test_in_observe_mode_nothing_is_asked_of_anybody(way: str, queue: dict[str, Any]) -> None:
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(clerk(server.url), mode="observe", envelopes="require", review=queue)
        result = await run_in(way, app, QUESTION)
        assert server.count == 1
        assert "mas-guard" not in str(server.requests[0].body)
    assert result.final_output == ANSWER
    assert reviews_in(queue) == []


# -- at a limit ---------------------------------------------------------------------------------------


def concluding(answer: str) -> Callable[[Request], Reply]:
    """Agents that hand on for ever, and an owner that concludes with *answer*."""

    def script(request: Request) -> Reply:
        reply = hand_on_for_ever(request)
        return reply if reply.tool_calls else text(answer)

    return script


@pytest.mark.parametrize("on_limit", ["escalate", "escalate,abort"])
def test_a_hop_cap_is_put_to_a_person(on_limit: str, queue: dict[str, Any]) -> None:
    with ModelServer(concluding(ANSWER)) as server:
        app = mas_guard.wrap(circle(server.url), max_hops=2, on_limit=on_limit, review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            Runner.run_sync(app, QUESTION, max_turns=50)
        assert server.count == 3
    (review,) = reviews_in(queue)
    assert (review.id, review.kind) == (caught.value.review, "limit")
    assert review.shown["path"] == ["alice", "bob", "carol"]


def test_an_owner_that_can_conclude_is_asked_before_a_person(queue: dict[str, Any]) -> None:
    with ModelServer(concluding(ANSWER)) as server:
        app = mas_guard.wrap(circle(server.url), max_hops=2, on_limit="owner,escalate,abort", review=queue)
        result = Runner.run_sync(app, QUESTION, max_turns=50)
    assert result.final_output == ANSWER
    assert mas_guard.outcome(result).status == "partial"
    assert reviews_in(queue) == []


@pytest.mark.parametrize("way", RUNS)
async def test_a_person_is_asked_where_the_owner_has_no_answer(way: str, queue: dict[str, Any]) -> None:
    with ModelServer(concluding("")) as server:
        app = mas_guard.wrap(circle(server.url), max_hops=2, on_limit="owner,escalate,abort", review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            await run_in(way, app, QUESTION, max_turns=50)
    assert [review.kind for review in reviews_in(queue)] == ["limit"]
    assert caught.value.outcome.status == "escalated"


@pytest.mark.parametrize("way", RUNS)
async def test_an_owner_may_ask_for_a_person_where_one_can_be_asked(way: str, queue: dict[str, Any]) -> None:
    with ModelServer(concluding("ESCALATE: two customers claim it")) as server:
        app = mas_guard.wrap(circle(server.url), max_hops=2, review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            await run_in(way, app, QUESTION, max_turns=50)
        assert "ESCALATE: <reason>" in server.requests[-1].last_text
    assert len(reviews_in(queue)) == 1
    assert "two customers claim it" in caught.value.outcome.reason


def test_without_a_channel_asking_for_a_person_ends_the_run() -> None:
    with ModelServer(concluding("ESCALATE: two customers claim it")) as server:
        app = mas_guard.wrap(circle(server.url), max_hops=2)
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            Runner.run_sync(app, QUESTION, max_turns=50)
        assert "ESCALATE" not in server.requests[-1].last_text
    assert caught.value.outcome.status == "aborted"


# -- validators and evidence --------------------------------------------------------------------------


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize("api", APIS)
async def test_a_validator_sees_the_answer_without_its_envelope(way: str, api: str, judged: list[Any]) -> None:
    with ModelServer(doubtful) as server:
        await run_in(way, mas_guard.wrap(clerk(server.url, api), envelopes="require"), QUESTION)
    assert judged == [(ANSWER, 0.4)]


@pytest.mark.parametrize("way", RUNS)
async def test_a_validator_keeps_a_result_back(way: str) -> None:
    @mas_guard.validator
    def names_a_source(found: mas_guard.Envelope, run: Any) -> str | None:
        return None if "source" in str(found.result) else "no source is named"

    try:
        with ModelServer(lambda request: text(ANSWER)) as server:
            with pytest.raises(mas_guard.ResultRejected, match="no source is named") as caught:
                await run_in(way, mas_guard.wrap(clerk(server.url)), QUESTION)
    finally:
        mas_guard.unregister(names_a_source)
    assert caught.value.outcome.status == "aborted"


def test_figures_of_the_answer_must_stand_in_what_a_tool_declared() -> None:
    @function_tool
    def ledger() -> str:
        """Read the ledger."""
        mas_guard.evidence("Invoice 1042: 90 EUR.")
        return "Invoice 1042: 90 EUR."

    def script(request: Request) -> Reply:
        return text(ANSWER) if request.messages[-1]["role"] == "tool" else call("ledger")

    with ModelServer(script) as server:
        result = Runner.run_sync(mas_guard.wrap(clerk(server.url, tools=[ledger])), QUESTION)
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "result")
    assert "1 figures of the result stand in none of the 1 texts" in outcome.reason


def test_the_runs_result_is_judged_and_not_what_a_guardrails_agent_said_of_it(judged: list[Any]) -> None:
    def script(request: Request) -> Reply:
        return text("fine, no objections") if "You check." in str(request.body) else text(ANSWER)

    with ModelServer(script) as server:
        checker = Agent[Any](name="checker", instructions="You check.", model=model(server.url))

        @output_guardrail
        async def checked(context: RunContextWrapper[Any], agent: Agent[Any], output: Any) -> GuardrailFunctionOutput:
            said = (await Runner.run(checker, str(output))).final_output
            return GuardrailFunctionOutput(output_info=said, tripwire_triggered=False)

        app = mas_guard.wrap(clerk(server.url, output_guardrails=[checked]))
        assert Runner.run_sync(app, QUESTION).final_output == ANSWER
    assert judged == [(ANSWER, None)]
