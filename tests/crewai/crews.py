"""Users' crews, as a user writes them: nothing here knows of mas-guard.

Beside each crew stands what the model says to it: a function from `Request` to reply, for `ModelServer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crewai import LLM, Agent, Crew, Process, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool
from crewai.tools.agent_tools.agent_tools import AgentTools
from crewai.types.streaming import CrewStreamingOutput
from openai import OpenAI
from pydantic import BaseModel

from mas_guard.testing import Reply, Request, call, fault, text

APIS = ("chat", "responses", "litellm")
RESEARCHER, ANALYST, WRITER = ROLES = ("Researcher", "Analyst", "Writer")
MANAGER = "Crew Manager"
ANSWERS = {
    RESEARCHER: "High water comes every 12 hours and 25 minutes.",
    ANALYST: "The delay of 50 minutes a day follows the moon.",
    WRITER: "Tides follow the moon: each day they come 50 minutes later.",
}
CONCLUSION = "This is what is known so far; the rest could not be settled."
DELEGATE = "delegate_work_to_coworker"
AT_ONCE = {"retry-after-ms": "1"}  # the client waits half a second where the provider does not say how long

NOTE = "[mas-guard]"
ENVELOPE = '\n<<envelope {"status": "success", "confidence": 0.9, "reason": "all sources agree"}>>'

Script = Callable[[Request], Reply]


class Report(BaseModel):
    """What a user's typed task returns."""

    title: str
    findings: list[str]


REPORT = Report(title="Tides", findings=["They follow the moon."])


def model(url: str, api: str = "chat", **options: Any) -> Any:
    """CrewAI's real client over HTTP to the local server."""
    if api == "responses":
        options["api"] = "responses"
    return LLM(
        model="openai/gpt-4o-mini", base_url=url, api_key="unused", **{"is_litellm": api == "litellm", **options}
    )


class OwnModel(BaseLLM):
    """A model class of the user's own, as CrewAI's manual tells to write it; it has no native tool calls."""

    def call(
        self,
        messages: Any,
        tools: Any = None,
        callbacks: Any = None,
        available_functions: Any = None,
        from_task: Any = None,
        from_agent: Any = None,
        response_model: Any = None,
    ) -> Any:
        given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        sent = [{"role": message["role"], "content": message["content"]} for message in given]
        client = OpenAI(base_url=self.base_url, api_key="unused", max_retries=0)
        with client:
            reply: Any = client.chat.completions.create(model=self.model, messages=sent)  # type: ignore[arg-type]
        return reply.choices[0].message.content


def own_model(url: str) -> OwnModel:
    """The user's own model class, on the local server."""
    return OwnModel(model="gpt-4o-mini", base_url=url)


def agent(role: str, chat: Any, **options: Any) -> Agent:
    """An agent whose role names it in every request."""
    return Agent(role=role, goal=f"Work as {role}.", backstory="You are thorough.", llm=chat, **options)


def role_of(request: Request) -> str:
    """The role that the request speaks for; empty where it is no agent's request."""
    return request.system.removeprefix("You are ").partition(".")[0] if request.system.startswith("You are ") else ""


def own_messages(request: Request) -> list[dict[str, Any]]:
    """What the app itself sends; a guard's notes come behind it."""
    return [message for message in request.messages if not _is_note(message)]


def notes_of(request: Request) -> str:
    """What a guard adds for the model; empty where it adds nothing."""
    return "\n".join(str(message["content"]) for message in request.messages if _is_note(message))


def _is_note(message: Mapping[str, Any]) -> bool:
    return message["role"] == "user" and str(message["content"]).startswith(NOTE)


def giving(script: Script, line: str = ENVELOPE) -> Script:
    """The same model, which gives the envelope with a final answer wherever it is asked for one."""

    def reply(request: Request) -> Reply:
        said = script(request)
        asked = "<<envelope" in notes_of(request) and bool(said.text) and "Action:" not in said.text
        return replace(said, text=said.text + line) if asked else said

    return reply


def tools_of(request: Request) -> list[str]:
    """The tools that the model may call now."""
    return [] if request.body.get("tool_choice") == "none" else request.tool_names


# Three tasks in free text.


def report_tasks(
    chat: Any,
    research: Mapping[str, Any] = {},
    analysis: Mapping[str, Any] = {},
    report: Mapping[str, Any] = {},
    **agents: Any,
) -> list[Task]:
    """Research, analysis and report; each task names what it needs of the earlier ones."""
    first, second, third = (agent(role, chat, **agents) for role in ROLES)
    found = Task(description="Find out when the tides come.", expected_output="Times", agent=first, **research)
    why = Task(description="Say why.", expected_output="A cause", agent=second, **{"context": [found], **analysis})
    told = Task(
        description="Write it up.", expected_output="A text", agent=third, **{"context": [found, why], **report}
    )
    return [found, why, told]


def crew_of(tasks: list[Task], **options: Any) -> Crew:
    """A crew of these tasks and their agents."""
    agents = list({id(task.agent): task.agent for task in tasks if task.agent is not None}.values())
    return Crew(agents=agents, tasks=tasks, **options)


def report_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """Researcher, analyst, writer, one after the other."""
    return crew_of(report_tasks(model(url, api)), **options)


def report_script(request: Request) -> Reply:
    """Each role says its own sentence; a manager has the work done and hands it on; nobody else gets a type."""
    role = role_of(request)
    if role == MANAGER:
        return manage(request)
    return text(ANSWERS.get(role, ANSWERS[WRITER]))


def with_answers(answers: Mapping[str, Reply]) -> Script:
    """As `report_script`, but these roles say something else."""
    return lambda request: answers.get(role_of(request)) or report_script(request)


def manage(request: Request) -> Reply:
    """A manager who delegates each task once and passes on what came back."""
    last = own_messages(request)[-1]
    if last["role"] == "tool":
        return text(str(last["content"]))
    task = next(name for name, told in ASSIGNMENTS.items() if told in last["content"])
    return call(DELEGATE, task=f"{task}: {ASSIGNMENTS[task]}", context="Tides.", coworker=task)


ASSIGNMENTS = {
    RESEARCHER: "Find out when the tides come.",
    ANALYST: "Say why.",
    WRITER: "Write it up.",
}

# The same in every way in which CrewAI lets a user write it.


def typed_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """The report has a type."""
    return crew_of(report_tasks(model(url, api), report={"output_pydantic": Report}), **options)


def typed_script(request: Request) -> Reply:
    """The writer answers in its type."""
    return text(REPORT.model_dump_json()) if role_of(request) == WRITER else report_script(request)


def guarded_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """A guardrail reads each result and shortens the report."""

    kept = {"guardrail": lambda output: (bool(output.raw.strip()), output)}
    first_half = {"guardrail": lambda output: (True, output.raw.partition(":")[0])}
    return crew_of(report_tasks(model(url, api), kept, kept, first_half), **options)


def heard_crew(url: str, heard: list[tuple[str, str]], api: str = "chat", **options: Any) -> Crew:
    """Callbacks of task, crew and step put what they are given on *heard*."""

    def of(place: str, field: str = "raw") -> Callable[[Any], None]:
        return lambda output: heard.append((place, str(getattr(output, field, output))))

    tasks = report_tasks(model(url, api), research={"callback": of("task")})
    return crew_of(tasks, task_callback=of("crew"), step_callback=of("step", "output"), **options)


def streaming_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """The crew streams."""
    return report_crew(url, api, stream=True, **options)


def async_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """Research and analysis at the same time; the writer waits for both."""
    at_once = {"async_execution": True}
    return crew_of(report_tasks(model(url, api), at_once, {"context": [], **at_once}), **options)


def hierarchical_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """A manager gives the tasks to those whose they are."""
    chat = model(url, api)
    return crew_of(report_tasks(chat), process=Process.hierarchical, manager_llm=chat, **options)


def react_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """The user's own model class, which calls tools in text."""
    return crew_of(report_tasks(own_model(url)), **options)


CREWS: dict[str, tuple[Callable[..., Crew], Script]] = {
    "free text": (report_crew, report_script),
    "typed": (typed_crew, typed_script),
    "guardrails": (guarded_crew, report_script),
    "callbacks": (lambda url, api="chat", **options: heard_crew(url, [], api, **options), report_script),
    "streaming": (streaming_crew, report_script),
    "async": (async_crew, report_script),
    "hierarchical": (hierarchical_crew, report_script),
    "own model": (react_crew, report_script),
}


def kickoff(crew: Crew, **inputs: Any) -> Any:
    """Run *crew* to its end; a stream is read to its end."""
    result = crew.kickoff(**({"inputs": inputs} if inputs else {}))
    if isinstance(result, CrewStreamingOutput):
        for _ in result:
            pass
        return result.result
    return result


def raws(crew: Crew) -> list[str]:
    """What each task of *crew* has left; empty where it left nothing."""
    return [task.output.raw if task.output else "" for task in crew.tasks]


# Delegation that comes to no end.


def circle(url: str, size: int = 3, api: str = "chat", **options: Any) -> Crew:
    """Coworkers of whom each can hand its work to the next, and the last to the first."""
    chat = model(url, api)
    workers = [agent(f"Worker{place}", chat, **options) for place in range(size)]
    for place, worker in enumerate(workers):
        worker.tools = AgentTools(agents=[workers[(place + 1) % size]]).tools()
    task = Task(description="Settle the invoice.", expected_output="A settlement", agent=workers[0])
    return Crew(agents=workers, tasks=[task])


def hand_on_for_ever(request: Request) -> Reply:
    """Whoever can delegate does, to the coworker that its tool names; who cannot, answers."""
    if DELEGATE not in tools_of(request):
        return text(CONCLUSION)
    return call(DELEGATE, task=f"Settle it, {request.index}.", context="An invoice.", coworker=coworker_of(request))


def coworker_of(request: Request) -> str:
    """The first coworker that the tool for delegating names."""
    declared = [tool.get("function", tool) for tool in request.body["tools"]]
    described = str(next(tool["description"] for tool in declared if tool["name"] == DELEGATE))
    return described.split("coworkers: ", 1)[1].splitlines()[0].split(", ")[0]


def endless_manager(url: str, api: str = "chat", **options: Any) -> Crew:
    """A hierarchical crew for `delegate_for_ever`."""
    return hierarchical_crew(url, api, **options)


def delegate_for_ever(request: Request) -> Reply:
    """The manager is never content; the worker always answers."""
    if DELEGATE not in tools_of(request):
        return text(CONCLUSION if role_of(request) == MANAGER else f"Nothing more than {request.index}.")
    return call(DELEGATE, task=f"Find out more, {request.index}.", context="Tides.", coworker=coworker_of(request))


# Failures.


def failing(status: int = 500, roles: tuple[str, ...] = (RESEARCHER,)) -> Script:
    """The provider fails for these roles."""
    failure = fault(status, "slow down" if status == 429 else "no luck", headers=AT_ONCE)
    return with_answers(dict.fromkeys(roles, failure))


def one_task(url: str, api: str = "chat", tools: Any = (), task: Mapping[str, Any] = {}, **options: Any) -> Crew:
    """A researcher alone."""
    worker = agent(RESEARCHER, model(url, api), tools=list(tools), **options)
    return crew_of([Task(description="Find out when the tides come.", expected_output="Times", agent=worker, **task)])


def refused_crew(url: str, api: str = "chat", **options: Any) -> Crew:
    """A guardrail that refuses every result."""
    return one_task(url, api, task={"guardrail": lambda output: (False, "not good enough"), **options})


def charging_crew(url: str, charged: list[str], api: str = "chat", **options: Any) -> Crew:
    """A tool with a side effect, put down on *charged*."""

    @tool("charge")
    def charge(order: str) -> str:
        """Charge the card for an order."""
        charged.append(order)
        return f"order {order} was charged"

    return one_task(url, api, [charge], **options)


def charge_then(then: Reply) -> Script:
    """The model charges order 7, and says *then* once it is charged."""
    return lambda request: then if own_messages(request)[-1]["role"] == "tool" else call("charge", order="7")


def charge_for_ever(request: Request) -> Reply:
    """The model charges one order after the other; without tools it concludes."""
    return call("charge", order=str(request.index)) if tools_of(request) else text(CONCLUSION)


def charge_in_text(request: Request) -> Reply:
    """The same as text, for a model without native tool calls; it answers once there is an observation."""
    if "Observation: order" in str(request.messages):
        return text("Thought: I now know the final answer\nFinal Answer: " + ANSWERS[RESEARCHER])
    return text('Thought: I charge.\nAction: charge\nAction Input: {"order": "7"}')
