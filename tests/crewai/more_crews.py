"""Users' larger apps: long crews, batches, flows, and crews inside other things. Nothing here knows of mas-guard."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, TypedDict

from crewai import Agent, Crew, Task
from crewai.flow.flow import Flow, listen, router, start
from crewai.tools import tool
from openai import OpenAI
from pydantic import BaseModel

from mas_guard.testing import Reply, Request, call, text
from tests.crewai.crews import (
    CONCLUSION,
    RESEARCHER,
    WRITER,
    Script,
    agent,
    crew_of,
    kickoff,
    model,
    one_task,
    report_crew,
    role_of,
    tools_of,
)

# Tools that ask a model.


def asking_crew(url: str, way: str = "llm", asked: list[str] | None = None, **options: Any) -> Crew:
    """A researcher whose tool asks a model: through CrewAI's `llm`, a `crew` of its own, the `client` itself, or
    `quiet`, which takes every error for an answer."""
    said = [] if asked is None else asked

    def answer(question: str) -> str:
        said.append(question)
        if way == "crew":
            return str(kickoff(one_task(url)).raw)
        if way == "client":
            with OpenAI(base_url=url, api_key="unused") as client:
                reply = client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": question}]
                )
            return str(reply.choices[0].message.content)
        return str(model(url).call(question))

    @tool("ask")
    def ask(question: str) -> str:
        """Ask an expert."""
        if way != "quiet":
            return answer(question)
        try:
            return answer(question)
        except Exception:
            return "all is well"

    return one_task(url, tools=[ask], **options)


ASKING_WAYS = ("llm", "crew", "client", "quiet")


def ask_for_ever(request: Request) -> Reply:
    """The one with the tool asks and asks; whoever has none answers."""
    return call("ask", question=f"And {request.index}?") if tools_of(request) else text(CONCLUSION)


# Many tasks.


def long_crew(url: str, tasks: int = 20, **options: Any) -> Crew:
    """One task after the other, each with a worker of its own, each given all that was found before."""
    chat = model(url)
    return crew_of(
        [
            Task(description=f"Do step {step}.", expected_output="Step done", agent=agent(f"Worker{step}", chat))
            for step in range(tasks)
        ],
        **options,
    )


def parallel_crew(url: str, tasks: int = 6, **options: Any) -> Crew:
    """All at the same time, then a writer who waits for them."""
    chat = model(url)
    at_once = [
        Task(
            description=f"Do step {step}.",
            expected_output="Step done",
            agent=agent(f"Worker{step}", chat),
            context=[],
            async_execution=True,
        )
        for step in range(tasks)
    ]
    told = Task(description="Write it up.", expected_output="A text", agent=agent(WRITER, chat), context=at_once)
    return crew_of([*at_once, told], **options)


def step_script(request: Request) -> Reply:
    """Each worker says that it is done."""
    return text(f"{role_of(request)} is done.")


FAILING, DEPENDENT, APART = "Failing", "Dependent", "Apart"


def mixed_crew(url: str, at_once: bool = False, **options: Any) -> Crew:
    """A task that fails, one that needs it, and two that need neither.

    With *at_once* all but the last are started together; CrewAI wants the dependent one to wait, so it does not.
    """
    chat = model(url)
    async_task: dict[str, Any] = {"async_execution": True} if at_once else {}

    def task(role: str, **given: Any) -> Task:
        return Task(description=f"Do {role}.", expected_output="Done", agent=agent(role, chat), **given)

    failing = task(FAILING, context=[], **async_task)
    apart = task(APART, context=[], **async_task)
    dependent = task(DEPENDENT, context=[failing])
    also_apart = task(f"{APART}2", context=[])
    tasks = [failing, apart, dependent, also_apart] if at_once else [failing, dependent, apart, also_apart]
    return crew_of(tasks, **options)


# One crew, many inputs.


def topic_crew(url: str, **options: Any) -> Crew:
    """A researcher with a tool, on a topic that comes with the kickoff."""

    @tool("look_up")
    def look_up(question: str) -> str:
        """Look something up."""
        return f"{question}: nothing found"

    worker = agent(RESEARCHER, model(url), tools=[look_up])
    task = Task(description="Report on {topic}.", expected_output="A report", agent=worker)
    return crew_of([task], **options)


def topics(count: int) -> list[dict[str, str]]:
    """Inputs of a batch."""
    return [{"topic": f"topic-{number}"} for number in range(count)]


def loops_on(topic: str) -> Script:
    """The model looks things up for ever on *topic* alone; on every other it answers at once."""

    def reply(request: Request) -> Reply:
        if f"Report on {topic}." not in str(request.messages):
            return text("All about it.")
        return call("look_up", question=f"More on {request.index}?") if tools_of(request) else text(CONCLUSION)

    return reply


# Time.


def held(release: Event, answer: str = "At last.") -> Script:
    """The model says nothing until *release* is set, at most the server's `wait_timeout`."""
    return lambda request: Reply(text=answer, wait_for=release)


# Flows.


class Batch(Flow[Any]):
    """A flow that kicks one crew after the other off, as many times as its input says."""

    def __init__(self, url: str, make: Callable[[str], Crew] = one_task, **options: Any) -> None:
        super().__init__(**options)
        self._crew = make(url)

    @start()
    def collect(self) -> list[str]:
        return [str(self._crew.kickoff().raw) for _ in range(self.state["count"])]


class Opinion(BaseModel):
    """What the reviewer thinks of a draft."""

    valid: bool
    feedback: str | None = None


class Draft(BaseModel):
    """Where a self-evaluation stands."""

    text: str = ""
    feedback: str | None = None
    rounds: int = 0


class SelfEvaluation(Flow[Draft]):
    """A writer's crew and a reviewer's crew, until the reviewer is content."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self._url = url

    @start("again")
    def write(self) -> str:
        told = f" Heed this: {self.state.feedback}" if self.state.feedback else ""
        self.state.rounds += 1
        self.state.text = str(kickoff(self._crew(WRITER, f"Write a post.{told}")).raw)
        return self.state.text

    @router(write)
    def review(self) -> str:
        result = kickoff(self._crew(REVIEWER, f"Review: {self.state.text}", output_pydantic=Opinion))
        self.state.feedback = result.pydantic.feedback
        return "content" if result.pydantic.valid else "again"

    @listen("content")
    def publish(self) -> str:
        return self.state.text

    def _crew(self, role: str, description: str, **task: Any) -> Crew:
        worker = agent(role, model(self._url))
        return crew_of([Task(description=description, expected_output="A text", agent=worker, **task)])


REVIEWER = "Reviewer"


def content_after(rounds: int | None = None) -> Script:
    """The reviewer is content with the draft of this round; None never."""
    reviews: list[int] = []

    def reply(request: Request) -> Reply:
        if role_of(request) != REVIEWER:
            return text(f"Draft {len(reviews) + 1}.")
        reviews.append(request.index)
        valid = rounds is not None and len(reviews) >= rounds
        return text(Opinion(valid=valid, feedback=None if valid else "Too dull.").model_dump_json())

    return reply


class AsyncFlow(Flow[Any]):
    """A flow whose methods await: a crew, and an agent that needs none."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self._url = url

    @start()
    async def research(self) -> str:
        return str((await report_crew(self._url).akickoff()).raw)

    @listen(research)
    async def polish(self, found: str) -> str:
        polisher: Agent = agent(WRITER, model(self._url))
        return str((await polisher.kickoff_async(f"Polish: {found}")).raw)


# Inside another framework.


class State(TypedDict, total=False):
    """State of the graph below."""

    question: str
    report: str
    headline: str


def graph_with_crew(url: str, make: Callable[[str], Crew] = report_crew) -> Any:
    """A LangGraph graph: one node kicks a crew off, the next asks CrewAI's model alone."""
    from langgraph.graph import END, START, StateGraph

    def research(state: State) -> State:
        return {"report": str(kickoff(make(url)).raw)}

    def headline(state: State) -> State:
        return {"headline": str(model(url).call(f"A headline for: {state['report']}"))}

    graph = StateGraph(State)
    graph.add_node("research", research)
    graph.add_node("headline", headline)
    graph.add_edge(START, "research")
    graph.add_edge("research", "headline")
    graph.add_edge("headline", END)
    return graph.compile()
