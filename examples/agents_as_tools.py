"""Agents called as tools: a run inside of a run is the same run, with one budget, one hop counter and one owner.

A healthy question uses three agents as tools and is untouched. In the second one a tool starts a run of its own that would
never end: the budget of the outer run holds for it, and the agent that asked still answers. Runs offline against a scripted
model: python examples/agents_as_tools.py
"""

from __future__ import annotations

import asyncio

from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text

LANGUAGES = ("Spanish", "French", "Italian")
BUDGET = 8  # model calls


def build(base_url: str) -> Agent:
    """An orchestrator with three translators as tools, and a researcher that is run by a tool."""
    model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=base_url, api_key="offline"))

    @function_tool
    def search(page: int) -> str:
        """Search one page of the archive."""
        return f"nothing on page {page}"

    researcher = Agent(name="researcher", instructions="You are researcher.", model=model, tools=[search])

    @function_tool
    async def research(question: str) -> str:
        """Have somebody look a question up."""
        result = await Runner.run(researcher, question, max_turns=200)  # nothing here hands the budget down
        return str(result.final_output)

    translators = [
        Agent(name=language, instructions=f"You translate into {language}.", model=model).as_tool(
            tool_name=f"to_{language.lower()}", tool_description=f"Translate into {language}."
        )
        for language in LANGUAGES
    ]
    return Agent(name="orchestrator", instructions="You are orchestrator.", model=model, tools=[*translators, research])


def scripted_model(request: Request) -> Reply:
    """The orchestrator asks all translators at once; the researcher never has enough."""
    question = next(message["content"] for message in request.messages if message["role"] == "user")
    if "You are researcher." in request.system:
        return call("search", page=request.index)
    if "You translate" in request.system:
        return text(f"'{question}' in {request.system.removesuffix('.').split()[-1]}")
    answers = [message["content"] for message in request.messages if message["role"] == "tool"]
    if "[mas-guard]" in request.last_text:
        return text("The archive has nothing so far; not all of it was searched.")
    if answers:
        return text("; ".join(answers))
    if "archive" in question:
        return call("research", question=question)
    return Reply(tool_calls=[ToolCallReply(f"to_{language.lower()}", {"input": question}) for language in LANGUAGES])


async def ask(app: Agent, question: str, server: ModelServer) -> None:
    """One run, with all that happens inside of it."""
    sent = server.count
    result = await Runner.run(app, question)
    outcome = mas_guard.outcome(result)
    print(f"{question}\n  {result.last_agent.name}: {result.final_output}")
    print(
        f"  {outcome.status}{' by ' + outcome.rule if outcome.rule else ''}: {server.count - sent} model calls, "
        f"{outcome.spent.tool_calls} tool calls, hops: {outcome.hops}\n"
    )


async def main() -> None:
    """A healthy run, then one whose inner run never ends."""
    set_tracing_disabled(True)  # the SDK's traces would go to OpenAI
    with ModelServer(scripted_model, max_requests=300) as server:
        app = mas_guard.wrap(build(server.url), budget={"model_calls": BUDGET})
        await ask(app, "Good morning", server)
        await ask(app, "What does the archive say about invoice 4711?", server)


if __name__ == "__main__":
    asyncio.run(main())
