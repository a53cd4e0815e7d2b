"""Fifty branches at once on a budget of eight calls: exactly eight are sent, and somebody answers.

Where control can return to an owner one of the eight is kept for it; where nobody can answer all eight are usable,
and the limit is raised. Runs offline against a scripted model: python examples/fan_out.py
"""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text

BUDGET = 8


class State(TypedDict):
    """Summaries of chapters, and of the book."""

    summaries: Annotated[list[str], operator.add]
    book: str


def build(base_url: str, *, editor_begins: bool) -> CompiledStateGraph:
    """Fifty chapters are summarised side by side, then an editor sums up."""
    model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key="offline")

    async def editor(state: State) -> dict[str, str]:
        known = "; ".join(state.get("summaries", [])) or "nothing"
        reply = await model.ainvoke([("system", "You are editor."), ("user", f"Known: {known}")])
        return {"book": reply.text}

    def plain_start(state: State) -> dict[str, str]:
        return {"book": ""}

    async def chapter(task: dict[str, int]) -> dict[str, list[str]]:
        reply = await model.ainvoke([("system", "You are reader."), ("user", f"Chapter {task['number']}")])
        return {"summaries": [reply.text]}

    def chapters(state: State) -> list[Send] | str:
        if state.get("summaries"):
            return END
        return [Send("chapter", {"number": number}) for number in range(50)]

    graph = StateGraph(State)
    graph.add_node("editor", editor)
    graph.add_node("chapter", chapter)
    graph.add_edge("chapter", "editor")
    graph.add_conditional_edges("editor", chapters, ["chapter", END])
    if editor_begins:
        graph.add_edge(START, "editor")
    else:
        graph.add_node("start", plain_start)
        graph.add_edge(START, "start")
        graph.add_conditional_edges("start", chapters, ["chapter"])
    return graph.compile()


def reader_model(request: Request) -> Reply:
    """Summarises whatever it is asked to; readers take a while, so that all that were sent are in flight at once."""
    if "You are reader." in request.system:
        return text(f"{request.last_text} is about the sea", delay_seconds=0.1)
    if "[mas-guard]" in request.last_text:
        return text(f"From {request.messages[1]['content'].count('Chapter')} of 50 chapters: it is about the sea.")
    return text("It is about the sea.")


async def main() -> None:
    """With an owner that can answer, without one, and with the state so far as the result."""
    with ModelServer(reader_model) as server:
        app = mas_guard.wrap(build(server.url, editor_begins=True), budget={"model_calls": BUDGET})
        result = await app.ainvoke({"summaries": [], "book": ""})
        print("with an owner:   ", result["book"])
        print("                 ", f"{server.count} calls sent, outcome {mas_guard.outcome(result).status}")

    with ModelServer(reader_model) as server:
        app = mas_guard.wrap(build(server.url, editor_begins=False), budget={"model_calls": BUDGET})
        try:
            await app.ainvoke({"summaries": [], "book": ""})
        except mas_guard.BudgetExceeded as stop:
            print("without an owner:", f"{type(stop).__name__}, outcome {stop.outcome.status}")
            print("                 ", f"{server.count} calls sent")

    with ModelServer(reader_model) as server:
        partial = {"budget": {"model_calls": BUDGET}, "on_limit": ("partial", "abort")}
        app = mas_guard.wrap(build(server.url, editor_begins=False), **partial)
        result = await app.ainvoke({"summaries": [], "book": ""})
        print("ON_LIMIT=partial:", f"{len(result['summaries'])} summaries returned, nothing raised")
        print("                 ", f"{server.count} calls sent, outcome {mas_guard.outcome(result).status}")


if __name__ == "__main__":
    asyncio.run(main())
