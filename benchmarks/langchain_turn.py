"""What the guard adds to a turn of a LangChain agent, against what `ModelCallLimitMiddleware` adds to the same turn.

A turn is one question to a `create_agent` agent whose scripted model answers in this process. The middleware counts
model calls and nothing else; the guard's figure is all of it: the run, its record, budget, hops, and the model seam.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import mas_guard
from benchmarks import fastest

TURNS = 60
ROUNDS = 40


def agent(*middleware: Any) -> Any:
    from langchain.agents import create_agent
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Scripted(BaseChatModel):
        model: str = "gpt-4o-mini"
        max_tokens: int = 1000

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **keywords: Any) -> ChatResult:
            usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Done.", usage_metadata=usage))])

    return create_agent(Scripted(), tools=[], middleware=middleware)


def seconds_per_turn(app: Any) -> float:
    gc.collect()
    began = time.process_time()
    for _ in range(TURNS):
        app.invoke({"messages": [("user", "hello")]})
    return (time.process_time() - began) / TURNS


def measure() -> dict[str, float]:
    from langchain.agents.middleware import ModelCallLimitMiddleware

    plain, limited = agent(), agent(ModelCallLimitMiddleware(run_limit=1_000))
    bare, middleware, guarded = [], [], []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare.append(seconds_per_turn(plain))
        middleware.append(seconds_per_turn(limited))
        guarded.append(seconds_per_turn(mas_guard.wrap(plain)))
    mas_guard.uninstrument()
    of_middleware = fastest(middleware) - fastest(bare)
    return {
        "turn: added by the guard, of what ModelCallLimitMiddleware adds": (fastest(guarded) - fastest(bare))
        / of_middleware,
        "turn: bare, microseconds": fastest(bare) * 1e6,
        "turn: added by ModelCallLimitMiddleware, microseconds": of_middleware * 1e6,
        "turn: added by the guard, microseconds": (fastest(guarded) - fastest(bare)) * 1e6,
    }
