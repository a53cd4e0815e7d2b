"""Doubt is noticed before a crew's result leaves; contracts and handoff packets are held to at the seams of a crew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crewai import Crew, Process, Task

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    DELEGATE,
    MANAGER,
    REPORT,
    RESEARCHER,
    WRITER,
    agent,
    giving,
    guarded_crew,
    hierarchical_crew,
    kickoff,
    model,
    notes_of,
    own_messages,
    raws,
    report_crew,
    report_script,
    role_of,
    streaming_crew,
    typed_crew,
    typed_script,
    with_answers,
)
from tests.doubtful_results import FALLBACK, envelope, from_another_process, reviews_in

WAYS: dict[str, Callable[[Crew], Any]] = {
    "kickoff": lambda crew: crew.kickoff(),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
}
ways = pytest.mark.parametrize("way", WAYS)
DOUBTFUL = giving(report_script, envelope(0.4))


# Confidence.


@ways
def test_without_a_channel_a_doubtful_result_leaves_and_the_outcome_says_so(way: str) -> None:
    with ModelServer(DOUBTFUL) as server:
        result = WAYS[way](mas_guard.wrap(report_crew(server.url), envelopes="require"))
        assert server.count == 3
    outcome = mas_guard.outcome(result)
    assert result.raw == ANSWERS[WRITER]
    assert (outcome.status, outcome.rule) == ("partial", "result")
    assert "0.4, below 0.7 (CONFIDENCE_THRESHOLD)" in outcome.reason


def test_confidence_that_reaches_the_threshold_is_no_doubt(queue: dict[str, Any]) -> None:
    with ModelServer(DOUBTFUL) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require", review=queue, confidence_threshold=0.4)
        assert mas_guard.outcome(crew.kickoff()).status == "completed"
    assert reviews_in(queue) == []


@ways
def test_a_doubtful_result_waits_for_a_person_in_another_process(way: str, queue: dict[str, Any]) -> None:
    with ModelServer(DOUBTFUL) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require", review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            WAYS[way](crew)
        assert server.count == 3
    stop = caught.value
    assert stop.outcome.status == "escalated" and stop.review in str(stop)
    (review,) = reviews_in(queue)
    assert (review.id, review.shown["result"], review.shown["confidence"]) == (stop.review, ANSWERS[WRITER], 0.4)
    assert mas_guard.reviewed(stop.review, review=queue) is None
    from_another_process(queue, "answer", stop.review, "Tides come twice a day.", "--by", "anna")
    resolution = mas_guard.reviewed(stop.review, review=queue)
    assert (resolution.decision, resolution.result, resolution.by) == ("answered", "Tides come twice a day.", "anna")


@pytest.mark.parametrize(
    ("word", "decision", "result"), [("approve", "approved", None), ("reject", "rejected", FALLBACK)]
)
def test_a_person_approves_or_rejects(word: str, decision: str, result: str | None, queue: dict[str, Any]) -> None:
    with ModelServer(DOUBTFUL) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require", review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            crew.kickoff()
    from_another_process(queue, word, caught.value.review, "--by", "anna")
    resolution = mas_guard.reviewed(caught.value.review, review=queue)
    assert (resolution.decision, resolution.result) == (decision, result)


def test_a_streamed_answer_is_out_before_the_doubt_is_raised(queue: dict[str, Any]) -> None:
    shown: list[str] = []
    with ModelServer(DOUBTFUL) as server:
        stream: Any = mas_guard.wrap(streaming_crew(server.url), envelopes="require", review=queue).kickoff()
        with pytest.raises(mas_guard.EscalationRequired):
            for chunk in stream:
                shown.append(chunk.content)
    assert "".join(shown) == "".join(ANSWERS.values())
    assert len(reviews_in(queue)) == 1


def test_the_managers_confidence_is_what_a_hierarchical_crew_is_judged_by(queue: dict[str, Any]) -> None:
    def script(request: Request) -> Reply:
        return giving(report_script, envelope(0.4 if role_of(request) == MANAGER else 0.9))(request)

    with ModelServer(script) as server:
        crew = mas_guard.wrap(hierarchical_crew(server.url), envelopes="require", review=queue)
        with pytest.raises(mas_guard.EscalationRequired):
            crew.kickoff()
    (review,) = reviews_in(queue)
    assert (review.agent, review.shown["result"]) == (MANAGER, ANSWERS[WRITER])


def test_doubt_about_an_earlier_task_is_no_doubt_about_the_result(queue: dict[str, Any]) -> None:
    def script(request: Request) -> Reply:
        return giving(report_script, envelope(0.9 if role_of(request) == WRITER else 0.4))(request)

    with ModelServer(script) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require", review=queue)
        assert mas_guard.outcome(crew.kickoff()).status == "completed"
    assert reviews_in(queue) == []


def test_where_nobody_says_how_sure_it_is_a_person_may_be_asked(queue: dict[str, Any]) -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(report_crew(server.url), review=queue, unknown_confidence="review")
        with pytest.raises(mas_guard.EscalationRequired):
            crew.kickoff()
        assert server.count == 3
    assert "UNKNOWN_CONFIDENCE=review" in reviews_in(queue)[0].reason


def test_in_observe_mode_nothing_is_asked_of_anybody(queue: dict[str, Any]) -> None:
    with ModelServer(DOUBTFUL) as server:
        crew = mas_guard.wrap(report_crew(server.url), mode="observe", envelopes="require", review=queue)
        assert kickoff(crew).raw == ANSWERS[WRITER]
    assert reviews_in(queue) == []


# Validators.


@ways
def test_a_validator_sees_the_answer_without_its_envelope(way: str, judged: list[Any]) -> None:
    with ModelServer(DOUBTFUL) as server:
        WAYS[way](mas_guard.wrap(report_crew(server.url), envelopes="require"))
    assert judged == [(ANSWERS[WRITER], 0.4)]


@pytest.mark.parametrize("name", ["guardrails", "typed"])
def test_a_validator_sees_what_the_crew_gives(name: str, judged: list[Any]) -> None:
    make, script = (guarded_crew, report_script) if name == "guardrails" else (typed_crew, typed_script)
    with ModelServer(giving(script)) as server:
        result = mas_guard.wrap(make(server.url), envelopes="require").kickoff()
    assert [shown for shown, _ in judged] == [result.raw]
    assert result.raw == (REPORT.model_dump_json() if name == "typed" else ANSWERS[WRITER].partition(":")[0])


@ways
def test_a_validator_keeps_a_result_back(way: str) -> None:
    @mas_guard.validator
    def names_a_source(found: mas_guard.Envelope, run: Any) -> str | None:
        return None if "source" in str(found.result) else "no source is named"

    try:
        with ModelServer(report_script) as server:
            crew = mas_guard.wrap(report_crew(server.url))
            with pytest.raises(mas_guard.ResultRejected, match="no source is named") as caught:
                WAYS[way](crew)
    finally:
        mas_guard.unregister(names_a_source)
    assert caught.value.outcome.status == "aborted"
    assert raws(crew) == list(ANSWERS.values())


# Contracts.

CONTRACT = {"type": "object", "properties": {"times": {"type": "array"}}, "required": ["times"]}


@pytest.mark.parametrize("envelopes", ["infer", "require"])
def test_a_contract_that_is_missed_is_a_failure(envelopes: str) -> None:
    with ModelServer(giving(report_script)) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes=envelopes, agents={RESEARCHER: {"contract": CONTRACT}})
        result = crew.kickoff()
        told = [notes_of(request) for request in server.requests if role_of(request) == ANALYST]
    outcome = mas_guard.outcome(result)
    assert "misses its contract" in outcome.envelopes[RESEARCHER].reason
    if envelopes == "infer":
        assert "'Researcher' has the status failed" in told[0] and result.raw == ANSWERS[WRITER]
    else:
        assert told == [] and outcome.envelopes[ANALYST].status == "failed"


def test_a_contract_that_is_kept_is_no_matter() -> None:
    with ModelServer(giving(with_answers({RESEARCHER: text('{"times": ["noon"]}')}))) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require", agents={RESEARCHER: {"contract": CONTRACT}})
        assert mas_guard.outcome(crew.kickoff()).status == "completed"
    assert raws(crew)[0] == '{"times": ["noon"]}'


def test_what_the_tasks_declare_is_what_the_adapter_tells_of_them() -> None:
    from mas_guard_crewai import _adapter

    with ModelServer([]) as server:
        crew = typed_crew(server.url)
    declared = _adapter.declared_outputs(crew)
    assert declared[WRITER] == (type(REPORT), ())
    assert declared[RESEARCHER] == (str, (ANALYST, WRITER))


# Handoff packets, where work is delegated.

PACKET = (
    "Task: find out when the tides come at Dover. Context: it is spring tide this week and the ship leaves on Friday. "
    "Output format: a list of times in UTC. If it fails: hand back to the manager with what is missing."
)


def hierarchical(url: str) -> Crew:
    chat = model(url)
    task = Task(description="Find out.", expected_output="Times", agent=agent(RESEARCHER, chat))
    return Crew(agents=[task.agent], tasks=[task], process=Process.hierarchical, manager_llm=chat)


def delegating(said: str) -> Callable[[Request], Reply]:
    """A manager who delegates with *said*, and says everything once it is refused."""

    def script(request: Request) -> Reply:
        if role_of(request) != MANAGER:
            return text("High water at noon.")
        last = own_messages(request)[-1]
        if last["role"] != "tool":
            return call(DELEGATE, task=said, context="", coworker=RESEARCHER)
        refused = "say before you hand over" in str(last["content"])
        return call(DELEGATE, task=PACKET, context="", coworker=RESEARCHER) if refused else text("At noon.")

    return script


def bodies(server: ModelServer) -> list[dict[str, Any]]:
    return [request.body for request in server.requests]


@pytest.mark.parametrize("handoffs", ["off", "infer"])
def test_by_default_what_a_delegation_lacks_is_recorded_and_nothing_else(handoffs: str, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(delegating("Tides.")) as server:
        assert hierarchical(server.url).kickoff().raw == "At noon."
        bare = bodies(server)
    with ModelServer(delegating("Tides.")) as server:
        crew = mas_guard.wrap(hierarchical(server.url), handoffs=handoffs, events=str(events))
        assert crew.kickoff().raw == "At noon."
        assert bodies(server) == bare
    verdicts = [line for line in map(json.loads, events.read_text().splitlines()) if line.get("rule") == "packet"]
    assert bool(verdicts) == (handoffs == "infer")
    assert handoffs == "off" or "on_failure" in str(verdicts[0])


def test_a_coworker_is_shown_what_the_delegation_lacked() -> None:
    with ModelServer(delegating("Tides.")) as server:
        crew = mas_guard.wrap(
            hierarchical(server.url), handoffs="complete", handoff_on_failure="give back what is missing"
        )
        assert crew.kickoff().raw == "At noon."
        (told,) = [notes_of(request) for request in server.requests if role_of(request) == RESEARCHER]
    assert "You have been handed this task by 'Crew Manager'" in told
    assert "give back what is missing" in told


def test_a_delegation_that_says_too_little_is_refused_until_it_says_all() -> None:
    with ModelServer(delegating("Tides.")) as server:
        assert mas_guard.wrap(hierarchical(server.url), handoffs="require").kickoff().raw == "At noon."
        workers = [request for request in server.requests if role_of(request) == RESEARCHER]
        answers = [str(own_messages(request)[-1]["content"]) for request in server.requests]
        assert server.count == 4
    assert len(workers) == 1 and "at Dover" in str(own_messages(workers[0]))
    assert any("not transferred: say before you hand over to Researcher" in answer for answer in answers)


def test_a_whole_delegation_passes_where_packets_are_required() -> None:
    with ModelServer(delegating(PACKET)) as server:
        assert mas_guard.wrap(hierarchical(server.url), handoffs="require").kickoff().raw == "At noon."
        assert server.count == 3


@pytest.mark.parametrize("handoffs", ["complete", "require"])
def test_the_order_of_the_tasks_is_no_handoff_that_a_packet_is_asked_of(handoffs: str) -> None:
    with ModelServer(report_script) as server:
        outcome = mas_guard.outcome(mas_guard.wrap(report_crew(server.url), handoffs=handoffs).kickoff())
        assert server.count == 3 and not any(map(notes_of, server.requests))
    assert (outcome.status, outcome.hops) == ("completed", 0)


def test_a_coworker_that_does_not_exist_is_not_handed_anything() -> None:
    def script(request: Request) -> Reply:
        last = own_messages(request)[-1]
        if last["role"] == "tool":
            return text(str(last["content"]))
        return call(DELEGATE, task="Tides.", context="", coworker="Astrologer")

    with ModelServer(script) as server:
        outcome = mas_guard.outcome(result := mas_guard.wrap(hierarchical(server.url)).kickoff())
        assert server.count == 2
    assert "Astrologer does not exist" in result.raw and RESEARCHER in result.raw
    assert outcome.hops == 0
