"""Who answers for a crew's run, and how its concluding turn goes through the crew's own agent and model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from crewai import Agent, Crew, Process, Task
from crewai.tools import tool

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    CONCLUSION,
    MANAGER,
    RESEARCHER,
    WRITER,
    agent,
    crew_of,
    delegate_for_ever,
    endless_manager,
    hierarchical_crew,
    model,
    notes_of,
    own_model,
    raws,
    report_crew,
    report_script,
    report_tasks,
    role_of,
    tools_of,
)
from tests.crewai.observing import observe

WAYS: dict[str, Callable[[Crew], Any]] = {
    "kickoff": lambda crew: crew.kickoff(),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
}
ways = pytest.mark.parametrize("way", WAYS)
CONCLUDING = "This is your concluding turn"


def looping(request: Request) -> Reply:
    """Whoever has a tool looks things up for ever; the owner concludes."""
    if CONCLUDING in notes_of(request):
        return text(CONCLUSION)
    return call("look_up", page=request.index) if tools_of(request) else report_script(request)


@tool("look_up")
def look_up(page: int) -> str:
    """Look a page up."""
    return f"page {page}: nothing"


def crew_with_a_loop(url: str, chat: Any = None, **options: Any) -> Crew:
    """The analyst never stops looking things up."""
    tasks = report_tasks(chat or model(url))
    assert tasks[1].agent is not None
    tasks[1].agent.tools = [look_up]
    return crew_of(tasks, **options)


def owner_of(result: Any) -> str:
    return str(mas_guard.outcome(result).run.owner)


# Who it is.


def test_the_last_tasks_agent_owns_a_sequential_crew() -> None:
    with ModelServer(report_script) as server:
        assert owner_of(mas_guard.wrap(report_crew(server.url)).kickoff()) == WRITER


def test_the_manager_owns_a_hierarchical_crew() -> None:
    with ModelServer(report_script) as server:
        assert owner_of(mas_guard.wrap(hierarchical_crew(server.url)).kickoff()) == MANAGER


def managed(url: str) -> Crew:
    """A hierarchical crew with a manager of the user's own."""
    chat = model(url)
    task = Task(description="Find out.", expected_output="Times", agent=agent(RESEARCHER, chat))
    boss = agent("Boss", chat)
    return Crew(agents=[task.agent], tasks=[task], process=Process.hierarchical, manager_agent=boss)


def test_a_manager_of_the_users_own_owns_its_crew() -> None:
    with ModelServer(lambda request: text("Done.")) as server:
        assert owner_of(mas_guard.wrap(managed(server.url)).kickoff()) == "Boss"


def test_the_owner_may_be_named() -> None:
    with ModelServer(report_script) as server:
        assert owner_of(mas_guard.wrap(report_crew(server.url), owner=ANALYST).kickoff()) == ANALYST


def test_the_owner_may_be_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_OWNER", RESEARCHER)
    with ModelServer(report_script) as server:
        assert owner_of(mas_guard.wrap(report_crew(server.url)).kickoff()) == RESEARCHER


@pytest.mark.parametrize(
    ("make", "named", "hint"),
    [
        (report_crew, "Writter", "did you mean 'Writer'"),
        (report_crew, "Accountant", "it has Analyst, Researcher, Writer"),
        (report_crew, MANAGER, "OWNER='Crew Manager' is no agent of this crew"),
        (managed, MANAGER, "it has Boss, Researcher"),
    ],
)
def test_an_owner_that_is_no_agent_of_the_crew_is_refused_at_once(make: Any, named: str, hint: str) -> None:
    with ModelServer([]) as server:
        with pytest.raises(mas_guard.ConfigError, match=hint) as caught:
            mas_guard.wrap(make(server.url), owner=named)
        assert server.count == 0
    assert caught.value.key == "OWNER"


def test_a_copy_has_the_same_owner() -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(report_crew(server.url), owner=ANALYST)
        assert owner_of(crew.copy().kickoff()) == ANALYST


# Its concluding turn.


@ways
@pytest.mark.parametrize("owner", [None, WRITER, RESEARCHER, ANALYST])
def test_at_the_limit_the_owner_concludes_with_what_there_is(owner: str | None, way: str) -> None:
    settings: dict[str, Any] = {} if owner is None else {"owner": owner}
    with ModelServer(looping) as server:
        crew = mas_guard.wrap(crew_with_a_loop(server.url), budget={"model_calls": 5}, **settings)
        result = WAYS[way](crew)
        last = server.requests[-1]
        assert server.count == 5
    outcome = mas_guard.outcome(result)
    assert (result.raw, outcome.status, outcome.rule) == (CONCLUSION, "partial", "budget")
    assert role_of(last) == (owner or WRITER) and CONCLUDING in notes_of(last)
    assert sum(CONCLUDING in notes_of(request) for request in server.requests) == 1
    assert ANSWERS[RESEARCHER] in str(last.body)


@pytest.mark.parametrize("api", ["chat", "responses", "own model"])
def test_the_conclusion_goes_through_the_crews_own_model(api: str) -> None:
    def script(request: Request) -> Reply:
        if CONCLUDING in notes_of(request):
            return text(f"Thought: I must conclude.\nFinal Answer: {CONCLUSION}" if api == "own model" else CONCLUSION)
        if role_of(request) == ANALYST and api == "own model":
            return text(f'Thought: on.\nAction: look_up\nAction Input: {{"page": {request.index}}}')
        return looping(request)

    with ModelServer(script) as server:
        chat = own_model(server.url) if api == "own model" else model(server.url, api)
        result = mas_guard.wrap(crew_with_a_loop(server.url, chat), budget={"model_calls": 4}).kickoff()
        assert server.count == 4
    assert result.raw == CONCLUSION
    envelope = mas_guard.outcome(result).envelope
    assert envelope is not None and envelope.result == CONCLUSION


def test_a_manager_that_delegates_for_ever_concludes() -> None:
    with ModelServer(delegate_for_ever) as server:
        result = mas_guard.wrap(endless_manager(server.url), budget={"model_calls": 6}).kickoff()
        assert server.count == 6 and CONCLUDING in notes_of(server.requests[-1])
    outcome = mas_guard.outcome(result)
    assert (result.raw, outcome.status, outcome.run.owner) == (CONCLUSION, "partial", MANAGER)


def test_a_manager_concludes_with_what_its_coworkers_have_answered() -> None:
    with ModelServer(delegate_for_ever) as server:
        mas_guard.wrap(endless_manager(server.url), budget={"model_calls": 7}).kickoff()
        assert "Nothing more than" in str(server.requests[-1].body)


def test_an_owner_concludes_with_what_its_own_tools_have_brought() -> None:
    with ModelServer(looping) as server:
        mas_guard.wrap(crew_with_a_loop(server.url), budget={"model_calls": 5}, owner=ANALYST).kickoff()
        assert "page 1: nothing" in str(server.requests[-1].body)


def test_a_conclusion_is_streamed_without_its_directive() -> None:
    with ModelServer(looping) as server:
        crew = mas_guard.wrap(crew_with_a_loop(server.url, stream=True), budget={"model_calls": 5})
        seen = observe(crew)
    assert seen.result.raw == CONCLUSION and says_nothing_of_us(seen)


def says_nothing_of_us(seen: Any) -> bool:
    return "[mas-guard]" not in str(seen.all())


@ways
@pytest.mark.parametrize("words", ["ABORT: nothing is known", "", "ESCALATE: somebody should look"])
def test_an_owner_that_gives_no_answer_ends_the_run(words: str, way: str) -> None:
    def script(request: Request) -> Reply:
        return text(words) if CONCLUDING in notes_of(request) else looping(request)

    with ModelServer(script) as server:
        crew = mas_guard.wrap(crew_with_a_loop(server.url), budget={"model_calls": 4})
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            WAYS[way](crew)
        assert server.count == 4
    assert caught.value.outcome.status == "aborted"


def test_where_nothing_is_left_to_the_owner_the_stop_is_raised() -> None:
    with ModelServer(looping) as server:
        crew = mas_guard.wrap(crew_with_a_loop(server.url), budget={"model_calls": 4}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded):
            crew.kickoff()
        assert server.count == 4
    assert raws(crew)[0] == ANSWERS[RESEARCHER]


def test_partial_gives_what_the_tasks_had_given() -> None:
    with ModelServer(looping) as server:
        crew = mas_guard.wrap(crew_with_a_loop(server.url), budget={"model_calls": 4}, on_limit="partial,abort")
        result = crew.kickoff()
        assert server.count == 4
    assert result.raw == ANSWERS[RESEARCHER]
    assert mas_guard.outcome(result).status == "partial"


def test_the_next_kickoff_of_the_crew_starts_anew() -> None:
    with ModelServer(looping) as server:
        crew = mas_guard.wrap(crew_with_a_loop(server.url), budget={"model_calls": 4})
        outcomes = [mas_guard.outcome(crew.kickoff()) for _ in range(2)]
        assert server.count == 8
    assert [outcome.status for outcome in outcomes] == ["partial", "partial"]


# Roles that CrewAI fills in at kickoff, as its own template projects write them.


def templated(url: str) -> Crew:
    chat = model(url)

    def worker(role: str, **options: Any) -> Agent:
        return Agent(role=role, goal="Work on {topic}", backstory="You are thorough.", llm=chat, **options)

    found = Task(
        description="Look into {topic}.", expected_output="Facts", agent=worker("{topic} Researcher\n", tools=[look_up])
    )
    told = Task(description="Write {topic} up.", expected_output="A text", agent=worker("{topic} Reporter\n"))
    return crew_of([found, told])


@pytest.mark.parametrize("owner", [None, "{topic} Reporter", "{topic} Researcher"])
def test_an_owner_whose_role_is_filled_in_at_kickoff_concludes(owner: str | None) -> None:
    settings: dict[str, Any] = {} if owner is None else {"owner": owner}
    with ModelServer(looping) as server:
        crew = mas_guard.wrap(templated(server.url), budget={"model_calls": 4}, **settings)
        for topic in ("Tides", "Storms"):  # the second kickoff finds the first one's roles
            result = crew.kickoff(inputs={"topic": topic})
            role = (owner or "{topic} Reporter").format(topic=topic)
            assert (result.raw, owner_of(result)) == (CONCLUSION, role)


def test_roles_that_are_filled_in_at_kickoff_are_the_names_in_the_outcome() -> None:
    with ModelServer(lambda request: text("Done.")) as server:
        outcome = mas_guard.outcome(mas_guard.wrap(templated(server.url)).kickoff(inputs={"topic": "Tides"}))
    assert set(outcome.envelopes) == {"Tides Researcher", "Tides Reporter"}
    assert outcome.path == ("Tides Researcher", "Tides Reporter")
