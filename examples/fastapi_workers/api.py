"""The API as it is, an agent behind one endpoint; what the guard adds is `OneRun` and the limits of `mas_guard.run`."""

from __future__ import annotations

import os

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from one_run import OneRun

import mas_guard

agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [], system_prompt="You are desk.", name="desk")
api = FastAPI()
api.add_middleware(OneRun)


@api.get("/answer")
async def answer(question: str) -> dict[str, object]:
    """Answer within the run that the request has brought, or within one that begins here."""
    with mas_guard.run("answer", budget={"model_calls": 3}, on_limit="abort"):
        state = await agent.ainvoke({"messages": [("user", question)]})
    return {"answer": state["messages"][-1].text, "process": os.getpid()}


@api.get("/process")
async def process() -> int:
    """Which of the workers this is."""
    return os.getpid()


@api.exception_handler(mas_guard.GuardStopped)
async def stopped(request: Request, stop: mas_guard.GuardStopped) -> JSONResponse:
    """What a caller may know of a stop."""
    lost = isinstance(stop, mas_guard.StoreUnavailable)
    return JSONResponse({"rule": stop.rule, "window": getattr(stop, "window", "")}, 503 if lost else 429)
