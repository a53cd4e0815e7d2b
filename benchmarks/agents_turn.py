"""What the adapter adds to a turn of the Agents SDK on a scripted model: a model call, a tool call and the loop around
them, early and late in a long conversation.

The scripted model notes the time at each of its calls, so that one run gives the cost of each of its turns. Rounds of
the bare and the guarded app alternate; a figure is the mean of the fastest quarter in CPU time.
"""

from __future__ import annotations

import asyncio
import gc
import time
from itertools import pairwise
from typing import Any

import mas_guard
from benchmarks import fastest

TURNS = 205
ROUNDS = 16
EARLY = range(3, 8)
LATE = range(TURNS - 10, TURNS - 1)
BOUNDS = {
    "Agents SDK turn 5: added": 0.06,
    "Agents SDK turn 200: added": 0.06,
}


def app(times: list[float]) -> Any:
    """An agent whose model calls its tool in every turn but the last."""
    from agents import Agent, Model, ModelResponse, Usage, function_tool
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    class Scripted(Model):
        async def get_response(self, *arguments: Any, **keywords: Any) -> ModelResponse:
            times.append(time.process_time())
            number = len(times)
            usage = Usage(requests=1, input_tokens=100 * number, output_tokens=20, total_tokens=100 * number + 20)
            if number < TURNS:
                item: Any = ResponseFunctionToolCall(
                    type="function_call", name="note", call_id=f"call_{number}", arguments=f'{{"page": {number}}}'
                )
            else:
                part = ResponseOutputText(text="done", type="output_text", annotations=[])
                item = ResponseOutputMessage(
                    id="1", content=[part], role="assistant", status="completed", type="message"
                )
            return ModelResponse(output=[item], usage=usage, response_id=None)

        def stream_response(self, *arguments: Any, **keywords: Any) -> Any:
            raise NotImplementedError

    @function_tool
    async def note(page: int) -> str:
        """Read a page."""
        return f"Page {page} says that the shipment left the harbour on day {page} and arrived two days later."

    return Agent[Any](name="reader", instructions="You read pages.", model=Scripted(), tools=[note])


def turns(agent: Any, times: list[float]) -> list[float]:
    """Seconds of CPU time of each turn of one run."""
    from agents import Runner

    times.clear()
    gc.collect()
    asyncio.run(Runner.run(agent, "Read all pages.", max_turns=None))
    return [after - before for before, after in pairwise(times)]


def measure() -> dict[str, float]:
    from agents import set_tracing_disabled

    set_tracing_disabled(True)
    times: list[float] = []
    agent = app(times)
    bare: list[list[float]] = []
    guarded: list[list[float]] = []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare.append(turns(agent, times))
        mas_guard.wrap(agent, budget={"model_calls": 1000, "tool_calls": 1000})
        guarded.append(turns(agent, times))
    mas_guard.uninstrument()

    def cost(rounds: list[list[float]], window: range) -> float:
        return fastest([seconds[turn] for seconds in rounds for turn in window])

    return {
        "Agents SDK turn 5: added": cost(guarded, EARLY) / cost(bare, EARLY) - 1,
        "Agents SDK turn 200: added": cost(guarded, LATE) / cost(bare, LATE) - 1,
        "Agents SDK turn 5: bare, microseconds": cost(bare, EARLY) * 1e6,
        "Agents SDK turn 200: bare, microseconds": cost(bare, LATE) * 1e6,
        "Agents SDK turn 5: added, microseconds": (cost(guarded, EARLY) - cost(bare, EARLY)) * 1e6,
        "Agents SDK turn 200: added, microseconds": (cost(guarded, LATE) - cost(bare, LATE)) * 1e6,
    }
