"""What the adapter adds to a turn of the Agents SDK: a model call, a tool call and the loop around them, early and late
in a long conversation.

The model is scripted: a local server in a process of its own, which the real client talks to over HTTP; beside it, for
the worst case, one that answers within the process and costs nothing itself. The tool notes the time, so that one run
gives the cost of each of its turns. Rounds of the bare and the guarded app alternate; a figure is the mean of the
fastest quarter in CPU time of this process.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mas_guard
from benchmarks import fastest

TURNS = 205
ROUNDS = 8
EARLY = range(3, 8)
LATE = range(TURNS - 10, TURNS - 2)
BOUNDS = {
    "Agents SDK over HTTP: added to turn 5": 0.06,
    "Agents SDK over HTTP: added to turn 200": 0.06,
    "Agents SDK over HTTP: share at turn 200 / share at turn 5": 1.0,
}

SERVER = f"""
import sys
from mas_guard.testing import ModelServer, call, text

def script(request):
    page = sum(message["role"] == "tool" for message in request.messages) + 1
    return call("note", page=page) if page < {TURNS} else text("done")

with ModelServer(script) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


def app(model: Any, times: list[float]) -> Any:
    """An agent whose model calls its tool in every turn but the last."""
    from agents import Agent, function_tool

    @function_tool
    async def note(page: int) -> str:
        """Read a page."""
        times.append(time.process_time())
        return f"Page {page} says that the shipment left the harbour on day {page} and arrived two days later."

    return Agent[Any](name="reader", instructions="You read pages.", model=model, tools=[note])


def model_in_process() -> Any:
    """A model that answers at once."""
    from agents import Model, ModelResponse, Usage
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    class Scripted(Model):
        def __init__(self) -> None:
            self.number = 0

        async def get_response(self, *arguments: Any, **keywords: Any) -> ModelResponse:
            self.number = self.number % TURNS + 1
            usage = Usage(requests=1, input_tokens=100 * self.number, output_tokens=20)
            if self.number < TURNS:
                arguments_text = f'{{"page": {self.number}}}'
                item: Any = ResponseFunctionToolCall(
                    type="function_call", name="note", call_id=f"call_{self.number}", arguments=arguments_text
                )
            else:
                part = ResponseOutputText(text="done", type="output_text", annotations=[])
                item = ResponseOutputMessage(
                    id="1", content=[part], role="assistant", status="completed", type="message"
                )
            return ModelResponse(output=[item], usage=usage, response_id=None)

        def stream_response(self, *arguments: Any, **keywords: Any) -> Any:
            raise NotImplementedError

    return Scripted()


def costs(make_model: Callable[[], Any]) -> dict[str, float]:
    """Seconds of CPU time of an early and a late turn, bare and guarded."""
    from agents import Runner

    bare: list[list[float]] = []
    guarded: list[list[float]] = []
    for round in range(2 * ROUNDS):
        times: list[float] = []
        agent = app(make_model(), times)
        mas_guard.uninstrument()
        if round % 2:
            mas_guard.wrap(agent, budget={"model_calls": 1000, "tool_calls": 1000})
        gc.collect()
        asyncio.run(Runner.run(agent, "Read all pages.", max_turns=None))
        (guarded if round % 2 else bare).append([after - before for before, after in pairwise(times)])
    mas_guard.uninstrument()

    def cost(rounds: list[list[float]], window: range) -> float:
        return fastest([seconds[turn] for seconds in rounds for turn in window])

    return {
        "bare 5": cost(bare, EARLY),
        "bare 200": cost(bare, LATE),
        "guarded 5": cost(guarded, EARLY),
        "guarded 200": cost(guarded, LATE),
    }


def measure() -> dict[str, float]:
    from agents import OpenAIChatCompletionsModel, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdin is not None
    try:
        url = server.stdout.readline().strip()
        http = costs(lambda: OpenAIChatCompletionsModel("gpt-4o-mini", AsyncOpenAI(base_url=url, api_key="unused")))
    finally:
        server.stdin.close()
        server.wait()
    within = costs(model_in_process)
    early, late = (http[f"guarded {turn}"] / http[f"bare {turn}"] - 1 for turn in (5, 200))
    return {
        "Agents SDK over HTTP: added to turn 5": early,
        "Agents SDK over HTTP: added to turn 200": late,
        "Agents SDK over HTTP: share at turn 200 / share at turn 5": late / early,
        "Agents SDK over HTTP: turn 5 bare, microseconds": http["bare 5"] * 1e6,
        "Agents SDK, model in the process: added to turn 5": within["guarded 5"] / within["bare 5"] - 1,
        "Agents SDK, model in the process: added to turn 200": within["guarded 200"] / within["bare 200"] - 1,
        "Agents SDK, model in the process: turn 5 bare, microseconds": within["bare 5"] * 1e6,
    }
