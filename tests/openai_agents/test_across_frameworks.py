"""One run across frameworks: one budget, one hop counter, one deadline, one owner, whichever opens it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

pytest.importorskip("langgraph")

from agents import Agent, Runner, function_tool
from langgraph.graph import MessagesState

import mas_guard
from mas_guard._engine import Engine
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.clock import Clock
from tests.langgraph import apps as graphs
from tests.openai_agents.apps import OWNER_ANSWER, circle, hand_on_for_ever, model

ROOT = Path(__file__).parents[2]
QUESTION = graphs.QUESTION
PLAN, SUMMARY = "This is the plan.", "This is the summary."


def planned(request: Request) -> Reply:
    """The planner and the writer answer; the agents between them hand on for ever."""
    if "planner" in request.system:
        return text(PLAN)
    return text(SUMMARY) if "writer" in request.system else hand_on_for_ever(request)


def node_of(agent: Any, kind: str) -> Any:
    """A node that runs the agent, as user code does it."""

    async def desk(state: MessagesState) -> dict[str, Any]:
        result = await Runner.run(agent, "Settle it.", max_turns=100)
        return {"messages": [("assistant", str(result.final_output))]}

    def desk_sync(state: MessagesState) -> dict[str, Any]:
        result = Runner.run_sync(agent, "Settle it.", max_turns=100)
        return {"messages": [("assistant", str(result.final_output))]}

    return desk if kind == "async node" else desk_sync


def office(url: str, kind: str, agent: Any = None) -> Any:
    """A graph of LangChain's with a desk of the Agents SDK in its middle."""
    chat = graphs.model(url)
    planner, writer = graphs.talking_node(chat, "planner"), graphs.talking_node(chat, "writer")
    planner.__name__, writer.__name__ = "planner", "writer"
    return graphs.chain(planner, node_of(agent or circle(url), kind), writer)


async def invoked(graph: Any, kind: str) -> Any:
    if kind == "sync node, sync graph":
        return await asyncio.to_thread(graph.invoke, QUESTION)
    return await graph.ainvoke(QUESTION)


KINDS = ("async node", "sync node", "sync node, sync graph")


# -- a runner in a node --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_runner_in_a_node_is_part_of_the_graphs_run(kind: str) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(lambda request: text("fine", input_tokens=10, output_tokens=1)) as server:
        graph = mas_guard.wrap(office(server.url, kind), on_outcome=outcomes.append)
        state = await invoked(graph, kind)
        assert server.count == 3
    assert [message.content for message in state["messages"][1:]] == ["fine"] * 3
    (outcome,) = outcomes
    assert (outcome.status, outcome.spent.model_calls, outcome.spent.tokens) == ("completed", 3, 33)
    assert outcome.run.owner == "planner"
    assert outcome.run.agents >= {"planner", "alice", "writer"}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_graphs_budget_stops_the_runner_and_control_returns_to_the_graphs_owner(kind: str) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(planned) as server:
        graph = mas_guard.wrap(office(server.url, kind), budget={"model_calls": 5}, on_outcome=outcomes.append)
        state = await invoked(graph, kind)
        assert server.count == 5
        assert "[mas-guard]" in server.requests[-1].last_text
        assert "planner" in server.requests[-1].system
    assert state["messages"][-1].content == PLAN
    assert [(outcome.status, outcome.rule, outcome.run.owner) for outcome in outcomes] == [
        ("partial", "budget", "planner")
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"budget": {"model_calls": 5}}, mas_guard.BudgetExceeded),
        ({"max_hops": 3}, mas_guard.HopLimitExceeded),
        ({"budget": {"tokens": 3000}}, mas_guard.BudgetExceeded),
    ],
    ids=["model calls", "hops", "tokens"],
)
async def test_with_abort_a_stop_in_the_runner_is_raised_by_the_graph(
    kind: str, limits: dict[str, Any], error: type[mas_guard.GuardStopped]
) -> None:
    with ModelServer(planned) as server:
        graph = mas_guard.wrap(office(server.url, kind), on_limit="abort", **limits)
        with pytest.raises(error) as caught:
            await invoked(graph, kind)
        assert server.count == caught.value.outcome.spent.model_calls < 10
        assert not any("writer" in request.system for request in server.requests)
    assert caught.value.outcome.status == "aborted"
    assert not any(caught.value.run.ledger.read(caught.value.run.account).held)


async def test_hops_of_both_frameworks_are_one_count() -> None:
    def script(request: Request) -> Reply:
        name = next(name for name in (*"abcd", "alice", "bob", "carol") if f"You are {name}." in request.system)
        return call(request.tool_names[0]) if name in ("alice", "bob") else text(f"{name} has spoken")

    with ModelServer(script) as server:
        nodes = []
        for _ in range(3):  # each of these makes two hops of its own
            desk = node_of(circle(server.url), "async node")
            nodes.append(desk)
        graph = mas_guard.wrap(graphs.chain(*nodes), max_hops=5, on_limit="abort")
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            await graph.ainvoke(QUESTION)
        assert server.count == 3 + 3 + 2
    assert caught.value.hops == 5


async def test_the_deadline_spans_both_frameworks() -> None:
    clock = Clock()

    def takes_ten_seconds(request: Request) -> Reply:
        clock.advance(10)
        return planned(request)

    guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=clock))
    try:
        with ModelServer(takes_ten_seconds) as server:
            graph = guard.wrap(office(server.url, "async node"), deadline=35, on_limit="abort")
            with pytest.raises(mas_guard.DeadlineExceeded):
                await graph.ainvoke(QUESTION)
            assert server.count == 4  # one of the planner's, three of the desk's
    finally:
        guard.uninstrument()


# -- a graph in a tool ---------------------------------------------------------------------------------------------


def with_graph(url: str, graph: Callable[[], Any], kind: str) -> Agent[Any]:
    """An agent whose tool invokes a graph, as user code does it."""

    @function_tool(name_override="research")
    async def research_async(question: str) -> str:
        """Look into it."""
        state = await graph().ainvoke({"messages": [("user", question)]})
        return str(state["messages"][-1].content)

    @function_tool(name_override="research")
    def research(question: str) -> str:
        """Look into it."""
        return str(graph().invoke({"messages": [("user", question)]})["messages"][-1].content)

    @function_tool(name_override="research")
    def research_swallowing(question: str) -> str:
        """Look into it."""
        try:
            return str(graph().invoke({"messages": [("user", question)]})["messages"][-1].content)
        except Exception:
            return ""

    tool = {"async tool": research_async, "sync tool": research, "tool that swallows everything": research_swallowing}
    return Agent[Any](name="front", instructions="You are front.", model=model(url), tools=[tool[kind]])


def researches(request: Request) -> Reply:
    """The front asks its tool once, and then answers; in the graph they hand on for ever."""
    if "You are front." not in request.system:
        return hand_on_for_ever(request)
    if request.body.get("tool_choice") == "none":
        return text(OWNER_ANSWER)
    asked = any(message["role"] == "tool" for message in request.messages)
    return text("That is all.") if asked else call("research", question="why?")


TOOLS = ("async tool", "sync tool", "tool that swallows everything")


@pytest.mark.parametrize("kind", TOOLS)
async def test_a_graph_in_a_tool_is_part_of_the_agents_run(kind: str) -> None:
    def script(request: Request) -> Reply:
        return researches(request) if "You are front." in request.system else text("found", input_tokens=10)

    with ModelServer(script) as server:
        agent = mas_guard.wrap(with_graph(server.url, lambda: graphs.swarm(server.url), kind))
        result = await Runner.run(agent, "Settle it.")
        assert server.count == 3
        assert server.requests[-1].last_text == "found"
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.spent.model_calls, outcome.spent.tool_calls) == ("completed", 3, 1)
    assert (outcome.run.owner, result.final_output) == ("front", "That is all.")


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("limits", [{"budget": {"model_calls": 6}}, {"max_hops": 3}], ids=["budget", "hops"])
async def test_a_graph_that_is_stopped_in_a_tool_is_a_failure_to_the_agent_which_concludes(
    kind: str, limits: dict[str, Any]
) -> None:
    with ModelServer(researches) as server:
        agent = mas_guard.wrap(with_graph(server.url, lambda: graphs.swarm(server.url), kind), **limits)
        result = await Runner.run(agent, "Settle it.")
        assert server.count <= 6
        told = [message["content"] for message in server.requests[-1].messages if message["role"] == "tool"]
    assert [answer.startswith("failed") for answer in told] == [True]
    assert (result.final_output, result.last_agent.name) == (OWNER_ANSWER, "front")
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "budget" if "budget" in limits else "hops")


@pytest.mark.parametrize("kind", TOOLS)
async def test_with_abort_a_stop_of_a_graph_in_a_tool_is_raised_by_the_runner(kind: str) -> None:
    with ModelServer(researches) as server:
        agent = mas_guard.wrap(
            with_graph(server.url, lambda: graphs.swarm(server.url), kind), budget={"model_calls": 6}, on_limit="abort"
        )
        with pytest.raises(mas_guard.BudgetExceeded):
            await Runner.run(agent, "Settle it.")
        assert server.count == 6


@pytest.mark.parametrize("kind", TOOLS)
async def test_a_graph_with_narrower_limits_of_its_own_ends_by_itself_as_a_failure(kind: str) -> None:
    with ModelServer(researches) as server:
        agent = mas_guard.wrap(with_graph(server.url, lambda: graph, kind))
        graph = mas_guard.wrap(graphs.swarm(server.url), budget={"model_calls": 2})
        result = await Runner.run(agent, "Settle it.")
        assert server.count == 4
        assert "status failed" in server.requests[-1].last_text
    assert result.final_output == "That is all."
    assert mas_guard.outcome(result).status == "partial"


@pytest.mark.parametrize("kind", ["async", "sync", "swallows everything"])
async def test_a_runner_that_is_stopped_in_a_tool_of_a_graph_is_a_failure_to_the_graphs_agent(kind: str) -> None:
    def script(request: Request) -> Reply:
        if "You are clerk." not in request.system:
            return hand_on_for_ever(request)
        answered = any(message["role"] == "tool" for message in request.messages)
        return text("That is all.") if answered else call("ask_desk")

    with ModelServer(script) as server:
        alice = mas_guard.wrap(circle(server.url), budget={"model_calls": 2})

        def ask_desk() -> str:
            """Ask the desk."""
            return str(Runner.run_sync(alice, "Settle it.").final_output)

        async def ask_desk_async() -> str:
            """Ask the desk."""
            return str((await Runner.run(alice, "Settle it.")).final_output)

        def ask_desk_swallowing() -> str:
            """Ask the desk."""
            try:
                return ask_desk()
            except Exception:
                return ""

        tool = {"sync": ask_desk, "async": ask_desk_async, "swallows everything": ask_desk_swallowing}[kind]
        tool.__name__ = "ask_desk"
        graph = mas_guard.wrap(graphs.toolbox(server.url, tool))
        state = await graph.ainvoke(QUESTION)
        assert server.count == 4
        told = server.requests[-1].last_text
    assert "failed" in told and "2 spent" in told
    assert state["messages"][-1].content == "That is all."
    assert mas_guard.outcome(state).status == "partial"


@pytest.mark.parametrize("first", ["graph", "agent"])
async def test_apps_of_both_frameworks_can_be_wrapped_in_either_order(first: str) -> None:
    with ModelServer(lambda request: text("done")) as server:
        agent, graph = circle(server.url), graphs.swarm(server.url)
        if first == "graph":
            graph, agent = mas_guard.wrap(graph), mas_guard.wrap(agent)
        else:
            agent, graph = mas_guard.wrap(agent), mas_guard.wrap(graph)
        assert mas_guard.outcome(await Runner.run(agent, "hello")).status == "completed"
        assert mas_guard.outcome(await graph.ainvoke(QUESTION)).status == "completed"


# -- plain Python around both --------------------------------------------------------------------------------------


async def test_two_runners_and_a_graph_in_one_plain_run_share_its_budget() -> None:
    with ModelServer(lambda request: text("done")) as server:
        with pytest.raises(mas_guard.BudgetExceeded):
            with mas_guard.run("task", budget={"model_calls": 3}, on_limit="abort") as run:
                await Runner.run(circle(server.url), "first")
                await graphs.swarm(server.url).ainvoke(QUESTION)
                await Runner.run(circle(server.url), "second")
                assert run.spent.model_calls == 3
                await Runner.run(circle(server.url), "third")
        assert server.count == 3


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_runner_in_a_plain_run_goes_back_to_its_owner_whatever_ran_before_it(before: int) -> None:
    def script(request: Request) -> Reply:
        return text("Easy.") if "easy" in request.messages[1]["content"] else hand_on_for_ever(request)

    with ModelServer(script) as server:
        alice = circle(server.url)
        with mas_guard.run("task", max_hops=3):
            for _ in range(before):
                assert (await Runner.run(alice, "easy")).final_output == "Easy."
            result = await Runner.run(alice, "hard", max_turns=100)
        assert (result.final_output, result.last_agent) == (OWNER_ANSWER, alice)
    outcome = mas_guard.last_outcome()
    assert outcome is not None
    assert (outcome.status, outcome.rule, outcome.run.owner) == ("partial", "hops", "alice")


# -- armed before the other framework is there ---------------------------------------------------------------------

GRAPH_FIRST = """
    from tests.langgraph import apps as graphs
    import mas_guard, sys

    assert "agents" not in sys.modules

    async def desk(state):
        from agents import Runner, set_tracing_disabled
        from tests.openai_agents.apps import circle
        set_tracing_disabled(True)
        return {"messages": [("assistant", (await Runner.run(circle(url), "Settle it.")).final_output)]}

    app = mas_guard.wrap(graphs.chain(desk), **limits)
    run = lambda: app.ainvoke(graphs.QUESTION)
"""
AGENT_FIRST = """
    from agents import Agent, Runner, function_tool, set_tracing_disabled
    from tests.openai_agents.apps import model
    import mas_guard, sys

    assert "langgraph" not in sys.modules
    set_tracing_disabled(True)

    @function_tool
    async def research() -> str:
        from tests.langgraph import apps as graphs
        return (await graphs.swarm(url).ainvoke(graphs.QUESTION))["messages"][-1].content

    app = mas_guard.wrap(Agent(name="front", model=model(url), tools=[research]), **limits)
    run = lambda: Runner.run(app, "Settle it.")
"""


@pytest.mark.parametrize("code", [GRAPH_FIRST, AGENT_FIRST], ids=["graph first", "agent first"])
def test_an_app_wrapped_before_the_other_framework_is_imported_has_one_budget(code: str) -> None:
    opening = 'import asyncio, os\nurl = os.environ["MODEL_SERVER"]\n'
    opening += 'limits = {"budget": {"model_calls": 5}, "on_limit": "abort"}\n'
    ending = "\ntry:\n    asyncio.run(run())\nexcept mas_guard.BudgetExceeded as stop:\n"
    ending += '    print("stopped at", stop.outcome.spent.model_calls)\n'
    with ModelServer(hand_on_for_ever, max_requests=30) as server:
        found = subprocess.run(
            [sys.executable, "-c", opening + dedent(code) + ending],
            cwd=ROOT,
            env={**os.environ, "MODEL_SERVER": server.url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        assert (found.stdout.splitlines()[-1:], server.count) == (["stopped at 5"], 5)
