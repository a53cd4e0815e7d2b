"""One run across frameworks: a crew in a graph's node, or in another SDK's tool, is part of the run around it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from crewai import Crew
from crewai.hooks.dispatch import HookAborted
from openai import OpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.clock import Clock
from tests.crewai.crews import (
    ANSWERS,
    MANAGER,
    RESEARCHER,
    ROLES,
    WRITER,
    agent,
    circle,
    delegate_for_ever,
    endless_manager,
    hand_on_for_ever,
    kickoff,
    model,
    report_crew,
    report_script,
    role_of,
)
from tests.crewai.endings import NOTHING, Ending, awaited, ended
from tests.crewai.more_crews import graph_with_crew

QUESTION = {"question": "When do the tides come?"}
HEADLINE = "Moon!"

graphs = pytest.mark.skipif(importlib.util.find_spec("langgraph") is None, reason="LangGraph is not installed here")
agents = pytest.mark.skipif(importlib.util.find_spec("agents") is None, reason="the Agents SDK is not installed here")


def answers(request: Request) -> Reply:
    """The crew reports; who is no agent of a crew gets a headline."""
    return report_script(request) if role_of(request) in (*ROLES, MANAGER) else text(HEADLINE)


def goes_round(request: Request) -> Reply:
    return hand_on_for_ever(request) if role_of(request).startswith("Worker") else text(HEADLINE)


def heard(app: Any, **settings: Any) -> tuple[Any, list[mas_guard.Outcome]]:
    outcomes: list[mas_guard.Outcome] = []
    return mas_guard.wrap(app, on_outcome=outcomes.append, **settings), outcomes


def invoked(graph: Any, way: str) -> Ending:
    if way == "invoke":
        return ended(lambda: graph.invoke(QUESTION))
    return awaited(lambda: graph.ainvoke(QUESTION))


WAYS = ("invoke", "ainvoke")


# -- a crew in a graph's node --------------------------------------------------------------------------------------


@graphs
@pytest.mark.parametrize("way", WAYS)
def test_a_crew_in_a_node_is_part_of_the_graphs_run(way: str) -> None:
    with ModelServer(answers) as server:
        graph, outcomes = heard(graph_with_crew(server.url))
        ending = invoked(graph, way)
        assert server.count == 4
    assert (ending.result["report"], ending.result["headline"]) == (ANSWERS[WRITER], HEADLINE)
    (outcome,) = outcomes
    assert (outcome.status, outcome.spent.model_calls, outcome.hops, outcome.notes) == ("completed", 4, 0, ())
    assert outcome.run.agents >= set(ROLES)


@graphs
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare crew", "wrapped crew"])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_the_graphs_budget_stops_the_crew_and_the_stop_passes_out(calls: int, wrapped: bool) -> None:
    def make(url: str) -> Crew:
        return mas_guard.wrap(report_crew(url)) if wrapped else report_crew(url)

    with ModelServer(answers) as server:
        graph, outcomes = heard(graph_with_crew(server.url, make), budget={"model_calls": calls}, on_limit="abort")
        ending = invoked(graph, "invoke")
        assert server.count == calls
    assert isinstance(ending.error, mas_guard.BudgetExceeded)
    assert (len(outcomes), outcomes[0].status, ending.held) == (1, "aborted", [NOTHING])


@graphs
@pytest.mark.parametrize(
    ("make", "script"), [(endless_manager, delegate_for_ever), (circle, goes_round)], ids=["manager", "circle"]
)
def test_delegation_in_the_crew_counts_towards_the_graphs_hops(make: Callable[[str], Crew], script: Any) -> None:
    with ModelServer(script) as server:
        graph, outcomes = heard(graph_with_crew(server.url, make), max_hops=4, on_limit="abort")
        ending = invoked(graph, "invoke")
        assert server.count < 20
    assert isinstance(ending.error, mas_guard.HopLimitExceeded) and ending.error.hops == 4
    assert (len(outcomes), outcomes[0].hops) == (1, 4)


@graphs
@pytest.mark.parametrize("way", WAYS)
def test_the_deadline_spans_both(guard: mas_guard.Guard, clock: Clock, way: str) -> None:
    def script(request: Request) -> Reply:
        clock.advance(25)
        return answers(request)

    with ModelServer(script) as server:
        graph = guard.wrap(graph_with_crew(server.url), deadline=60, on_limit="abort")
        ending = invoked(graph, way)
        assert server.count == 3
    assert isinstance(ending.error, mas_guard.DeadlineExceeded)


@graphs
def test_the_owner_of_the_run_is_the_graphs() -> None:
    with ModelServer(goes_round) as server:
        graph, outcomes = heard(graph_with_crew(server.url, circle), max_hops=4)
        ending = invoked(graph, "invoke")
    assert isinstance(ending.error, mas_guard.HopLimitExceeded)  # the entry node is a plain function: nobody concludes
    assert outcomes[0].run.owner not in ("Worker0", "Worker1", "Worker2")


@graphs
def test_nothing_that_a_node_catches_lets_another_call_out() -> None:
    from langgraph.graph import END, START, StateGraph

    tries: list[str] = []

    def research(state: dict[str, Any]) -> dict[str, Any]:
        for _ in range(5):
            try:
                tries.append(str(kickoff(report_crew(server.url)).raw))
            except Exception as error:
                tries.append(type(error).__name__)
        return {"report": "all is well"}

    with ModelServer(answers) as server:
        graph = StateGraph(dict)
        graph.add_node("research", research)
        graph.add_edge(START, "research")
        graph.add_edge("research", END)
        app, _ = heard(graph.compile(), budget={"model_calls": 4}, on_limit="abort")
        ending = ended(lambda: app.invoke({}))
        assert server.count == 4
    assert len(tries) == 5 and isinstance(ending.error, mas_guard.BudgetExceeded)


@graphs
def test_a_crew_with_narrower_limits_of_its_own_ends_by_them() -> None:
    def make(url: str) -> Crew:
        return mas_guard.wrap(report_crew(url), budget={"model_calls": 2}, on_limit="abort")

    with ModelServer(answers) as server:
        graph, _ = heard(graph_with_crew(server.url, make))
        ending = invoked(graph, "invoke")
        assert server.count == 2
    assert isinstance(ending.error, mas_guard.BudgetExceeded)


@graphs
def test_a_graph_in_a_crews_tool_is_part_of_the_crews_run() -> None:
    from crewai.tools import tool

    from tests.crewai.crews import one_task

    def script(request: Request) -> Reply:
        if role_of(request) == RESEARCHER and request.tool_names and request.messages[-1]["role"] != "tool":
            return call("ask", question="When?")
        return answers(request)

    with ModelServer(script) as server:

        @tool("ask")
        def ask(question: str) -> str:
            """Ask a graph."""
            return str(graph_with_crew(server.url).invoke(QUESTION)["headline"])

        crew, outcomes = heard(one_task(server.url, tools=[ask]))
        ending = ended(lambda: kickoff(crew))
        assert server.count == 1 + 4 + 1
    assert ending.raw == ANSWERS[RESEARCHER]
    assert [(outcome.status, outcome.spent.model_calls) for outcome in outcomes] == [("completed", 6)]


# -- a crew in another SDK's tool ----------------------------------------------------------------------------------


def front(url: str, make: Callable[[str], Crew], *, swallows: bool = False) -> Any:
    """An agent of the Agents SDK whose tool kicks a crew off."""
    from agents import Agent, OpenAIChatCompletionsModel, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    @function_tool
    async def research(question: str) -> str:
        """Look into it."""
        try:
            return str((await make(url).akickoff()).raw)
        except Exception:
            if swallows:
                return "all is well"
            raise

    chat = OpenAIChatCompletionsModel("gpt-4o-mini", AsyncOpenAI(base_url=url, api_key="unused", max_retries=0))
    return Agent[Any](name="front", instructions="You stand in front.", model=chat, tools=[research])


def researches(request: Request) -> Reply:
    """The front asks once and answers; in the crew they go round, or report."""
    if "You stand in front." not in request.system:
        return goes_round(request) if role_of(request).startswith("Worker") else answers(request)
    if request.body.get("tool_choice") == "none":
        return text("This is known so far.")
    asked = any(message["role"] == "tool" for message in request.messages)
    return text("That is all.") if asked else call("research", question="When?")


def ran(agent: Any) -> Ending:
    from agents import Runner

    return awaited(lambda: Runner.run(agent, "When do the tides come?"))


@agents
def test_a_crew_in_a_tool_is_part_of_the_agents_run() -> None:
    with ModelServer(researches) as server:
        agent, outcomes = heard(front(server.url, report_crew))
        ending = ran(agent)
        assert server.count == 5 and server.requests[-1].last_text == ANSWERS[WRITER]
    assert ending.result.final_output == "That is all."
    (outcome,) = outcomes
    assert (outcome.status, outcome.spent.model_calls, outcome.spent.tool_calls) == ("completed", 5, 1)
    assert outcome.run.owner == "front"


@agents
@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("limits", [{"budget": {"model_calls": 4}}, {"max_hops": 3}], ids=["budget", "hops"])
def test_a_crew_that_is_stopped_in_a_tool_is_a_failure_to_the_agent_which_concludes(
    limits: dict[str, Any], swallows: bool
) -> None:
    with ModelServer(researches) as server:
        agent, outcomes = heard(front(server.url, circle, swallows=swallows), **limits)
        ending = ran(agent)
        assert server.count <= (4 if "budget" in limits else 8)
        told = [message["content"] for message in server.requests[-1].messages if message["role"] == "tool"]
    assert ending.result.final_output == "This is known so far."
    assert [answer.startswith("failed") for answer in told] == [True]
    assert [(outcome.status, outcome.run.owner) for outcome in outcomes] == [("partial", "front")]


@agents
@pytest.mark.parametrize("swallows", [False, True])
def test_with_abort_a_stop_of_a_crew_in_a_tool_comes_out_of_the_run(swallows: bool) -> None:
    with ModelServer(researches) as server:
        agent, _ = heard(front(server.url, circle, swallows=swallows), budget={"model_calls": 4}, on_limit="abort")
        ending = ran(agent)
        assert server.count == 4
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]


# -- plain Python around all ---------------------------------------------------------------------------------------


def test_a_crew_and_a_raw_client_in_one_plain_run_share_its_budget() -> None:
    with ModelServer(answers) as server:
        with OpenAI(base_url=server.url, api_key="unused", max_retries=0) as client:
            with pytest.raises(mas_guard.BudgetExceeded):
                with mas_guard.run("task", budget={"model_calls": 5}, on_limit="abort"):
                    for _ in range(3):
                        kickoff(report_crew(server.url))
                        client.chat.completions.create(
                            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]
                        )
        assert server.count == 5


def test_a_stop_of_an_agent_that_is_kicked_off_in_a_plain_run_is_one_that_crewai_lets_pass() -> None:
    """A guardrail in words asks a model of its own, and takes an ordinary error for a refusal."""
    with ModelServer(lambda request: text('{"valid": false, "feedback": "No poem."}')) as server:
        with pytest.raises(HookAborted) as caught:
            with mas_guard.run("task", budget={"model_calls": 2}, on_limit="abort"):
                agent(RESEARCHER, model(server.url), guardrail="It must be a poem.").kickoff("Write.")
        assert server.count == 2
    assert isinstance(caught.value, mas_guard.BudgetExceeded)
