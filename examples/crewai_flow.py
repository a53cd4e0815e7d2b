"""A flow that writes and reviews until the reviewer is content, who may never be.

Each method kicks a crew off; each kickoff is a run of its own within the flow's, and coming back to a method is a hop. The limit
ends the flow with what is in its state. Runs offline against a scripted model: python examples/crewai_flow.py
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_DISABLE_VERSION_CHECK="true")

from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, router, start
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text


class Draft(BaseModel):
    """Where the flow stands."""

    text: str = ""
    feedback: str = "none yet"


class SelfEvaluation(Flow[Draft]):
    """A writer and a reviewer, in turns."""

    def __init__(self, base_url: str) -> None:
        super().__init__(suppress_flow_events=True)
        self._model = LLM("openai/gpt-4o-mini", base_url=base_url, api_key="offline")

    @start("again")
    def write(self) -> str:
        """One draft more."""
        self.state.text = self._ask("Writer", f"Write a post about tides. Feedback: {self.state.feedback}")
        return self.state.text

    @router(write)
    def review(self) -> str:
        """Content, or again."""
        self.state.feedback = self._ask("Reviewer", f"Review this: {self.state.text}")
        return "content" if self.state.feedback == "Good." else "again"

    @listen("content")
    def publish(self) -> str:
        """The post."""
        return self.state.text

    def _ask(self, role: str, what: str) -> str:
        agent = Agent(role=role, goal="Do your part.", backstory="You are strict.", llm=self._model)
        task = Task(description=what, expected_output="A text", agent=agent)
        return str(Crew(agents=[agent], tasks=[task]).kickoff().raw)


def content_after(rounds: int) -> Callable[[Request], Reply]:
    """The reviewer is content with the draft of this round."""
    drafts: list[int] = []

    def says(request: Request) -> Reply:
        if "You are Reviewer." in request.system:
            return text("Good." if len(drafts) >= rounds else f"Too dull, draft {len(drafts)}.")
        drafts.append(request.index)
        return text(f"Draft {len(drafts)}.")

    return says


def show(rounds: int, **limits: object) -> None:
    """One kickoff of the flow under *limits*."""
    with ModelServer(content_after(rounds), max_requests=100) as server:
        flow = mas_guard.wrap(SelfEvaluation(server.url), **limits)
        try:
            said = flow.kickoff()
        except (mas_guard.HopLimitExceeded, mas_guard.BudgetExceeded) as stop:
            said = f"{type(stop).__name__}; not approved yet: {flow.state.text}"
        outcome = mas_guard.last_outcome()
        assert outcome is not None
        print(f"{said}\n  {outcome.status}, {outcome.hops} hops, {server.count} model calls")


def main() -> None:
    """A reviewer who is soon content, and one who never is: by default, with fewer hops, and with a budget for all."""
    logging.disable(logging.ERROR)  # CrewAI logs what ends a flow
    show(rounds=3)
    show(rounds=1_000)
    show(rounds=1_000, max_hops=4)
    show(rounds=1_000, budget={"model_calls": 8})


if __name__ == "__main__":
    main()
