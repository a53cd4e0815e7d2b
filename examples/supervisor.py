"""A supervisor and its workers: a healthy run is far from every limit, a run in circles ends with the supervisor.

Runs offline against a scripted model: python examples/supervisor.py
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph
from langgraph_supervisor import create_supervisor

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call

WORKERS = ("prices", "stock", "delivery")


def build(base_url: str) -> CompiledStateGraph:
    """A supervisor over three workers; control comes back to it after each of them."""
    model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key="offline")
    workers = [create_agent(model, [], system_prompt=f"You are {name}.", name=name) for name in WORKERS]
    return create_supervisor(
        workers, model=model, prompt="You are supervisor. Ask your workers, then answer."
    ).compile()


def sensible_model(request: Request) -> Reply | str:
    """Asks each worker once, then answers."""
    if "You are supervisor." not in request.system:
        return "Nothing unusual here."
    asked = sum(message["role"] == "tool" and "transferred to" in message["content"] for message in request.messages)
    return call(f"transfer_to_{WORKERS[asked]}") if asked < len(WORKERS) else "Order 17 can go out today."


def anxious_model(request: Request) -> Reply | str:
    """Asks the same worker again and again; answers only where it is told that the run was stopped."""
    if "[mas-guard]" in request.last_text:
        return "Stock says that nothing is unusual. Prices and delivery were not asked."
    return call("transfer_to_stock") if "You are supervisor." in request.system else "Nothing unusual here."


def ask(script: object, **limits: object) -> None:
    """One run under *limits*."""
    with ModelServer(script, max_requests=60) as server:  # type: ignore[arg-type]
        app = mas_guard.wrap(build(server.url), **limits)
        result = app.invoke({"messages": [("user", "Can order 17 go out today?")]})
        outcome = mas_guard.outcome(result)
        print(f"{outcome.status}: {result['messages'][-1].text}")
        print(
            f"  {outcome.hops} hops, {server.count} model calls{', ended by ' + outcome.rule if outcome.rule else ''}"
        )


def main() -> None:
    """A healthy run under the defaults, then one in circles."""
    ask(sensible_model)
    ask(anxious_model, max_hops=4)


if __name__ == "__main__":
    main()
