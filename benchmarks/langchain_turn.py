"""What our LangChain seam adds to a model call, against what `ModelCallLimitMiddleware` adds to a turn with that call.

A turn is one question to a `create_agent` agent whose scripted model answers in this process. Ours is the model seam
with all it does for a call: translate, ask the rules, reserve, settle, read the reply. The last row is the whole
guard around the whole turn: the run with its boundary and outcome, and every superstep.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import mas_guard
from benchmarks import fastest

TURNS = 50
ROUNDS = 40
BOUNDS = {"langchain turn: our seam / ModelCallLimitMiddleware": 0.30}
UNLIMITED = {"tokens": 10**12, "model_calls": 10**9}


def scripted_model() -> Any:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Scripted(BaseChatModel):
        model: str = "gpt-4o-mini"
        max_tokens: int = 1_000

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **keywords: Any) -> ChatResult:
            usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Done.", usage_metadata=usage))])

    return Scripted()


def seconds(do: Callable[[Any], Any], question: Any) -> float:
    gc.collect()
    began = time.process_time()
    for _ in range(TURNS):
        do(question)
    return (time.process_time() - began) / TURNS


def measure() -> dict[str, float]:
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelCallLimitMiddleware
    from langchain_core.messages import HumanMessage

    model = scripted_model()
    plain = create_agent(model, tools=[])
    limited = create_agent(model, tools=[], middleware=[ModelCallLimitMiddleware(run_limit=1_000)])
    turn, call = {"messages": [("user", "hello")]}, [HumanMessage("hello")]
    bare_turn, limited_turn, guarded_turn, bare_call, guarded_call = [], [], [], [], []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare_turn.append(seconds(plain.invoke, turn))
        limited_turn.append(seconds(limited.invoke, turn))
        bare_call.append(seconds(model.invoke, call))
        guarded_turn.append(seconds(mas_guard.wrap(plain).invoke, turn))
        with mas_guard.run("many turns", budget=UNLIMITED):
            guarded_call.append(seconds(model.invoke, call))
    mas_guard.uninstrument()
    theirs = fastest(limited_turn) - fastest(bare_turn)
    ours = fastest(guarded_call) - fastest(bare_call)
    return {
        "langchain turn: our seam / ModelCallLimitMiddleware": ours / theirs,
        "langchain turn: our seam, microseconds": ours * 1e6,
        "langchain turn: ModelCallLimitMiddleware, microseconds": theirs * 1e6,
        "langchain turn: the whole guard, microseconds": (fastest(guarded_turn) - fastest(bare_turn)) * 1e6,
    }
