"""A manager and its workers: a healthy crew is far from every limit, a manager who is never content is asked to conclude.

Runs offline against a scripted model: python examples/crewai_hierarchical.py
"""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_DISABLE_VERSION_CHECK="true")

from crewai import LLM, Agent, Crew, Process, Task

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

DELEGATE = "delegate_work_to_coworker"  # CrewAI's own tool
WORKERS = ("Prices", "Stock", "Delivery")


def build(base_url: str) -> Crew:
    """A manager, whom CrewAI makes, over three workers."""
    model = LLM("openai/gpt-4o-mini", base_url=base_url, api_key="offline")
    workers = [Agent(role=role, goal=f"Know about {role}.", backstory="You are exact.", llm=model) for role in WORKERS]
    task = Task(description="Can order 17 go out today?", expected_output="Yes or no, and why")
    return Crew(agents=workers, tasks=[task], process=Process.hierarchical, manager_llm=model)


def answers_of(request: Request) -> int:
    """How many workers have answered the manager."""
    return sum(message["role"] == "tool" for message in request.messages)


def sensible_model(request: Request) -> Reply:
    """Asks each worker once, then answers."""
    if "Crew Manager" not in request.system:
        return text("Nothing unusual here.")
    asked = answers_of(request)
    if asked == len(WORKERS):
        return text("Order 17 can go out today.")
    return call(DELEGATE, task="Anything unusual about order 17?", context="Order 17.", coworker=WORKERS[asked])


def anxious_model(request: Request) -> Reply:
    """Asks the stock again and again; answers only where no tool can be called."""
    if "Crew Manager" not in request.system:
        return text("Nothing unusual here.")
    if request.body.get("tool_choice") == "none" or not request.tool_names:
        return text("Stock says that nothing is unusual. Prices and delivery were not asked.")
    question = f"Are you sure about order 17? This is check {answers_of(request) + 1}."
    return call(DELEGATE, task=question, context="Order 17.", coworker="Stock")


def ask(script: Callable[[Request], Reply], guard: Callable[[Crew], Crew]) -> None:
    """One kickoff."""
    with ModelServer(script, max_requests=100) as server:
        result = guard(build(server.url)).kickoff()
        print(f"{result.raw}\n  {server.count} model calls", end="")
        if guard is bare:
            print(", bare")
            return
        outcome = mas_guard.outcome(result)
        print(f", {outcome.hops} hops, {outcome.status}{' by ' + outcome.rule if outcome.rule else ''}")


def bare(crew: Crew) -> Crew:
    """No guard."""
    return crew


def main() -> None:
    """A healthy crew, then one that is never content: bare, by default, and with a loop of at most three rounds."""
    ask(sensible_model, mas_guard.wrap)
    ask(anxious_model, bare)
    ask(anxious_model, mas_guard.wrap)
    ask(anxious_model, lambda crew: mas_guard.wrap(crew, agents={"Crew Manager": {"loop": True, "max_rounds": 3}}))


if __name__ == "__main__":
    main()
