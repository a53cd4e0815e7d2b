"""An Agents SDK app behind FastAPI: `Runner.run_streamed` as server-sent events, each question a run with its limits.

It serves itself once on a free loopback port: one client reads to the end, one goes away in the middle, one asks what
cannot be answered within the limits. Runs offline against a scripted model: python examples/streaming_fastapi.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator

import httpx
import uvicorn
from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

NEVER = threading.Event()  # the story's teller falls silent in the middle


def build(base_url: str, outcomes: list[mas_guard.Outcome]) -> FastAPI:
    """The chat: a guarded desk behind one endpoint. Every outcome ends up in *outcomes*."""
    model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=base_url, api_key="offline"))
    desk = Agent(name="desk", instructions="You are desk.", model=model)
    expert = Agent(name="expert", instructions="You are expert.", model=model, handoffs=[desk])
    desk.handoffs.append(expert)
    app = mas_guard.wrap(desk, max_hops=4, deadline="2m", on_outcome=outcomes.append)
    api = FastAPI()

    @api.get("/chat")
    async def chat(question: str) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            result = Runner.run_streamed(app, question)
            try:
                async for seen in result.stream_events():
                    if seen.type == "raw_response_event" and seen.data.type == "response.output_text.delta":
                        yield event("token", seen.data.delta)
                outcome = mas_guard.outcome(result)
                yield event("end", {"status": outcome.status, "rule": outcome.rule})
            except mas_guard.GuardStopped as stop:
                yield event("stopped", {"rule": stop.rule})
            finally:
                # To stop reading is not to stop the run: the SDK's loop works in a task of its own.
                result.cancel()

        return StreamingResponse(events(), media_type="text/event-stream")

    return api


def event(name: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def scripted_model(request: Request) -> Reply:
    """Short answers, endless ones, and agents that never stop handing on."""
    question = next(message["content"] for message in request.messages if message["role"] == "user")
    if "[mas-guard]" in request.last_text:
        return text("Nobody here knows. Please write to us.")
    if question == "riddle":
        return call(request.tool_names[0])
    if question == "story":
        return text("Once upon a time " * 20, chunk_count=20, wait_for=NEVER, hold_stream_after=6)
    return text("We are open from nine to five.")


async def main() -> None:
    """Serve, ask three times, and print what came back."""
    set_tracing_disabled(True)  # the SDK's traces would go to OpenAI
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(scripted_model, max_requests=60) as models, socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(build(models.url, outcomes), log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client:
                await read(client, "hours")
                await read(client, "riddle")
                await read(client, "story", leave_after=3)
            async with asyncio.timeout(20):
                while len(outcomes) < 3:
                    await asyncio.sleep(0.01)
        finally:
            server.should_exit = True
            await serving
    print("\noutcomes, as on_outcome= told them:")
    for outcome in outcomes:
        print(f"  {outcome.status} {f'({outcome.rule or outcome.reason})' if outcome.status != 'completed' else ''}")


async def read(client: httpx.AsyncClient, question: str, leave_after: int = 0) -> None:
    """Ask *question* and print the events; go away after *leave_after* of them, where that is not 0."""
    print(f"\nGET /chat?question={question}")
    seen = 0
    async with client.stream("GET", "/chat", params={"question": question}) as response:
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                seen += 1
                data = json.loads(line.removeprefix("data: "))
                print(f"  {name}: {data if len(str(data)) < 60 else str(data)[:40] + '...'}")
                if seen == leave_after:
                    print("  (the client goes away)")
                    return


if __name__ == "__main__":
    asyncio.run(main())
