"""The adapter contract, over Agents SDK apps."""

from __future__ import annotations

from typing import Any

from agents import Agent, Runner, function_tool

from mas_guard.testing import Reply, Request, ToolCallReply, text
from mas_guard.testing.adapter_contract import WORKER, AdapterContract
from tests.openai_agents.apps import circle, model, with_helper


@function_tool
def look_up(page: int) -> str:
    """Look a page up."""
    return "nothing new"


class OpenAIAgentsContract(AdapterContract):
    """Over either of the provider's interfaces."""

    api = "chat"

    def looping_app(self, url: str) -> Any:
        return circle(url, self.api)

    def answering_app(self, url: str) -> Any:
        return Agent[Any](name="answers", instructions="You answer.", model=model(url, self.api))

    def fan_out_app(self, url: str, width: int) -> Any:
        return with_helper(url, self.api)

    def fan_out_reply(self, request: Request, width: int) -> Reply:
        if request.tool_names and request.index == 0:
            return Reply(tool_calls=tuple(ToolCallReply("ask", {"question": f"part {part}"}) for part in range(width)))
        return text("done")

    def tool_app(self, url: str) -> Any:
        return Agent[Any](name="reader", instructions="You read.", model=model(url, self.api), tools=[look_up])

    def delegating_app(self, url: str) -> Any:
        chat = model(url, self.api)
        worker = Agent[Any](name="worker", instructions=WORKER, model=chat)
        ask = worker.as_tool("ask", "Ask the worker.")
        return Agent[Any](name="front", instructions="You ask.", model=chat, tools=[ask])

    def run(self, app: Any, task: str) -> str:
        return str(Runner.run_sync(app, task, max_turns=200).final_output)

    async def run_async(self, app: Any, task: str) -> str:
        return str((await Runner.run(app, task, max_turns=200)).final_output)

    def bodies_differ_by(self) -> frozenset[str]:
        return frozenset()


class TestChatCompletions(OpenAIAgentsContract):
    api = "chat"


class TestResponses(OpenAIAgentsContract):
    api = "responses"


class TestStreamed(OpenAIAgentsContract):
    api = "chat"

    async def run_async(self, app: Any, task: str) -> str:
        result = Runner.run_streamed(app, task, max_turns=200)
        async for _ in result.stream_events():
            pass
        return str(result.final_output)
