"""An agent's own budget ends that agent, and whoever gave it the work goes on."""

from __future__ import annotations

from typing import Any

import pytest
from crewai import Crew, Task
from crewai.tools import tool

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    CONCLUSION,
    DELEGATE,
    RESEARCHER,
    WRITER,
    agent,
    charge_for_ever,
    charging_crew,
    coworker_of,
    model,
    report_crew,
    report_script,
    role_of,
    tools_of,
)
from tests.crewai.endings import NOTHING, crew_ended


def delegates_once(request: Request) -> Reply:
    """The manager delegates once and reports; whoever is asked looks things up for ever."""
    if DELEGATE not in request.tool_names:
        return call("look_up", page=request.index) if tools_of(request) else text(CONCLUSION)
    if any(message["role"] == "tool" for message in request.messages):
        return text("The researcher did not get through.")
    return call(DELEGATE, task="Find out.", context="Tides.", coworker=coworker_of(request))


def with_researcher(url: str) -> Crew:
    """A lead who can delegate to a researcher with a tool."""

    @tool("look_up")
    def look_up(page: int) -> str:
        """Look a page up."""
        return f"page {page}"

    researcher = agent(RESEARCHER, model(url), tools=[look_up])
    lead = agent("Lead", model(url), allow_delegation=True)
    return Crew(agents=[lead, researcher], tasks=[Task(description="Report.", expected_output="A report", agent=lead)])


@pytest.mark.parametrize(
    "settings",
    [
        {"agents": {RESEARCHER: {"budget": {"model_calls": 3}}}},
        {"agents": {RESEARCHER: {"budget": {"tool_calls": 2}}}},
        {"agent_budget": {"model_calls": 3}},
    ],
    ids=["model calls", "tool calls", "AGENT_BUDGET"],
)
def test_an_agents_own_budget_ends_it_and_control_goes_back_to_who_delegated(settings: dict[str, Any]) -> None:
    with ModelServer(delegates_once, max_requests=20) as server:
        ending = crew_ended(mas_guard.wrap(with_researcher(server.url), **settings))
        assert server.count == 5
        assert "status failed" in server.requests[-1].last_text and repr(RESEARCHER) in server.requests[-1].last_text
    assert (ending.error, ending.raw) == (None, "The researcher did not get through.")
    assert (ending.outcome.status, ending.outcome.rule) == ("partial", "budget")
    assert RESEARCHER in ending.outcome.reason and ending.held == [NOTHING]


def test_the_only_agents_own_budget_is_raised_with_its_outcome() -> None:
    with ModelServer(charge_for_ever) as server:
        ending = crew_ended(mas_guard.wrap(charging_crew(server.url, []), agent_budget={"model_calls": 3}))
        assert server.count == 3
    assert isinstance(ending.error, mas_guard.BudgetExceeded)
    assert (ending.outcome.status, ending.outcome.rule, ending.held) == ("aborted", "budget", [NOTHING])


def test_a_task_of_the_crew_that_is_ended_by_it_is_told_to_the_next_and_named_by_the_outcome() -> None:
    with ModelServer(report_script) as server:
        ending = crew_ended(mas_guard.wrap(report_crew(server.url), agents={RESEARCHER: {"budget": {"tokens": 5}}}))
        assert [role_of(request) for request in server.requests] == [ANALYST, WRITER]
        assert "status failed" in server.requests[0].last_text and repr(RESEARCHER) in server.requests[0].last_text
    assert (ending.error, ending.raw) == (None, ANSWERS[WRITER])
    assert (ending.outcome.status, ending.outcome.rule) == ("partial", "budget")
    assert ending.outcome.envelopes[RESEARCHER].status == "failed" and ending.held == [NOTHING]
