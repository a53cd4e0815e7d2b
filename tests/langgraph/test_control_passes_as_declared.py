"""Transfers to nobody, static edges beside `goto`, parallel branches, declared sequences."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from langgraph_swarm import create_handoff_tool, create_swarm

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, model, talking_node


def swarm_with_a_ghost(url: str) -> Any:
    """Alice may hand on to Bob, and to a ghost that is no node of the graph."""
    chat = model(url)
    to_bob, to_ghost = create_handoff_tool(agent_name="bob"), _to("ghost")
    alice = create_agent(chat, [to_ghost, to_bob], name="alice", system_prompt="You are alice.")
    bob = create_agent(chat, [create_handoff_tool(agent_name="alice")], name="bob", system_prompt="You are bob.")
    return create_swarm([alice, bob], default_active_agent="alice").compile()


def _to(name: str) -> Any:
    @tool(f"transfer_to_{name}")
    def transfer(state: Annotated[Any, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Hand on."""
        done = ToolMessage(f"Successfully transferred to {name}", tool_call_id=tool_call_id, name=f"transfer_to_{name}")
        return Command(
            goto=name, graph=Command.PARENT, update={"messages": [*state["messages"], done], "active_agent": name}
        )

    return transfer


def tries_the_ghost_first(request: Request) -> Reply:
    if "bob" in request.system:
        return text("Bob settled it.")
    denied = any("not transferred" in str(message["content"]) for message in request.messages)
    return call("transfer_to_bob") if denied else call("transfer_to_ghost")


def test_bare_a_transfer_to_nobody_ends_as_a_silent_success() -> None:
    with ModelServer(tries_the_ghost_first) as server:
        state = swarm_with_a_ghost(server.url).invoke(QUESTION)
    assert state["messages"][-1].content == "Successfully transferred to ghost"


def test_guarded_the_model_is_told_who_there_is_and_goes_on() -> None:
    with ModelServer(tries_the_ghost_first) as server:
        state = mas_guard.wrap(swarm_with_a_ghost(server.url)).invoke(QUESTION)
        told = server.requests[1].last_text
    assert "ghost does not exist" in told and "alice, bob" in told
    assert state["messages"][-1].content == "Bob settled it."
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.hops, outcome.path) == ("completed", 1, ("alice", "bob"))


def test_a_target_outside_the_users_list_is_denied() -> None:
    def script(request: Request) -> Reply:
        if "bob" in request.system:
            return text("Bob should not have been asked.")
        denied = any("not transferred" in str(message["content"]) for message in request.messages)
        return text("Settled by alice herself.") if denied else call("transfer_to_bob")

    with ModelServer(script) as server:
        app = mas_guard.wrap(swarm_with_a_ghost(server.url), agents={"alice": {"targets": ["carol"]}})
        state = app.invoke(QUESTION)
    assert state["messages"][-1].content == "Settled by alice herself."
    assert mas_guard.outcome(state).hops == 0


def two_agents_with_an_edge_and_a_goto(url: str) -> Any:
    chat = model(url)

    def first(state: MessagesState) -> Command[Literal["second", "third"]]:
        return Command(goto="third", update={"messages": [chat.invoke(state["messages"])]})

    graph = StateGraph(MessagesState)
    graph.add_node("first", first)
    graph.add_node("second", talking_node(chat, "second"))
    graph.add_node("third", talking_node(chat, "third"))
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", "first")
    graph.add_edge("third", "first")
    return graph.compile()


@pytest.mark.parametrize("limit", [4, 12])
def test_an_edge_beside_a_goto_ends_at_the_cap_with_the_owner_alone(limit: int) -> None:
    def script(request: Request) -> Reply:
        return text(OWNER_ANSWER if "[mas-guard]" in request.last_text else f"round {request.index}")

    with ModelServer(script) as server:
        state = mas_guard.wrap(two_agents_with_an_edge_and_a_goto(server.url), max_hops=limit).invoke(QUESTION)
        concluding = [request for request in server.requests if "[mas-guard]" in request.last_text]
        assert len(concluding) == 1 and concluding[0] is server.requests[-1]
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule) == ("partial", "hops")
    assert limit <= outcome.hops <= limit + 1
    assert state["messages"][-1].content == OWNER_ANSWER


def branches_that_meet_again(url: str) -> Any:
    chat = model(url)
    graph = StateGraph(MessagesState)
    for name in ("lead", "left", "right"):
        graph.add_node(name, talking_node(chat, name))
    graph.add_node("meet", lambda state: {})
    graph.add_edge(START, "lead")
    graph.add_edge("lead", "left")
    graph.add_edge("lead", "right")
    graph.add_edge(["left", "right"], "meet")
    graph.add_edge("meet", "lead")
    return graph.compile()


def test_branches_started_together_are_one_hop_and_a_stop_ends_all_of_them() -> None:
    def script(request: Request) -> Reply:
        return text(OWNER_ANSWER if "[mas-guard]" in request.last_text else f"round {request.index}")

    with ModelServer(script) as server:
        state = mas_guard.wrap(branches_that_meet_again(server.url), max_hops=3).invoke(QUESTION)
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule) == ("partial", "hops")
    assert state["messages"][-1].content == OWNER_ANSWER


def test_a_chain_of_twenty_agents_cannot_repeat_and_is_not_counted() -> None:
    with ModelServer(lambda request: text(f"part {request.index}")) as server:
        chat = model(server.url)
        graph = StateGraph(MessagesState)
        names = [f"agent{number}" for number in range(20)]
        for name in names:
            graph.add_node(name, talking_node(chat, name))
        for before, after in zip([START, *names], [*names, END], strict=True):
            graph.add_edge(before, after)
        state = mas_guard.wrap(graph.compile()).invoke(QUESTION)
        assert server.count == 20
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.hops) == ("completed", 0)
    assert outcome.path == tuple(names)


def test_agent_and_tools_moves_do_not_count() -> None:
    @tool
    def look_up(page: int) -> str:
        """Look a page up."""
        return f"page {page} says {page * 7}"

    def script(request: Request) -> Reply:
        return call("look_up", page=request.index) if request.index < 40 else text("Read forty pages.")

    with ModelServer(script) as server:
        state = mas_guard.wrap(create_agent(model(server.url), [look_up])).invoke(QUESTION, {"recursion_limit": 200})
        assert server.count == 41
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.hops) == ("completed", 0)


def test_an_owner_that_is_no_node_is_refused_with_the_nearest_name() -> None:
    with ModelServer([]) as server, pytest.raises(mas_guard.ConfigError, match="did you mean 'alice'"):
        mas_guard.wrap(swarm_with_a_ghost(server.url), owner="alcie")
