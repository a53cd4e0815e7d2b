"""Users' apps, as a user writes them: nothing here knows of mas-guard."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool as as_tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

from mas_guard.testing import Reply, Request, call, text

QUESTION = {"messages": [("user", "My invoice is wrong, please settle it.")]}
OWNER_ANSWER = "We could not settle the invoice; what is known so far is enclosed."


def model(url: str, **options: Any) -> ChatOpenAI:
    """The real client over HTTP to the local server."""
    return ChatOpenAI(base_url=url, api_key="unused", **{"model": "gpt-4o-mini", "max_retries": 0, **options})


def hand_on_for_ever(request: Request) -> Reply:
    """Every agent calls its first tool; without tools, or when none may be chosen, it answers."""
    if not request.tool_names or request.body.get("tool_choice") == "none":
        return text(OWNER_ANSWER)
    return call(request.tool_names[0])


def swarm(url: str, *, checkpointer: Any = None, **options: Any) -> Any:
    """Three agents, each of which can only hand on to the next."""
    chat = model(url, **options)

    def agent(name: str, following: str) -> Any:
        return create_agent(
            chat, [create_handoff_tool(agent_name=following)], name=name, system_prompt=f"You are {name}."
        )

    agents = [agent("alice", "bob"), agent("bob", "carol"), agent("carol", "alice")]
    return create_swarm(agents, default_active_agent="alice").compile(checkpointer=checkpointer)


def supervisor(url: str, workers: tuple[str, ...] = ("research", "maths", "writing"), name: str = "boss") -> Any:
    """A supervisor over workers that answer in text; to be compiled."""
    chat = model(url)
    agents = [create_agent(chat, [], name=worker, system_prompt=f"You are {worker}.") for worker in workers]
    return create_supervisor(agents, model=chat, supervisor_name=name, prompt=f"You are {name}.")


class Jobs(TypedDict):
    """State of the fan-out."""

    jobs: list[int]
    answers: Annotated[list[str], operator.add]


def fan_out(worker: Callable[[dict[str, Any]], Any]) -> Any:
    """A plain function sends every job to a worker at once."""
    graph = StateGraph(Jobs)
    graph.add_node("plan", lambda state: {})
    graph.add_node("worker", worker)
    graph.add_node("collect", lambda state: {})
    graph.add_edge(START, "plan")
    graph.add_conditional_edges(
        "plan", lambda state: [Send("worker", {"job": job}) for job in state["jobs"]], ["worker"]
    )
    graph.add_edge("worker", "collect")
    graph.add_edge("collect", END)
    return graph.compile()


def talking_node(chat: Any, name: str) -> Callable[[MessagesState], dict[str, Any]]:
    """A node of one's own that asks the model."""

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke([("system", f"You are {name}."), *state["messages"]])]}

    return node


def toolbox(url: str, *tools: Callable[..., Any], checkpointer: Any = None, **options: Any) -> Any:
    """One agent with tools of its own."""
    return create_agent(
        model(url, **options), list(tools), name="clerk", system_prompt="You are clerk.", checkpointer=checkpointer
    )


def two_with_tools(url: str, *tools: Callable[..., Any], checkpointer: Any = None, **options: Any) -> Any:
    """Alice hands on to bob, who has tools and can hand back."""
    chat = model(url, **options)
    alice = create_agent(chat, [create_handoff_tool(agent_name="bob")], name="alice", system_prompt="You are alice.")
    bob = create_agent(
        chat, [*tools, create_handoff_tool(agent_name="alice")], name="bob", system_prompt="You are bob."
    )
    return create_swarm([alice, bob], default_active_agent="alice").compile(checkpointer=checkpointer)


def chain(*nodes: Callable[..., Any], **compiling: Any) -> Any:
    """Nodes in a row over a list of messages."""
    graph = StateGraph(MessagesState)
    names: list[str] = []
    for node in nodes:
        name = node.__name__
        names.append(f"{name}_{len(names) + 1}" if name in names else name)
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, node)
    for start, end in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(start, end)
    return graph.compile(**compiling)


def hand_made(url: str, *tools: Callable[..., Any], checkpointer: Any = None, **options: Any) -> Any:
    """A graph without prebuilt parts: a model node, and a node of one's own that carries tool calls out."""
    found = {function.__name__: as_tool(function) for function in tools}
    chat = model(url, **options).bind_tools(list(found.values()))

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke(state["messages"])]}

    def carry_out(state: MessagesState) -> dict[str, Any]:
        return {
            "messages": [
                ToolMessage(found[asked["name"]].invoke(asked["args"]), tool_call_id=asked["id"])
                for asked in state["messages"][-1].tool_calls
            ]
        }

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("carry_out", carry_out)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges(
        "ask", lambda state: "carry_out" if state["messages"][-1].tool_calls else END, ["carry_out", END]
    )
    graph.add_edge("carry_out", "ask")
    return graph.compile(checkpointer=checkpointer)


def hand_made_async(url: str, *tools: Callable[..., Any], checkpointer: Any = None, **options: Any) -> Any:
    """The same with asynchronous nodes; the tools are awaited one after the other, without LangChain's help."""
    found = {function.__name__: function for function in tools}
    chat = model(url, **options).bind_tools([as_tool(function) for function in tools])

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    async def carry_out(state: MessagesState) -> dict[str, Any]:
        return {
            "messages": [
                ToolMessage(await found[asked["name"]](**asked["args"]), tool_call_id=asked["id"])
                for asked in state["messages"][-1].tool_calls
            ]
        }

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("carry_out", carry_out)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges(
        "ask", lambda state: "carry_out" if state["messages"][-1].tool_calls else END, ["carry_out", END]
    )
    graph.add_edge("carry_out", "ask")
    return graph.compile(checkpointer=checkpointer)


def interrupt_chat(url: str, *, checkpointer: Any) -> Any:
    """A chat that takes its user's messages by `interrupt()`, until one says bye; two agents answer."""

    def human(state: MessagesState) -> Command[Any]:
        said = interrupt("Your message?")
        return Command(goto=END if said == "bye" else "desk", update={"messages": [("user", said)]})

    graph = StateGraph(MessagesState)
    graph.add_node("desk", two_with_tools(url))
    graph.add_node("human", human, destinations=("desk", END))
    graph.add_edge(START, "desk")
    graph.add_edge("desk", "human")
    return graph.compile(checkpointer=checkpointer)


def supervisor_with_tools(url: str, *tools: Callable[..., Any]) -> Any:
    """A boss over one clerk, who has tools."""
    chat = model(url)
    clerk = create_agent(chat, list(tools), name="clerk", system_prompt="You are clerk.")
    return create_supervisor([clerk], model=chat, supervisor_name="boss", prompt="You are boss.").compile()
