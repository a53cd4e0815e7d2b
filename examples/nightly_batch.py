"""A night's work under one budget: each item is a run of its own, and the sum of all cannot pass the group's limit.

Runs offline against a scripted model: python examples/nightly_batch.py
"""

from __future__ import annotations

from collections import Counter

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

LETTERS = [f"letter {number}" for number in range(1, 13)]
PER_LETTER = 6  # model calls
FOR_ALL = 20  # model calls


def build(base_url: str) -> CompiledStateGraph:
    """One agent that may look things up."""
    model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key="offline")

    def look_up(what: str) -> str:
        """Look something up in the files."""
        return f"{what} is filed under complaints"

    return create_agent(model, [look_up], system_prompt="You are clerk.", name="clerk")


def clerk_model(request: Request) -> Reply:
    """Looks up once, then answers. One letter, number 3, is never finished: it looks up something new each time."""
    letter = next(message["content"] for message in request.messages if message["role"] == "user")
    looked_up = sum(message["role"] == "tool" for message in request.messages)
    if looked_up == 0 or letter == "letter 3":
        return call("look_up", what=f"{letter}, page {looked_up + 1}")
    return text(f"{letter} is a complaint.")


def main() -> None:
    """Twelve letters, at most six calls each and twenty for all."""
    with ModelServer(clerk_model, max_requests=100) as server:
        app = mas_guard.wrap(build(server.url), budget={"model_calls": PER_LETTER})
        inputs = [{"messages": [("user", letter)]} for letter in LETTERS]
        with mas_guard.group("nightly", model_calls=FOR_ALL) as night:
            results = app.batch(inputs, {"max_concurrency": 1}, return_exceptions=True)
        for letter, result in zip(LETTERS, results, strict=True):
            if isinstance(result, mas_guard.BudgetExceeded):
                whose = "its own" if result.limit == PER_LETTER else "the night's"
                print(f"{letter:<10} not done: {result.used} of {whose} {result.limit} model calls are spent")
            else:
                print(f"{letter:<10} {result['messages'][-1].text}")
        print("outcomes:  ", dict(Counter(outcome.status for outcome in night.outcomes)))
        print("calls sent:", server.count, "of at most", FOR_ALL)


if __name__ == "__main__":
    main()
