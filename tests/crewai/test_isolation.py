"""A task that brings no result: what needs it is held back or told, what does not need it goes on, and the outcome names it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crewai import Crew, Process, Task

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, fault, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    DELEGATE,
    MANAGER,
    RESEARCHER,
    WRITER,
    agent,
    crew_of,
    giving,
    model,
    notes_of,
    own_messages,
    raws,
    react_crew,
    report_crew,
    report_script,
    report_tasks,
    role_of,
    streaming_crew,
    with_answers,
)
from tests.crewai.more_crews import APART, DEPENDENT, FAILING, mixed_crew, step_script
from tests.crewai.observing import observe

SORRY = "I'm sorry, I cannot access the internet."
TRACEBACK = "Traceback (most recent call last): ConnectionError: timed out"
NO_RESULT: dict[str, tuple[Reply, str]] = {
    "empty": (text(""), "the output is empty"),
    "blank": (text(" \n"), "the output is empty"),
    "null": (text("None"), "the output is null"),
    "apology": (text(SORRY), "the output is an apology"),
    "exception text": (text(TRACEBACK), "the output is the text of an error"),
    "raises": (fault(400, "bad request"), "BadRequestError"),
}
TRIES = {"empty": 3}  # CrewAI itself asks again where nothing came
TRUNCATED = Reply(text="High water comes every", finish_reason="length")
WAYS: dict[str, Callable[[Crew], Any]] = {
    "kickoff": lambda crew: crew.kickoff(),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
}
ends = pytest.mark.parametrize("end", NO_RESULT)
apis = pytest.mark.parametrize("api", ["chat", "responses"])


def of(server: ModelServer, role: str) -> list[Request]:
    return [request for request in server.requests if role_of(request) == role]


# The writer makes no report of it.


@apis
@ends
def test_required_the_writer_is_held_back(end: str, api: str) -> None:
    reply, reason = NO_RESULT[end]
    with ModelServer(giving(with_answers({RESEARCHER: reply}))) as server:
        crew = mas_guard.wrap(report_crew(server.url, api), envelopes="require")
        if end in ("empty", "raises"):  # nothing came of any task: what was raised is raised on, as bare
            with pytest.raises(Exception, match="None or empty|bad request"):
                crew.kickoff()
            outcome = mas_guard.last_outcome()
        else:
            result = crew.kickoff()
            outcome = mas_guard.outcome(result)
            assert (result.raw, outcome.status, outcome.rule) == ("", "partial", "envelope")
        assert server.count == TRIES.get(end, 1)
    assert outcome is not None and RESEARCHER in outcome.reason
    assert raws(crew)[1:] == ["", ""]
    assert reason in outcome.envelopes[RESEARCHER].reason
    for role in (ANALYST, WRITER):
        assert outcome.envelopes[role].status == "failed"
        assert f"it needs what failed: {RESEARCHER}: Find out when the tides come." in outcome.envelopes[role].reason


@apis
@ends
def test_by_default_the_outcome_names_the_task_and_the_crew_runs_as_bare(end: str, api: str) -> None:
    reply, reason = NO_RESULT[end]
    with ModelServer(with_answers({RESEARCHER: reply})) as server:
        crew = mas_guard.wrap(report_crew(server.url, api))
        if end in ("empty", "raises"):
            with pytest.raises(Exception, match="None or empty|bad request"):
                crew.kickoff()
            outcome = mas_guard.last_outcome()
            assert outcome is not None and outcome.status == "aborted"
        else:
            result = crew.kickoff()
            outcome = mas_guard.outcome(result)
            assert (result.raw, outcome.status, server.count) == (ANSWERS[WRITER], "partial", 3)
    assert f"{RESEARCHER}: failed" in outcome.reason
    assert reason in outcome.envelopes[RESEARCHER].reason


@apis
@pytest.mark.parametrize("envelopes", ["infer", "require"])
def test_of_a_truncated_result_the_next_ones_are_told_that_its_end_is_missing(envelopes: str, api: str) -> None:
    with ModelServer(giving(with_answers({RESEARCHER: TRUNCATED}))) as server:
        result = mas_guard.wrap(report_crew(server.url, api), envelopes=envelopes).kickoff()
        told = notes_of(of(server, ANALYST)[0])
    assert "'Researcher' has the status partial" in told and "cut off" in told
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.envelopes[RESEARCHER].status) == ("partial", "partial")


def test_litellm_says_what_was_cut_off_too() -> None:
    with ModelServer(with_answers({RESEARCHER: TRUNCATED})) as server:
        result = mas_guard.wrap(report_crew(server.url, "litellm")).kickoff()
    assert "cut off" in mas_guard.outcome(result).envelopes[RESEARCHER].reason


@pytest.mark.parametrize("end", ["apology", "exception text"])
def test_without_an_explicit_context_whoever_comes_after_is_told_and_not_held_back(end: str) -> None:
    reply, reason = NO_RESULT[end]
    with ModelServer(giving(with_answers({RESEARCHER: reply}))) as server:
        chat = model(server.url)
        tasks = [
            Task(description=f"Work as {role}.", expected_output="A text", agent=agent(role, chat))
            for role in (RESEARCHER, WRITER)
        ]
        crew = mas_guard.wrap(crew_of(tasks), envelopes="require")
        result = crew.kickoff()
        told = notes_of(of(server, WRITER)[0])
    assert "'Researcher' has the status failed" in told and reason in told
    assert "Do not treat it as a result" in told
    assert (result.raw, mas_guard.outcome(result).status) == (ANSWERS[WRITER], "partial")


@pytest.mark.parametrize("end", ["blank", "apology", "raises"])
def test_a_streaming_crew_shows_nothing_of_what_is_held_back(end: str) -> None:
    reply, _ = NO_RESULT[end]
    with ModelServer(giving(with_answers({RESEARCHER: reply}))) as server:
        crew = mas_guard.wrap(streaming_crew(server.url), envelopes="require")
        if end == "raises":
            with pytest.raises(Exception, match="bad request"):
                observe(crew)
        else:
            assert observe(crew).shown.strip() == reply.text.strip()
        assert server.count == 1


def test_a_model_class_of_the_users_own_is_held_to_the_same() -> None:
    with ModelServer(giving(with_answers({RESEARCHER: text(SORRY)}))) as server:
        result = mas_guard.wrap(react_crew(server.url), envelopes="require").kickoff()
        assert server.count == 1
    assert "an apology" in mas_guard.outcome(result).envelopes[RESEARCHER].reason


# Independent tasks.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("end", ["empty", "apology", "raises"])
def test_what_does_not_need_the_failed_task_finishes(end: str, at_once: bool, way: str) -> None:
    reply, reason = NO_RESULT[end]

    def script(request: Request) -> Reply:
        return reply if role_of(request) == FAILING else step_script(request)

    with ModelServer(giving(script)) as server:
        crew = mas_guard.wrap(mixed_crew(server.url, at_once), envelopes="require")
        result = WAYS[way](crew)
        assert [len(of(server, role)) for role in (DEPENDENT, APART, f"{APART}2")] == [0, 1, 1]
    left = dict(zip([task.agent.role for task in crew.tasks], raws(crew), strict=True))
    assert (left[APART], left[f"{APART}2"], left[DEPENDENT]) == (f"{APART} is done.", f"{APART}2 is done.", "")
    assert result.raw == f"{APART}2 is done."
    assert [output.raw for output in result.tasks_output] == raws(crew)
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "envelope")
    assert reason in outcome.envelopes[FAILING].reason
    assert "it needs what failed: Failing: Do Failing." in outcome.envelopes[DEPENDENT].reason
    assert outcome.envelopes[APART].status == outcome.envelopes[f"{APART}2"].status == "success"


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_by_default_a_raising_task_ends_the_crew_as_bare(at_once: bool) -> None:
    def script(request: Request) -> Reply:
        return fault(400, "bad request") if role_of(request) == FAILING else step_script(request)

    with ModelServer(script) as server:
        crew = mas_guard.wrap(mixed_crew(server.url, at_once))
        with pytest.raises(Exception, match="bad request"):
            crew.kickoff()
        assert not of(server, f"{APART}2")
    outcome = mas_guard.last_outcome()
    assert outcome is not None and f"{FAILING}: failed" in outcome.reason


@pytest.mark.parametrize("end", ["empty", "apology", "raises"])
def test_where_every_task_fails_nothing_is_made_of_it(end: str) -> None:
    reply, reason = NO_RESULT[end]
    with ModelServer(giving(lambda request: reply)) as server:
        crew = mas_guard.wrap(mixed_crew(server.url), envelopes="require")
        if end == "apology":
            mas_guard.outcome(crew.kickoff())
        else:
            with pytest.raises(Exception, match="None or empty|bad request"):
                crew.kickoff()
        outcome = mas_guard.last_outcome()
        assert server.count == 3 * TRIES.get(end, 1)
    assert outcome is not None and outcome.status == ("partial" if end == "apology" else "aborted")
    assert all(envelope.status == "failed" for envelope in outcome.envelopes.values())
    assert reason in outcome.envelopes[FAILING].reason


def test_the_last_task_that_failed_is_not_replaced_by_an_earlier_ones_text() -> None:
    with ModelServer(giving(with_answers({ANALYST: fault(400, "bad request")}))) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require")
        result = crew.kickoff()
    assert raws(crew) == [ANSWERS[RESEARCHER], "", ""]
    assert result.raw == ""
    assert mas_guard.outcome(result).status == "partial"


# What stands in for a result.


@pytest.mark.parametrize(
    ("given", "raw"), [("nothing from us", "nothing from us"), ({"times": []}, '{"times": []}')], ids=["text", "table"]
)
def test_the_settings_say_what_a_failed_agent_gives(given: Any, raw: str) -> None:
    heard: list[str] = []
    with ModelServer(giving(with_answers({RESEARCHER: fault(400, "bad request")}))) as server:
        tasks = report_tasks(model(server.url))
        settings = {role: {"failure_output": given} for role in (RESEARCHER, WRITER)}
        crew = mas_guard.wrap(
            crew_of(tasks, task_callback=lambda output: heard.append(output.raw)), envelopes="require", agents=settings
        )
        result = crew.kickoff()
    assert raws(crew) == [raw, "", raw]
    assert (result.raw, mas_guard.outcome(result).status) == (raw, "partial")
    assert heard == []  # a callback hears of results


def test_the_failure_output_stands_in_a_settings_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mas-guard.toml"
    file.write_text('envelopes = "require"\n[agents.Writer]\nfailure_output = "no report today"\n')
    monkeypatch.setenv("MAS_GUARD_CONFIG", str(file))
    with ModelServer(giving(with_answers({RESEARCHER: text(SORRY)}))) as server:
        assert mas_guard.wrap(report_crew(server.url)).kickoff().raw == "no report today"


# One agent, several tasks; one task, several attempts.


def one_agent(url: str) -> Crew:
    """The same researcher twice, for nothing in common; and a writer who needs the second."""
    chat = model(url)
    researcher, writer = agent(RESEARCHER, chat), agent(WRITER, chat)
    first = Task(description="Look into the first.", expected_output="Times", agent=researcher, context=[])
    second = Task(description="Look into the second.", expected_output="Times", agent=researcher, context=[])
    told = Task(description="Write it up.", expected_output="A text", agent=writer, context=[second])
    return crew_of([first, second, told])


@pytest.mark.parametrize(("fails", "writers"), [("first", 1), ("second", 0)])
def test_of_an_agents_tasks_only_the_one_that_failed_holds_back(fails: str, writers: int) -> None:
    def script(request: Request) -> Reply:
        return text(SORRY) if f"the {fails}." in str(own_messages(request)) else report_script(request)

    with ModelServer(giving(script)) as server:
        crew = mas_guard.wrap(one_agent(server.url), envelopes="require")
        outcome = mas_guard.outcome(crew.kickoff())
        assert len(of(server, WRITER)) == writers
    assert outcome.status == "partial"
    assert outcome.envelopes[RESEARCHER].status == "failed"


@pytest.mark.parametrize("end", ["apology", "exception text", "blank"])
@pytest.mark.parametrize("way", WAYS)
def test_what_a_guardrail_had_mended_is_a_success(end: str, way: str) -> None:
    replies = [NO_RESULT[end][0]]

    def script(request: Request) -> Reply:
        return replies.pop() if replies and role_of(request) == RESEARCHER else report_script(request)

    with ModelServer(giving(script)) as server:
        mended = {"guardrail": lambda output: (output.raw == ANSWERS[RESEARCHER], output.raw)}
        crew = mas_guard.wrap(crew_of(report_tasks(model(server.url), research=mended)), envelopes="require")
        outcome = mas_guard.outcome(WAYS[way](crew))
        assert server.count == 4
    assert raws(crew) == list(ANSWERS.values())
    assert outcome.status == "completed" and outcome.envelopes[RESEARCHER].status == "success"


def test_a_guardrail_that_is_never_content_fails_its_task_and_no_other() -> None:
    with ModelServer(giving(report_script)) as server:
        refuses = {"guardrail": lambda output: (False, "not good enough")}
        tasks = report_tasks(model(server.url), research=refuses, analysis={"context": []}, report={"context": []})
        result = mas_guard.wrap(crew_of(tasks), envelopes="require").kickoff()
        assert server.count == 4 + 2
    assert result.raw == ANSWERS[WRITER]
    outcome = mas_guard.outcome(result)
    assert [outcome.envelopes[role].status for role in (RESEARCHER, ANALYST, WRITER)] == [
        "failed",
        "success",
        "success",
    ]


# A manager.


def hierarchical(url: str) -> Crew:
    chat = model(url)
    task = Task(description="Find out.", expected_output="Times", agent=agent(RESEARCHER, chat))
    return Crew(agents=[task.agent], tasks=[task], process=Process.hierarchical, manager_llm=chat)


def stubborn(reply: Reply) -> Callable[[Request], Reply]:
    """A manager that asks for plan A until it is told to change the plan; a worker that cannot do plan A."""

    def script(request: Request) -> Reply:
        if role_of(request) != MANAGER:
            return text("High water at noon.") if "plan B" in str(own_messages(request)) else reply
        results = [str(message["content"]) for message in own_messages(request) if message["role"] == "tool"]
        if results and ("at noon" in results[-1] or len(results) >= 4):
            return text("All is said.")
        changed = bool(results) and "Change the plan" in results[-1]
        return call(DELEGATE, task="plan B" if changed else "plan A", context="Tides.", coworker=RESEARCHER)

    return script


@pytest.mark.parametrize(
    ("end", "envelopes"), [("apology", "require"), ("raises", "infer"), ("raises", "require"), ("empty", "infer")]
)
def test_a_manager_is_told_what_failed_and_to_change_the_plan(end: str, envelopes: str) -> None:
    reply, _ = NO_RESULT[end]
    with ModelServer(giving(stubborn(reply))) as server:
        result = mas_guard.wrap(hierarchical(server.url), envelopes=envelopes).kickoff()
        plans = ["plan B" if "plan B" in str(own_messages(one)) else "plan A" for one in of(server, RESEARCHER)]
        answers = [str(own_messages(one)[-1]["content"]) for one in of(server, MANAGER)]
        told = "\n".join(notes_of(one) for one in of(server, MANAGER))
    assert plans == ["plan A"] * TRIES.get(end, 1) + ["plan B"]
    assert any("What failed: Researcher" in brief and "Left: " in brief for brief in answers)
    assert "'Researcher' has the status failed" in told
    assert (result.raw, mas_guard.outcome(result).status) == ("All is said.", "completed")


def test_bare_a_manager_delegates_what_failed_again_and_again() -> None:
    with ModelServer(stubborn(text(SORRY))) as server:
        hierarchical(server.url).kickoff()
        assert len(of(server, RESEARCHER)) == 4
