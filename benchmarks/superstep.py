"""What the guard adds to a LangGraph superstep whose node does nothing, as a share of the bare superstep.

Bare is really bare: the guard is taken back before each bare round. Rounds alternate, and a figure is the mean of the
fastest quarter of them in CPU time: whatever else the machine does only ever adds.
"""

from __future__ import annotations

import gc
import time
from typing import Any, TypedDict

import mas_guard
from benchmarks import fastest

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
    gc.collect()
    began = time.process_time()
    app.invoke({"count": 0}, {"recursion_limit": STEPS + 10})
    return (time.process_time() - began) / STEPS


def measure() -> dict[str, float]:
    app = looping_graph()
    bare, guarded = [], []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare.append(seconds_per_step(app))
        guarded.append(seconds_per_step(mas_guard.wrap(app)))
    mas_guard.uninstrument()
    return {
        "superstep: added to a no-op node": fastest(guarded) / fastest(bare) - 1,
        "superstep: bare, microseconds": fastest(bare) * 1e6,
    }
