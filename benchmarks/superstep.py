"""What the guard adds to a LangGraph superstep whose node does nothing."""

from __future__ import annotations

import statistics
import time
from typing import Any, TypedDict

import mas_guard

STEPS = 300
ROUNDS = 30


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
    """Interleaved rounds; the ratio of the medians."""
    bare_app = looping_graph()
    guarded_app = mas_guard.wrap(bare_app)
    seconds_per_step(bare_app), seconds_per_step(guarded_app)
    bare, guarded = [], []
    for _ in range(ROUNDS):
        bare.append(seconds_per_step(bare_app))
        guarded.append(seconds_per_step(guarded_app))
    mas_guard.uninstrument()
    # The smallest of many rounds is the one that the machine disturbed least.
    added = min(guarded) / min(bare) - 1
    return {
        "superstep: added by the guard (wanted <= 0.075)": added,
        "superstep: bare, microseconds": min(bare) * 1e6,
        "superstep: added, median of rounds": statistics.median(g / b for g, b in zip(guarded, bare, strict=True)) - 1,
    }


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name:60} {figure:10.4f}")
