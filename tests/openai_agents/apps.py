"""Users' apps, as a user writes them: nothing here knows of mas-guard."""

from __future__ import annotations

from typing import Any

from agents import Agent, Model, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner, function_tool
from openai import AsyncOpenAI

from mas_guard.testing import Reply, Request, call, text

QUESTION = "My invoice is wrong, please settle it."
OWNER_ANSWER = "We could not settle the invoice; what is known so far is enclosed."
APIS = ("chat", "responses")
WAYS = ("run", "run_sync", "run_streamed")


def model(url: str, api: str = "chat", name: str = "gpt-4o-mini", **options: Any) -> Model:
    """The real client over HTTP to the local server."""
    client = AsyncOpenAI(base_url=url, api_key="unused", **{"max_retries": 0, **options})
    if api == "responses":
        return OpenAIResponsesModel(name, client)
    return OpenAIChatCompletionsModel(name, client)


def hand_on_for_ever(request: Request) -> Reply:
    """Every agent calls its first tool; without tools, or when none may be chosen, it answers."""
    if not request.tool_names or request.body.get("tool_choice") == "none":
        return text(OWNER_ANSWER)
    return call(request.tool_names[0])


def circle(url: str, api: str = "chat") -> Agent[Any]:
    """Three agents, each of which can only hand on to the next; the first is the entry."""
    chat = model(url, api)
    alice, bob, carol = (Agent[Any](name=name, instructions=f"You are {name}.", model=chat) for name in NAMES)
    alice.handoffs, bob.handoffs, carol.handoffs = [bob], [carol], [alice]
    return alice


NAMES = ("alice", "bob", "carol")


def desk(url: str, api: str = "chat", **refunds: Any) -> Agent[Any]:
    """A triage that hands over to two specialists, who can only answer."""
    chat = model(url, api)
    billing = Agent[Any](name="billing", instructions="You settle invoices.", model=chat)
    refund = Agent[Any](name="refunds", instructions="You give money back.", model=chat, **refunds)
    return Agent[Any](name="triage", instructions="You send people on.", model=chat, handoffs=[billing, refund])


def with_helper(url: str, api: str = "chat", helper: Agent[Any] | None = None) -> Agent[Any]:
    """An agent whose tool runs another agent, as user code does it."""
    chat = model(url, api)
    worker = helper if helper is not None else Agent[Any](name="helper", instructions="You help.", model=chat)

    @function_tool
    async def ask(question: str) -> str:
        """Ask the helper."""
        return str((await Runner.run(worker, question)).final_output)

    return Agent[Any](name="front", instructions="You ask.", model=chat, tools=[ask])


def run_in_tool(worker: Agent[Any], **options: Any) -> Any:
    """A tool that runs another agent."""

    @function_tool(**options)
    async def ask(input: str) -> str:
        """Ask the helper."""
        return str((await Runner.run(worker, input)).final_output)

    return ask


def run_in_tool_without_error_function(worker: Agent[Any]) -> Any:
    """Its errors are the run's."""
    return run_in_tool(worker, failure_error_function=None)


def run_in_tool_that_swallows_everything(worker: Agent[Any]) -> Any:
    """No error leaves it."""

    @function_tool
    async def ask(input: str) -> str:
        """Ask the helper."""
        try:
            return str((await Runner.run(worker, input)).final_output)
        except BaseException:
            return "all is well"

    return ask


def streamed_run_in_tool(worker: Agent[Any]) -> Any:
    """The other agent's run is streamed."""

    @function_tool
    async def ask(input: str) -> str:
        """Ask the helper."""
        return str((await run_in("run_streamed", worker, input)).final_output)

    return ask


def run_in_a_thread_of_a_tool(worker: Agent[Any]) -> Any:
    """The SDK puts synchronous tools on threads."""

    @function_tool
    def ask(input: str) -> str:
        """Ask the helper."""
        try:
            return str(Runner.run_sync(worker, input).final_output)
        except Exception:
            return "all is well"

    return ask


def agent_as_tool(worker: Agent[Any]) -> Any:
    """As the SDK makes it."""
    return worker.as_tool("ask", "Ask the helper.")


TOOLS_THAT_RUN_AN_AGENT = (
    run_in_tool, run_in_tool_without_error_function, run_in_tool_that_swallows_everything, streamed_run_in_tool,
    run_in_a_thread_of_a_tool, agent_as_tool,
)  # fmt: skip


async def run_in(way: str, agent: Any, task: Any, **options: Any) -> Any:
    """Run *agent* in one of the three ways; a streamed result is read to its end."""
    if way == "run_streamed":
        result = Runner.run_streamed(agent, task, **options)
        async for _ in result.stream_events():
            pass
        return result
    assert way == "run", "run_sync needs a thread without an event loop"
    return await Runner.run(agent, task, **options)


__all__ = [
    "APIS", "NAMES", "OWNER_ANSWER", "QUESTION", "TOOLS_THAT_RUN_AN_AGENT", "WAYS", "RunConfig", "agent_as_tool",
    "circle", "desk", "hand_on_for_ever", "model", "run_in", "run_in_tool", "run_in_tool_that_swallows_everything",
    "with_helper",
]  # fmt: skip
