"""One crew for twelve inputs: each is a run of its own, one that loops ends alone, and the sum cannot pass the group's limit.

Runs offline against a scripted model: python examples/crewai_batch.py
"""

from __future__ import annotations

import logging
import os
from collections import Counter

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_DISABLE_VERSION_CHECK="true")

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

LETTERS = [{"letter": f"letter {number}"} for number in range(1, 13)]
PER_LETTER = 6  # model calls
FOR_ALL = 20  # model calls


@tool("look_up")
def look_up(what: str) -> str:
    """Look something up in the files."""
    return f"{what} is filed under complaints"


def build(base_url: str) -> Crew:
    """A clerk who may look things up, and one who answers."""
    model = LLM("openai/gpt-4o-mini", base_url=base_url, api_key="offline")
    clerk = Agent(role="Clerk", goal="Sort letters.", backstory="You are exact.", llm=model, tools=[look_up])
    secretary = Agent(role="Secretary", goal="Answer letters.", backstory="You are kind.", llm=model)
    sort = Task(description="Sort {letter}.", expected_output="A category", agent=clerk)
    answer = Task(description="Answer {letter}.", expected_output="A letter", agent=secretary)
    return Crew(agents=[clerk, secretary], tasks=[sort, answer])


def office_model(request: Request) -> Reply:
    """Sorts and answers at once. Letter 3 is never sorted: the clerk looks up something new each time."""
    if "[mas-guard] This run was stopped" in request.last_text:
        return text("We have your letter; it needs a closer look.")
    if "Sort letter 3." in str(request.messages) and request.tool_names:
        return call("look_up", what=f"page {request.index}")
    return text("A complaint." if "You are Clerk." in request.system else "We are sorry.")


def show(title: str, results: list[object], server: ModelServer) -> None:
    """What stands in the list for each letter."""
    print(title)
    for answer, count in Counter(str(getattr(result, "raw", "")) or "(not begun)" for result in results).items():
        print(f"  {count:>2} x {answer}")
    print(f"  {server.count} model calls sent")


def main() -> None:
    """Twelve letters: at most six calls each, then at most twenty for all of them."""
    logging.disable(logging.ERROR)  # CrewAI logs each call that is refused
    with ModelServer(office_model, max_requests=100) as server:
        crew = mas_guard.wrap(build(server.url), budget={"model_calls": PER_LETTER})
        results = crew.kickoff_for_each(inputs=LETTERS)
        show("at most six calls each", results, server)
        ended = mas_guard.outcome(results[2])
        print(f"  {LETTERS[2]['letter']}: {ended.status} by {ended.rule}, {ended.spent.model_calls} calls")

    with ModelServer(office_model, max_requests=100) as server:
        crew = mas_guard.wrap(build(server.url), budget={"model_calls": PER_LETTER})
        with mas_guard.group("nightly", model_calls=FOR_ALL) as night:
            try:
                results = crew.kickoff_for_each(inputs=LETTERS)
            except mas_guard.BudgetExceeded as stop:
                results = stop.results
        show("and at most twenty for all", results, server)
        print("  outcomes:", dict(Counter(outcome.status for outcome in night.outcomes)))


if __name__ == "__main__":
    main()
