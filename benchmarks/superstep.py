"""What the guard adds to a LangGraph superstep whose node does nothing."""

from __future__ import annotations

import time
from typing import Any, TypedDict

import mas_guard

STEPS = 200
ROUNDS = 40
BOUNDS = {"superstep: added to a no-op node": 0.075}


class State(TypedDict):
    count: int


def looping_graph() -> Any:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(State)
    graph.add_node("step", lambda state: {"count": state["count"] + 1})
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: "step" if state["count"] < STEPS else END, ["step", END])
    return graph.compile()


def seconds_per_step(app: Any) -> float:
    began = time.process_time()
    app.invoke({"count": 0}, {"recursion_limit": STEPS + 10})
    return (time.process_time() - began) / STEPS


def measure() -> dict[str, float]:
    """Interleaved rounds, bare without any patch; the best round of each is the one least disturbed."""
    app = looping_graph()
    bare, guarded = [], []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare.append(seconds_per_step(app))
        wrapped = mas_guard.wrap(app)
        guarded.append(seconds_per_step(wrapped))
    mas_guard.uninstrument()
    return {"superstep: added to a no-op node": min(guarded) / min(bare) - 1}
