"""A research crew whose researcher fails in different ways: bare, with the defaults, and with `ENVELOPES=require`.

Bare, the writer makes a report of whatever comes, or the whole crew raises. Under `require` a failed task is not built on, and
what does not need it is done all the same. Runs offline against a scripted model: python examples/crewai_research.py
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_DISABLE_VERSION_CHECK="true")

from crewai import LLM, Agent, Crew, Task

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, fault, text

SAID = {
    "Researcher": "The harbour was closed for three days.",
    "Clerk": "A berth costs 20 EUR a night.",
    "Writer": "Report: three days closed; 20 EUR a night.",
}
FINDINGS = {
    "a good answer": text(SAID["Researcher"]),
    "an apology": text("I'm sorry, I cannot access the internet."),
    "cut off": text("The harbour was closed for", finish_reason="length"),
    "empty": text(""),
    "provider down": fault(503, "overloaded", headers={"retry-after-ms": "1"}),
}
LINE = '\n<<envelope {"status": "success", "confidence": 0.9, "reason": "all sources agree"}>>'


def build(base_url: str) -> Crew:
    """Two tasks that know nothing of each other, and a report of both."""
    model = LLM("openai/gpt-4o-mini", base_url=base_url, api_key="offline")
    agents = {role: Agent(role=role, goal="Do your part.", backstory="You are thorough.", llm=model) for role in SAID}

    def task(role: str, what: str, context: list[Task]) -> Task:
        return Task(description=what, expected_output="A text", agent=agents[role], context=context)

    closed = task("Researcher", "Find out how long the harbour was closed.", [])
    prices = task("Clerk", "Find out what a berth costs.", [])
    report = task("Writer", "Write it up.", [closed, prices])
    return Crew(agents=list(agents.values()), tasks=[closed, prices, report])


def model_that_finds(finding: Reply) -> Callable[[Request], Reply]:
    """The researcher's model gives *finding*; all others do as they are asked."""

    def says(request: Request) -> Reply:
        role = request.system.removeprefix("You are ").partition(".")[0]
        asked = "<<envelope" in str(request.body)
        if role == "Researcher" and finding is not FINDINGS["a good answer"]:
            return finding
        return text(SAID[role] + (LINE if asked else ""))

    return says


def report(finding: Reply, guard: Callable[[Crew], Crew]) -> str:
    """One kickoff: what each task left, and how many requests it took."""
    with ModelServer(model_that_finds(finding), max_requests=60) as server:
        try:
            result = guard(build(server.url)).kickoff()
        except Exception as error:
            return f"raises {type(error).__name__} ({server.count} requests)"
        left = " | ".join(output.raw or "-" for output in result.tasks_output)
        return f"{left} ({server.count} requests)"


def outcome_of() -> str:
    """What the guard says of the latest run."""
    outcome = mas_guard.last_outcome()
    assert outcome is not None
    researcher = outcome.envelopes.get("Researcher")
    return f"{outcome.status}; the researcher's answer: {researcher.status if researcher else 'none'}"


def main() -> None:
    """Each kind of answer, three times."""
    logging.disable(logging.ERROR)  # CrewAI logs each failed call
    lines = []
    for name, finding in FINDINGS.items():
        lines += [name, "  bare:     " + report(finding, lambda crew: crew)]
        for envelopes in ("infer", "require"):
            said = report(finding, lambda crew, envelopes=envelopes: mas_guard.wrap(crew, envelopes=envelopes))
            lines += [f"  {envelopes + ':':<9} {said}", f"            {outcome_of()}"]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
