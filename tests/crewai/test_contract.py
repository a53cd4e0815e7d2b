"""The adapter contract, over crews."""

from __future__ import annotations

from typing import Any

from crewai import Agent, Crew, Task
from crewai.tools import tool
from crewai.tools.agent_tools.base_agent_tools import BaseAgentTool
from pydantic import BaseModel

from mas_guard.testing import Request
from mas_guard.testing.adapter_contract import WORKER, AdapterContract
from tests.crewai.crews import model

NEXT = {"alice": "bob", "bob": "carol", "carol": "alice"}


class Work(BaseModel):
    """What a coworker is given; nothing of it is needed."""

    task: str = ""
    context: str = ""


class HandOn(BaseAgentTool):
    """A tool of the user's own for handing work on, to a coworker that is made for it."""

    name: str = "hand_on"
    description: str = "Hand the work on."
    args_schema: type[BaseModel] = Work
    url: str = ""
    to: str = ""
    cache_function: Any = staticmethod(lambda arguments, result: False)

    def _run(self, task: str = "", context: str = "") -> str:
        self.agents = [handing_on(self.url, self.to)]
        return str(self._execute(self.to, task, context))


def handing_on(url: str, name: str) -> Agent:
    return Agent(
        role=name,
        goal="Settle it",
        backstory="You hand on.",
        llm=model(url),
        tools=[HandOn(agents=[], url=url, to=NEXT[name])],
    )


def crew_of_one(worker: Agent) -> Crew:
    return Crew(agents=[worker], tasks=[Task(description="{task}", expected_output="An answer", agent=worker)])


@tool("look_up")
def look_up(page: int) -> str:
    """Look a page up."""
    return "nothing new"


class TestCrews(AdapterContract):
    polls = 4  # CrewAI itself gives up at the fifth equal result

    def looping_app(self, url: str) -> Any:
        return crew_of_one(handing_on(url, "alice"))

    def answering_app(self, url: str) -> Any:
        return crew_of_one(Agent(role="answers", goal="Answer", backstory="You answer.", llm=model(url)))

    def fan_out_app(self, url: str, width: int) -> Any:
        chat = model(url)
        workers = [Agent(role=f"worker {at}", goal="Work", backstory="You work.", llm=chat) for at in range(width)]
        tasks = [
            Task(
                description=f"part {at} of {{task}}",
                expected_output="done",
                agent=worker,
                context=[],
                async_execution=at < width - 1,
            )
            for at, worker in enumerate(workers)
        ]
        return Crew(agents=workers, tasks=tasks)

    def tool_app(self, url: str) -> Any:
        return crew_of_one(Agent(role="reader", goal="Read", backstory="You read.", llm=model(url), tools=[look_up]))

    def delegating_app(self, url: str) -> Any:
        chat = model(url)
        worker = Agent(role="worker", goal="Work", backstory=WORKER, llm=chat)

        @tool("ask")
        def ask(input: str) -> str:
            """Ask the worker."""
            return str(worker.kickoff(input).raw)

        return crew_of_one(Agent(role="front", goal="Ask", backstory="You ask.", llm=chat, tools=[ask]))

    def asked_of(self, request: Request) -> str:
        return "plan A" if "plan A" in request.last_text else "plan B"

    def run(self, app: Any, task: str) -> str:
        return str(app.kickoff(inputs={"task": task}).raw)

    async def run_async(self, app: Any, task: str) -> str:
        return str((await app.akickoff(inputs={"task": task})).raw)

    def bodies_differ_by(self) -> frozenset[str]:
        return frozenset()
