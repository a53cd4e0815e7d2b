"""The adapter contract, over LangGraph apps."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send

from mas_guard.testing.adapter_contract import WORKER, AdapterContract
from tests.langgraph.apps import model, swarm


@tool
def look_up(page: int) -> str:
    """Look a page up."""
    return "nothing new"


class TestLangGraph(AdapterContract):
    def looping_app(self, url: str) -> Any:
        return swarm(url)

    def answering_app(self, url: str) -> Any:
        return create_agent(model(url), [], system_prompt="You answer.")

    def fan_out_app(self, url: str, width: int) -> Any:
        chat = model(url)

        def worker(state: Any) -> Any:
            return {"messages": [chat.invoke(f"part {state['part']}")]}

        async def worker_async(state: Any) -> Any:
            return {"messages": [await chat.ainvoke(f"part {state['part']}")]}

        from langchain_core.runnables import RunnableLambda

        graph = StateGraph(MessagesState)
        graph.add_node("plan", lambda state: {})
        graph.add_node("worker", RunnableLambda(worker, afunc=worker_async))
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", lambda state: [Send("worker", {"part": part}) for part in range(width)])
        graph.add_edge("worker", END)
        return graph.compile()

    def tool_app(self, url: str) -> Any:
        return create_agent(model(url), [look_up])

    def delegating_app(self, url: str) -> Any:
        chat = model(url)
        worker: Any = create_agent(chat, [], system_prompt=WORKER, name="worker")

        @tool
        def ask(input: str) -> str:
            """Ask the worker."""
            return str(worker.invoke({"messages": [("user", input)]})["messages"][-1].content)

        return create_agent(chat, [ask], system_prompt="You ask.", name="front")

    def run(self, app: Any, task: str) -> str:
        return str(app.invoke({"messages": [("user", task)]}, {"recursion_limit": 200})["messages"][-1].content)

    async def run_async(self, app: Any, task: str) -> str:
        state = await app.ainvoke({"messages": [("user", task)]}, {"recursion_limit": 200})
        return str(state["messages"][-1].content)

    def bodies_differ_by(self) -> frozenset[str]:
        return frozenset()
