"""Envelopes that are asked of models that misplace them, give them twice, or leave them out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents import (
    Agent,
    Runner,
    SQLiteSession,
    function_tool,
)

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, text
from tests.doubtful_results import ANSWER, envelope
from tests.openai_agents.apps import APIS, QUESTION, model, run_in

RUNS = ("run", "run_streamed")


def clerk(url: str, api: str = "chat", **options: Any) -> Agent[Any]:
    return Agent[Any](name="clerk", instructions="You are clerk.", model=model(url, api), **options)


def deltas(event: Any) -> str:
    if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
        return str(event.data.delta)
    return ""


def asked(answer: str) -> Callable[[Request], Reply]:
    return lambda request: text(answer if "<<envelope" in str(request.body) else ANSWER)


async def seen(app: Agent[Any], session: Any = None) -> tuple[str, Any]:
    """The streamed text and the final output."""
    result = Runner.run_streamed(app, QUESTION, session=session)
    said = "".join([deltas(event) async for event in result.stream_events()])
    return said, result.final_output


MISPLACED: dict[str, tuple[str, str]] = {
    "in the middle": (f"One.{envelope(0.9)}\nTwo.", "One.\nTwo."),
    "first": (f"{envelope(0.9)}\n{ANSWER}", f"\n{ANSWER}"),
    "without its end": (f'{ANSWER}\n<<envelope {{"status": "success"', ANSWER),
    "a break at the end": (f"{ANSWER}\n", f"{ANSWER}\n"),
    "what may begin the line at the end": ("One is <", "One is <"),
    "twice": (f"{ANSWER}{envelope(0.9)}{envelope(0.9)}", ANSWER),
}
CASES = [
    pytest.param(api, answer, shown, id=f"{name}-{api}") for name, (answer, shown) in MISPLACED.items() for api in APIS
]


@pytest.mark.parametrize(("api", "answer", "shown"), CASES)
async def test_what_is_streamed_is_the_answer_and_never_the_envelope(api: str, answer: str, shown: str) -> None:
    session = SQLiteSession("s")
    with ModelServer(asked(answer)) as server:
        app = mas_guard.wrap(clerk(server.url, api), envelopes="require")
        assert await seen(app, session) == (shown, shown)
        assert (await Runner.run(app, QUESTION)).final_output == shown
    assert "envelope" not in str(await session.get_items())


@function_tool
def look_up(page: int) -> str:
    """Look a page up."""
    return f"page {page}: 80 EUR"


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize("api", APIS)
async def test_an_envelope_beside_tool_calls_is_never_seen(way: str, api: str) -> None:
    def script(request: Request) -> Reply:
        last = envelope(0.9) if "<<envelope" in str(request.body) else ""
        if any(message["role"] == "tool" for message in request.messages):
            return text(f"{ANSWER}{last}")
        return Reply(text=f"I look it up.{last}", tool_calls=(ToolCallReply("look_up", {"page": 1}),))

    session = SQLiteSession("s")
    with ModelServer(script) as server:
        app = mas_guard.wrap(clerk(server.url, api, tools=[look_up]), envelopes="require")
        result = await run_in(way, app, QUESTION, session=session)
        assert server.count == 2
        assert "success" not in str(server.requests[1].messages[:-1])
    assert result.final_output == ANSWER
    assert "envelope" not in str(await session.get_items())


@pytest.mark.parametrize("limit", ["budget", "agent_budget"])
@pytest.mark.parametrize("way", RUNS)
async def test_a_repair_that_does_not_fit_the_budget_stops_nothing(way: str, limit: str) -> None:
    with ModelServer(lambda request: text(ANSWER)) as server:
        settings: dict[str, Any] = {limit: {"model_calls": 1}}
        result = await run_in(way, mas_guard.wrap(clerk(server.url), envelopes="require", **settings), QUESTION)
        assert server.count == 1
    assert result.final_output == ANSWER
    assert mas_guard.outcome(result).status == "completed"


def test_a_repair_that_the_provider_refuses_takes_nothing_away() -> None:
    def script(request: Request) -> Reply:
        return Reply(status=400, error_message="bad request") if request.index else text(ANSWER)

    with ModelServer(script) as server:
        result = Runner.run_sync(mas_guard.wrap(clerk(server.url), envelopes="require"), QUESTION)
    assert result.final_output == ANSWER


# -- workers beside each other ------------------------------------------------------------------------


def test_workers_that_were_asked_together_are_not_told_of_each_other() -> None:
    def is_worker(request: Request) -> bool:
        return "You are a specialist." in str(request.messages[0]["content"])

    def script(request: Request) -> Reply:
        if is_worker(request):
            return Reply(refusal="I cannot.") if "storm" in str(request.body) else text("Opening hours are 8 to 17.")
        if request.messages[-1]["role"] == "user" and "tool" not in [one["role"] for one in request.messages]:
            return Reply(tool_calls=(ToolCallReply("ask_weather", {}), ToolCallReply("ask_hours", {})))
        return text(ANSWER)

    with ModelServer(script) as server:
        done = asyncio.Event()
        chat = model(server.url)
        weather, hours = (
            Agent[Any](name=name, instructions="You are a specialist.", model=chat) for name in ("weather", "hours")
        )

        @function_tool
        async def ask_weather() -> str:
            """Ask for the weather."""
            try:
                return str((await Runner.run(weather, "storm")).final_output)
            finally:
                done.set()

        @function_tool
        async def ask_hours() -> str:
            """Ask for the opening hours, once the other one has answered."""
            await done.wait()
            return str((await Runner.run(hours, "hours")).final_output)

        app = mas_guard.wrap(clerk(server.url, tools=[ask_weather, ask_hours]))
        Runner.run_sync(app, QUESTION)
        told = ["mas-guard" in str(request.body) for request in server.requests]
        assert [is_worker(request) for request in server.requests] == [False, True, True, False]
    assert told == [False, False, False, True]
