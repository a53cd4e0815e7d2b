"""No `except`, error handler, retry policy or tool handler keeps a stopped run alive."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, model

BUDGET = {"model_calls": 8}


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


def swallowing_node(url: str) -> Any:
    """Two nodes that call their model in a loop and ignore whatever happens."""
    chat = model(url)

    def greedy(state: State) -> dict[str, Any]:
        answers = []
        for number in range(20):
            with suppress(Exception):
                answers.append(chat.invoke(f"attempt {number}"))
        return {"messages": answers[-1:]}

    graph = StateGraph(State)
    graph.add_node("first", greedy)
    graph.add_node("second", greedy)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    return graph.compile()


def with_retry_policy(url: str) -> Any:
    chat = model(url)

    def node(state: State) -> dict[str, Any]:
        for number in range(20):
            chat.invoke(f"attempt {number}")
        return {"messages": []}

    graph = StateGraph(State)
    graph.add_node("first", node, retry_policy=RetryPolicy(max_attempts=5, retry_on=Exception, initial_interval=0))
    graph.add_edge(START, "first")
    return graph.compile()


def with_error_handler(url: str) -> Any:
    chat = model(url)

    def node(state: State) -> dict[str, Any]:
        for number in range(20):
            chat.invoke(f"attempt {number}")
        return {"messages": []}

    def handler(state: State) -> dict[str, Any]:
        return {"messages": [chat.invoke("handle it")]}

    graph = StateGraph(State)
    graph.add_node("first", node, error_handler=handler)
    graph.add_edge(START, "first")
    return graph.compile()


def with_tools_that_handle_errors(url: str) -> Any:
    chat = model(url)

    @tool
    def research(topic: str) -> str:
        """Ask an assistant."""
        return str(chat.invoke(f"about {topic}").content)

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.bind_tools([research]).invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_node("tools", ToolNode([research], handle_tool_errors=True))
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "tools")
    graph.add_edge("tools", "agent")
    return graph.compile()


def with_an_agent_as_tool(url: str) -> Any:
    chat = model(url)
    inner = create_agent(chat, [], name="researcher")

    @tool
    def research(topic: str) -> str:
        """Ask the researcher."""
        try:
            return str(inner.invoke({"messages": [("user", topic)]})["messages"][-1].content)
        except Exception:
            return ""

    return create_agent(chat, [research], name="boss")


def scripted() -> Callable[[Request], Reply]:
    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none":
            return text(OWNER_ANSWER)
        return call("research", topic=f"topic {request.index}") if request.tool_names else text(f"no {request.index}")

    return script


APPS = (
    swallowing_node, with_retry_policy, with_error_handler, with_tools_that_handle_errors, with_an_agent_as_tool,
)  # fmt: skip


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.__name__)
def test_with_abort_no_further_request_leaves_and_the_boundary_raises(app: Callable[[str], Any]) -> None:
    with ModelServer(scripted()) as server:
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            mas_guard.wrap(app(server.url), budget=BUDGET, on_limit="abort").invoke(QUESTION)
        assert server.count == 8
    assert caught.value.outcome.status == "aborted"
    assert caught.value.outcome.spent.model_calls == 8


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.__name__)
def test_under_the_default_only_the_owners_concluding_call_leaves(app: Callable[[str], Any]) -> None:
    with ModelServer(scripted()) as server:
        with suppress(mas_guard.BudgetExceeded):
            mas_guard.wrap(app(server.url), budget=BUDGET).invoke(QUESTION)
        assert server.count <= 8
    outcome = mas_guard.last_outcome()
    assert outcome is not None and outcome.status in ("partial", "aborted") and outcome.rule == "budget"


def test_a_raw_except_around_the_whole_app_still_leaves_the_outcome() -> None:
    with ModelServer(scripted()) as server:
        with suppress(Exception):
            mas_guard.wrap(swallowing_node(server.url), budget=BUDGET, on_limit="abort").invoke(QUESTION)
    outcome = mas_guard.last_outcome()
    assert outcome is not None and outcome.status == "aborted"
