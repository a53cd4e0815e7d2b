"""What our seam adds to a model call in an agent, against what LangChain's own call limit adds."""

from __future__ import annotations

import time
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

import mas_guard

CALLS = 60
ROUNDS = 25
BOUNDS = {"langchain turn: our seam / ModelCallLimitMiddleware": 0.30}
QUESTION = {"messages": [("user", "hello")]}


def agent(middleware: list[Any]) -> Any:
    replies = iter(
        lambda: AIMessage("fine", usage_metadata={"input_tokens": 5, "output_tokens": 1, "total_tokens": 6}), 0
    )
    return create_agent(GenericFakeChatModel(messages=replies), [], middleware=middleware)


def seconds_per_turn(app: Any) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        app.invoke(QUESTION)
    return (time.process_time() - began) / CALLS


def seconds_per_call(chat: Any) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        chat.invoke("hello")
    return (time.process_time() - began) / CALLS


def measure() -> dict[str, float]:
    """Interleaved rounds: what the middleware adds to a turn, what our seam adds to the turn's model call."""
    plain, limited = agent([]), agent([ModelCallLimitMiddleware(run_limit=100)])
    chat = GenericFakeChatModel(
        messages=iter(
            lambda: AIMessage("fine", usage_metadata={"input_tokens": 5, "output_tokens": 1, "total_tokens": 6}), 0
        )
    )
    bare_turn, limited_turn, bare_call, guarded_call = [], [], [], []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare_turn.append(seconds_per_turn(plain))
        limited_turn.append(seconds_per_turn(limited))
        bare_call.append(seconds_per_call(chat))
        mas_guard.wrap(plain)
        with mas_guard.run("turns", budget={"model_calls": 10**9}):
            guarded_call.append(seconds_per_call(chat))
    mas_guard.uninstrument()
    theirs = min(limited_turn) - min(bare_turn)
    ours = min(guarded_call) - min(bare_call)
    return {
        "langchain turn: our seam / ModelCallLimitMiddleware": ours / theirs,
        "langchain turn: our seam, microseconds": ours * 1e6,
        "langchain turn: the middleware, microseconds": theirs * 1e6,
    }
