"""An agent's own limit ends that agent's invocation as failed; its caller's model is told and the run goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.graph import MessagesState

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.langgraph.apps import QUESTION, chain, model, supervisor_with_tools, swarm, talking_node


def look_up(order: str) -> str:
    """Look an order up."""
    return f"order {order}: nothing found"


def script(request: Request) -> Reply:
    """The worker looks up for ever; the boss delegates once and then answers."""
    if "look_up" in request.tool_names:
        return Reply(tool_calls=(ToolCallReply("look_up", {"order": str(request.index)}),))
    if any(message["role"] == "tool" for message in request.messages):
        return text("The clerk did not get through.")
    return call("transfer_to_clerk")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    "settings",
    [
        {"agent_budget": {"model_calls": 3}},
        {"agents": {"clerk": {"budget": {"model_calls": 3}}}},
        {"agents": {"clerk": {"budget": {"tool_calls": 2}}}},
    ],
    ids=["AGENT_BUDGET", "agents.NAME model calls", "agents.NAME tool calls"],
)
def test_the_invocation_fails_and_the_run_goes_on(settings: dict[str, Any], asynchronous: bool) -> None:
    with ModelServer(script) as server:
        app = mas_guard.wrap(supervisor_with_tools(server.url, look_up), **settings)
        state = asyncio.run(app.ainvoke(QUESTION)) if asynchronous else app.invoke(QUESTION)
        assert server.count == 5
        told = server.requests[-1].last_text
    assert "status failed" in told and "clerk" in told
    assert state["messages"][-1].content == "The clerk did not get through."
    assert not any("[mas-guard]" in str(message.content) for message in state["messages"])
    outcome = mas_guard.outcome(state)
    assert outcome.status == "partial"
    assert any("clerk" in note for note in outcome.notes)


def test_bare_the_worker_goes_on_until_the_server_gives_up() -> None:
    with ModelServer(script, max_requests=30) as server, pytest.raises(Exception, match="gave.up"):
        supervisor_with_tools(server.url, look_up).invoke(QUESTION)


def test_each_invocation_has_the_budget_anew() -> None:
    def twice(request: Request) -> Reply:
        if "look_up" in request.tool_names:
            done = sum(message["role"] == "tool" and "nothing" in message["content"] for message in request.messages)
            return text("Nothing.") if done % 2 else call("look_up", order=str(request.index))
        asked = sum(len(message.get("tool_calls", ())) for message in request.messages)
        return call("transfer_to_clerk") if asked < 3 else text("Done.")

    with ModelServer(twice) as server:
        app = mas_guard.wrap(
            supervisor_with_tools(server.url, look_up), agents={"clerk": {"budget": {"model_calls": 2}}}
        )
        outcome = mas_guard.outcome(app.invoke(QUESTION))
    assert outcome.status == "completed"


def test_an_inner_apps_own_limit_binds_its_agents_and_reaches_the_outer_one_as_a_failure() -> None:
    def both(request: Request) -> Reply:
        if request.tool_names:
            return call(request.tool_names[0])
        return text("The inner team did not get through.")

    with ModelServer(both) as server:
        team = mas_guard.wrap(swarm(server.url), budget={"model_calls": 3})

        def delegate(state: MessagesState) -> dict[str, Any]:
            return {"messages": team.invoke({"messages": state["messages"]})["messages"][-1:]}

        outer = chain(delegate, talking_node(model(server.url), "writer"))
        state = mas_guard.wrap(outer).invoke(QUESTION)
        assert server.count == 4
        assert "status failed" in server.requests[-1].last_text
    assert state["messages"][-1].content == "The inner team did not get through."
    assert mas_guard.outcome(state).status == "partial"
