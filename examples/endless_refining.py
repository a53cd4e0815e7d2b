"""A manager that refines for ever: its loop is declared, and ends when it brings nothing new.

Three specialists are asked for a better plan in each round. Where they only reword it, the owner concludes after four rounds
without progress; where each round brings a new figure, the loop runs to its own end; and a reviewer's `approved` ends it at
once. Runs offline against a scripted model: python examples/endless_refining.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, text

SPECIALISTS = ("weather", "traffic", "freight")
ENOUGH = 12  # times that the manager asks, where nothing ends it before
OPENINGS = ("In our view", "As far as we can tell", "To our knowledge", "From what we know")


def build(base_url: str) -> Agent:
    """A manager with three specialists as tools."""
    model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=base_url, api_key="offline"))
    tools = [
        Agent(name=name, instructions="You are a specialist.", model=model).as_tool(f"ask_{name}", "Ask for a plan.")
        for name in SPECIALISTS
    ]
    return Agent(name="manager", instructions="You manage.", model=model, tools=tools)


def reworded(number: int) -> str:
    """The same in other words."""
    return f"{OPENINGS[number % 4]}, the harbour will stay closed because of the storm, and ships should wait."


def improved(number: int) -> str:
    """Something new each time."""
    return f"{reworded(number)} The wind is down to {100 - number} knots now."


def approved(number: int) -> str:
    """A plan that somebody has approved."""
    return json.dumps({"plan": "ships wait", "approved": True})


def manager_that_asks(specialist: Callable[[int], str]) -> Callable[[Request], Reply]:
    """The manager asks all three in each round, and answers where it is told to conclude."""

    def says(request: Request) -> Reply:
        if "You are a specialist." in request.system:
            return text(specialist(request.index))
        times = sum(message["role"] == "tool" for message in request.messages) // len(SPECIALISTS)
        if times == ENOUGH or "[mas-guard]" in request.last_text:
            return text(f"Ships should wait. (Asked {'once' if times == 1 else f'{times} times'}.)")
        asked = {"input": f"Make it better, number {times}."}
        return Reply(tool_calls=[ToolCallReply(f"ask_{name}", asked) for name in SPECIALISTS])

    return says


def refine(title: str, specialist: Callable[[int], str], guarded: bool = True, **loop: Any) -> None:
    """One run."""
    with ModelServer(manager_that_asks(specialist), max_requests=200) as server:
        app = build(server.url)
        if guarded:
            app = mas_guard.wrap(app, agents={"manager": {"loop": True, **loop}})
        result = Runner.run_sync(app, "When can ships leave?", max_turns=50)
        print(f"{title}: {result.final_output} {server.count} model calls.")
        if guarded:
            outcome = mas_guard.outcome(result)
            print(f"  {outcome.status}{' by ' + outcome.rule if outcome.rule else ''}")


def main() -> None:
    """The same manager, with specialists that reword, improve, and approve."""
    set_tracing_disabled(True)  # the SDK's traces would go to OpenAI
    refine("reworded, bare", reworded, guarded=False)
    refine("reworded, patience 4", reworded, patience=4)
    refine("improved, patience 4", improved, patience=4)
    refine("improved, max_rounds 6", improved, max_rounds=6)
    refine("approved, done_when", approved, done_when="approved")


if __name__ == "__main__":
    main()
