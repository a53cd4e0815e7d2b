"""What the adapter adds to a turn of the Agents SDK: a model call, a tool call and the loop around them, early and late
in a conversation.

The model is scripted: a local server in a process of its own, which the real client talks to over HTTP; beside it, for
the worst case, a model that answers within the process and costs nothing itself. The tool notes the time, so that one
run gives the cost of each of its turns, in CPU time of this process. Bare and guarded runs alternate one by one on one
event loop, so that a machine that gets slower slows both; a figure is the median over the turns of all runs.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import mas_guard

SHORT, LONG = 12, 205  # turns of a run
EARLY, LATE = slice(2, 9), slice(LONG - 12, LONG - 2)
BOUNDS = {
    "Agents SDK over HTTP: added to turn 5": 0.06,
    "Agents SDK over HTTP: added to turn 200": 0.06,
    "Agents SDK over HTTP: share at turn 200 / share at turn 5": 1.0,
}

SERVER = """
import sys
from mas_guard.testing import ModelServer, call, text

def script(request):
    pages = int(next(message["content"] for message in request.messages if message["role"] == "user").split()[1])
    page = sum(message["role"] == "tool" for message in request.messages) + 1
    return call("note", page=page) if page < pages else text("done")

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
        async def get_response(self, *positional: Any, **keywords: Any) -> ModelResponse:
            given = keywords["input"]
            pages, page = int(given[0]["content"].split()[1]), len(given) // 2 + 1
            usage = Usage(requests=1, input_tokens=100 * page, output_tokens=20)
            if page < pages:
                item: Any = ResponseFunctionToolCall(
                    type="function_call", name="note", call_id=f"call_{page}", arguments=f'{{"page": {page}}}'
                )
            else:
                part = ResponseOutputText(text="done", type="output_text", annotations=[])
                item = ResponseOutputMessage(
                    id="1", content=[part], role="assistant", status="completed", type="message"
                )
            return ModelResponse(output=[item], usage=usage, response_id=None)

        def stream_response(self, *positional: Any, **keywords: Any) -> Any:
            raise NotImplementedError

    return Scripted()


def costs(make_model: Callable[[], Any], pages: int, window: slice, runs: int, warm_up: int = 0) -> tuple[float, float]:
    """Seconds of a bare turn in *window*, and what a guarded one takes more, as a share: over *runs* runs of each,
    and *warm_up* more that are not counted."""
    return asyncio.run(_costs(make_model, pages, window, runs, warm_up))


async def _costs(
    make_model: Callable[[], Any], pages: int, window: slice, runs: int, warm_up: int
) -> tuple[float, float]:
    times: list[float] = []
    agents = {guarded: app(make_model(), times) for guarded in (False, True)}

    async def turns(guarded: bool) -> list[float]:
        mas_guard.uninstrument()
        if guarded:
            mas_guard.wrap(agents[guarded], budget={"model_calls": 1000, "tool_calls": 1000})
        times.clear()
        gc.collect()
        await Runner.run(agents[guarded], f"Read {pages} pages.", max_turns=None)
        return [after - before for before, after in pairwise(times)][window]

    from agents import Runner

    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(warm_up + runs):
        # Who comes second finds the caches as the first has left them.
        for guarded in (False, True) if number % 2 else (True, False):
            taken = await turns(guarded)
            if number >= warm_up:
                found[guarded] += taken
    mas_guard.uninstrument()
    bare = median(found[False])
    return bare, median(found[True]) / bare - 1


def measure() -> dict[str, float]:
    from agents import OpenAIChatCompletionsModel, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdin is not None
    try:
        url = server.stdout.readline().strip()

        def over_http() -> Any:
            return OpenAIChatCompletionsModel("gpt-4o-mini", AsyncOpenAI(base_url=url, api_key="unused"))

        early, early_share = costs(over_http, SHORT, EARLY, 120, warm_up=2)
        _, late_share = costs(over_http, LONG, LATE, 3)
    finally:
        server.stdin.close()
        server.wait()
    within, within_share = costs(model_in_process, SHORT, EARLY, 120, warm_up=2)
    _, within_late_share = costs(model_in_process, LONG, LATE, 3)
    return {
        "Agents SDK over HTTP: added to turn 5": early_share,
        "Agents SDK over HTTP: added to turn 200": late_share,
        "Agents SDK over HTTP: share at turn 200 / share at turn 5": late_share / early_share,
        "Agents SDK over HTTP: turn 5 bare, microseconds": early * 1e6,
        "Agents SDK, model in the process: added to turn 5": within_share,
        "Agents SDK, model in the process: added to turn 200": within_late_share,
        "Agents SDK, model in the process: turn 5 bare, microseconds": within * 1e6,
    }
