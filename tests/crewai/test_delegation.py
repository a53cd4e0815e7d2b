"""Delegation that comes to no end is ended by the hop limit, and the owner concludes with what there is."""

from __future__ import annotations

from typing import Any

import pytest
from crewai import Agent, Crew, Process, Task

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    CONCLUSION,
    DELEGATE,
    MANAGER,
    RESEARCHER,
    ROLES,
    WRITER,
    agent,
    circle,
    coworker_of,
    delegate_for_ever,
    endless_manager,
    hand_on_for_ever,
    hierarchical_crew,
    model,
    raws,
    report_crew,
    report_script,
    role_of,
    tools_of,
)
from tests.crewai.endings import NOTHING, awaited, crew_ended

ASK = "ask_question_to_coworker"


# -- to no end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["kickoff", "akickoff"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_manager_who_is_never_content_concludes_at_the_hop_limit(api: str, way: str) -> None:
    with ModelServer(delegate_for_ever) as server:
        crew = mas_guard.wrap(endless_manager(server.url, api))
        ending = crew_ended(crew) if way == "kickoff" else awaited(crew.akickoff)
        # Twelve delegations with their work, the one that was refused, and the conclusion.
        assert server.count == 12 + 12 + 1 + 1
        assert role_of(server.requests[-1]) == MANAGER and "[mas-guard]" in server.requests[-1].last_text
        assert not tools_of(server.requests[-1])
    assert (ending.raw, ending.outcome.status, ending.outcome.rule) == (CONCLUSION, "partial", "hops")
    assert (ending.outcome.hops, ending.outcome.run.owner) == (12, MANAGER)
    assert set(ending.outcome.path) == {MANAGER, RESEARCHER}
    assert ending.held == [NOTHING]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_coworkers_in_a_circle_end_at_the_hop_limit_and_the_owner_concludes(size: int, api: str) -> None:
    with ModelServer(hand_on_for_ever) as server:
        ending = crew_ended(mas_guard.wrap(circle(server.url, size, api), max_hops=5))
        assert server.count <= 5 + 2 + size
        assert role_of(server.requests[-1]) == "Worker0"
    assert (ending.raw, ending.outcome.status, ending.outcome.rule) == (CONCLUSION, "partial", "hops")
    assert (ending.outcome.hops, ending.outcome.run.owner) == (5, "Worker0")


@pytest.mark.parametrize(("make", "script"), [(endless_manager, delegate_for_ever), (circle, hand_on_for_ever)])
def test_with_abort_the_stop_comes_out_of_the_kickoff(make: Any, script: Any) -> None:
    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(make(server.url), max_hops=4, on_limit="abort"))
        sent = server.count
        assert sent < 20
    assert isinstance(ending.error, mas_guard.HopLimitExceeded) and ending.error.hops == 4
    assert (ending.outcome.status, ending.outcome.spent.model_calls, ending.held) == ("aborted", sent, [NOTHING])


@pytest.mark.parametrize(("make", "script"), [(endless_manager, delegate_for_ever), (circle, hand_on_for_ever)])
def test_with_partial_there_is_what_was_done(make: Any, script: Any) -> None:
    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(make(server.url), max_hops=4, on_limit="partial"))
    assert ending.error is None
    assert (ending.outcome.status, ending.outcome.rule, ending.outcome.hops) == ("partial", "hops", 4)


def test_a_named_owner_concludes() -> None:
    with ModelServer(hand_on_for_ever) as server:
        ending = crew_ended(mas_guard.wrap(circle(server.url), owner="Worker2", max_hops=4))
        assert role_of(server.requests[-1]) == "Worker2"
    assert (ending.raw, ending.outcome.run.owner, ending.outcome.status) == (CONCLUSION, "Worker2", "partial")


def test_an_owner_that_is_nobody_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(mas_guard.ConfigError, match="Worker2"):
        mas_guard.wrap(circle("http://127.0.0.1:1/v1"), owner="Workr2")


def test_the_tasks_that_were_done_before_are_what_the_owner_concludes_from() -> None:
    """The manager's first task is done; its second comes to no end."""

    def script(request: Request) -> Reply:
        if "Say why." in str(request.messages) and role_of(request) == MANAGER:
            return delegate_for_ever(request)
        return report_script(request) if "Say why." not in str(request.messages) else text("Nothing.")

    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(hierarchical_crew(server.url), max_hops=5))
        assert ANSWERS[RESEARCHER] in str(server.requests[-1].messages)
    assert ending.raw == CONCLUSION
    assert ending.result.tasks_output[0].raw == ANSWERS[RESEARCHER]


# -- what counts ---------------------------------------------------------------------------------------------------


def test_a_manager_who_hands_each_task_out_once_makes_a_hop_for_each() -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(hierarchical_crew(server.url))
        ending = crew_ended(crew)
        assert server.count == 9
    assert raws(crew) == list(ANSWERS.values())
    assert (ending.outcome.status, ending.outcome.hops, ending.outcome.notes) == ("completed", 3, ())
    assert ending.outcome.path == (MANAGER, RESEARCHER, ANALYST, WRITER)  # who has control back is not told anew


def test_moves_along_the_order_of_the_tasks_are_no_hops() -> None:
    with ModelServer(report_script) as server:
        outcome = crew_ended(mas_guard.wrap(report_crew(server.url), max_hops=0)).outcome
        assert server.count == 3
    assert (outcome.status, outcome.hops, outcome.path) == ("completed", 0, ROLES)


def lead_and_helpers(url: str) -> Crew:
    """A lead who can delegate to two."""
    lead = agent("Lead", model(url), allow_delegation=True)
    helpers = [agent(role, model(url)) for role in (RESEARCHER, ANALYST)]
    return Crew(agents=[lead, *helpers], tasks=[Task(description="Report.", expected_output="A text", agent=lead)])


def test_questions_to_a_coworker_are_hops_as_well() -> None:
    def script(request: Request) -> Reply:
        if role_of(request) != "Lead":
            return text(f"{role_of(request)} knows.")
        asked = sum(message["role"] == "tool" for message in request.messages)
        if asked == 2:
            return text("That is all.")
        return call(ASK, question=f"What of {asked}?", context="Tides.", coworker=(RESEARCHER, ANALYST)[asked])

    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(lead_and_helpers(server.url)))
        assert server.count == 5
    assert (ending.raw, ending.outcome.hops) == ("That is all.", 2)
    assert ending.outcome.path == ("Lead", RESEARCHER, ANALYST)


def test_two_coworkers_who_are_asked_in_one_reply_are_one_hop_or_two_and_no_more() -> None:
    def script(request: Request) -> Reply:
        if role_of(request) != "Lead":
            return text(f"{role_of(request)} knows.")
        if any(message["role"] == "tool" for message in request.messages):
            return text("That is all.")
        calls = [
            ToolCallReply(ASK, {"question": "What?", "context": "Tides.", "coworker": role})
            for role in (RESEARCHER, ANALYST)
        ]
        return Reply(tool_calls=calls)

    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(lead_and_helpers(server.url), max_hops=2))
        assert server.count == 4
    assert (ending.raw, ending.outcome.status) == ("That is all.", "completed")
    assert 1 <= ending.outcome.hops <= 2


def test_a_coworker_who_does_not_exist_is_no_hop_and_the_agent_is_told_who_there_is() -> None:
    def script(request: Request) -> Reply:
        if any(message["role"] == "tool" for message in request.messages):
            return text("That is all.")
        return call(DELEGATE, task="Do it.", context="Tides.", coworker="Nobody")

    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(lead_and_helpers(server.url)))
        assert server.count == 2
        told = server.requests[-1].last_text
    assert "Nobody" in told and RESEARCHER in told and ANALYST in told
    assert (ending.raw, ending.outcome.status, ending.outcome.hops) == ("That is all.", "completed", 0)


def test_the_same_work_handed_on_again_and_again_is_a_repetition() -> None:
    def script(request: Request) -> Reply:
        if DELEGATE not in tools_of(request):
            return text(CONCLUSION if role_of(request) == MANAGER else "Nothing more.")
        return call(DELEGATE, task="Find out more.", context="Tides.", coworker=coworker_of(request))

    with ModelServer(script, max_requests=60) as server:
        ending = crew_ended(mas_guard.wrap(endless_manager(server.url), max_hops=None))
        assert server.count < 40
    assert ending.outcome.rule == "repetition" and ending.outcome.status == "partial"


def test_a_manager_of_the_users_own_is_the_owner() -> None:
    with ModelServer(delegate_for_ever) as server:
        chat = model(server.url)
        boss = Agent(role="Boss", goal="Lead.", backstory="You lead.", llm=chat, allow_delegation=True)
        worker = agent(RESEARCHER, chat)
        crew = Crew(
            agents=[worker],
            tasks=[Task(description="Report.", expected_output="A text", agent=worker)],
            process=Process.hierarchical,
            manager_agent=boss,
        )

        ending = crew_ended(mas_guard.wrap(crew, max_hops=3))
        assert role_of(server.requests[-1]) == "Boss"
    assert (ending.outcome.run.owner, ending.outcome.hops, ending.outcome.status) == ("Boss", 3, "partial")
