"""Two agents that bounce a task, and an owner that ends it: `wrap`, twelve hops, and the outcome.

Runs offline against a scripted model: python examples/swarm.py
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph
from langgraph_swarm import create_handoff_tool, create_swarm

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call


def build(base_url: str) -> CompiledStateGraph:
    """A writer and a reviewer that may hand a draft to each other; the writer begins, so it owns the run."""
    model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key="offline")
    writer = create_agent(
        model,
        [create_handoff_tool(agent_name="reviewer")],
        system_prompt="You are writer. Have each draft reviewed.",
        name="writer",
    )
    reviewer = create_agent(
        model,
        [create_handoff_tool(agent_name="writer")],
        system_prompt="You are reviewer. Return each draft that can be better.",
        name="reviewer",
    )
    return create_swarm([writer, reviewer], default_active_agent="writer").compile()


def stubborn_model(request: Request) -> Reply | str:
    """Always hands on; answers only where it is told that the run was stopped."""
    if "[mas-guard]" in request.last_text:
        return "This is draft 7. The reviewer still wanted a shorter opening."
    return call("transfer_to_reviewer" if "You are writer." in request.system else "transfer_to_writer")


def main() -> None:
    """Ask once and say how it ended."""
    with ModelServer(stubborn_model, max_requests=60) as server:
        app = mas_guard.wrap(build(server.url))  # the one line
        result = app.invoke({"messages": [("user", "Write two lines about our new office.")]})
        outcome = mas_guard.outcome(result)
        print("answer: ", result["messages"][-1].text)
        print("outcome:", outcome.status, "by", outcome.rule)
        print("path:   ", " > ".join(outcome.path))
        print("spent:  ", f"{server.count} model calls, {outcome.spent.tokens} tokens")


if __name__ == "__main__":
    main()
