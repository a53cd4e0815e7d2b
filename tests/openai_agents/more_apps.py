"""Apps of a few test files, a stage that they share (one server, one event loop, one client for many runs), and a
scripted turn that can be stopped anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from agents import Agent, Model, OpenAIChatCompletionsModel, OpenAIResponsesModel, function_tool
from openai import AsyncOpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, fault, text
from tests.clock import Clock
from tests.openai_agents.apps import OWNER_ANSWER

TRANSFER = "transfer_to_"


class Stage:
    """Where many short runs are played, since a client takes longer to make than a run takes.

    Attributes:
        script: What the model says; each test puts its own.
        server: The local server.
    """

    def __init__(self) -> None:
        self.script: Callable[[Request], Reply | str] = lambda request: text("done")
        self.server = ModelServer(lambda request: self.script(request))
        self._loop = asyncio.Runner()
        self.client = AsyncOpenAI(base_url=self.server.url, api_key="unused", max_retries=0)

    def model(self, api: str) -> Model:
        """A model of either API."""
        if api == "responses":
            return OpenAIResponsesModel("gpt-4o-mini", self.client)
        return OpenAIChatCompletionsModel("gpt-4o-mini", self.client)

    def play(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run *coroutine* to its end."""
        return self._loop.run(coroutine)

    def close(self) -> None:
        self._loop.run(self.client.close())
        self._loop.close()
        self.server.close()


def pair(chat: Model, look_up: Callable[..., Any], **options: Any) -> Agent[Any]:
    """Two agents with the same tool, each of which can hand over to the other; the first is the entry."""
    tool = function_tool(look_up)
    front = Agent[Any](name="front", instructions="You receive.", model=chat, tools=[tool], **options)
    back = Agent[Any](name="back", instructions="You look things up.", model=chat, tools=[tool], handoffs=[front])
    front.handoffs = [back]
    return front


NEXT = "And now?"
HERE = "Here I am."
SECONDS = 60.0
TOKENS = 40_000  # what each reply of the first turn is said to have taken in

Move = tuple[str, ...]
"""What one reply asks for: `look` (the tool), `hand` (the handoff), `say` (text beside them)."""

# How the owner's concluding call may go; only the first is a conclusion.
CONCLUSIONS: dict[str, Reply] = {
    "answers": text(OWNER_ANSWER),
    "is empty": text(""),
    "fails": fault(500, "no luck"),
    "breaks off": Reply(text=OWNER_ANSWER, drop_connection=True, drop_after_chunks=1),
    "asks for a tool": call("look_up", order="one more"),
    "hands over": call(f"{TRANSFER}back"),
    "aborts": text("ABORT: nothing can be said"),
}


@dataclass(frozen=True)
class Where:
    """Where the first turn is stopped: at the *number*th crossing of a kind."""

    kind: str
    number: int = 1

    @property
    def rule(self) -> str:
        rules = {
            "hops": "hops",
            "turns": "turns",
            "model takes long": "deadline",
            "tool takes long": "deadline",
            "mid-stream": "deadline",
        }
        return "house" if self.kind.startswith("before") else rules.get(self.kind, "budget")

    @property
    def settings(self) -> dict[str, Any]:
        if self.kind == "tool_calls":
            return {"budget": {"tool_calls": self.number}}
        if self.kind == "model_calls":
            return {"budget": {"model_calls": self.number + 1}}  # one may be kept for the owner
        if self.kind == "tokens":
            return {"budget": {"tokens": TOKENS * (self.number + 1)}}
        if self.kind == "hops":
            return {"max_hops": self.number}
        return {"deadline": SECONDS} if self.rule == "deadline" else {}


@dataclass
class Play:
    """A scripted turn and what it acts on; it is a user's own rule as well."""

    where: Where
    moves: tuple[Move, ...]
    takes: float = SECONDS
    conclusion: str = "answers"
    clock: Clock = field(default_factory=Clock)
    replies: int = 0
    tools_begun: int = 0
    crossings: int = 0
    ran: list[str] = field(default_factory=list)
    broken_off: list[int] = field(default_factory=list)  # requests that a provider does not keep
    over: bool = False

    def script(self, request: Request) -> Reply:
        if NEXT in request.last_text:
            return text(HERE)
        if request.body.get("tool_choice") == "none":
            if self.conclusion in ("fails", "breaks off"):
                self.broken_off.append(request.index)
            return CONCLUSIONS[self.conclusion]
        self.replies += 1
        cut: dict[str, Any] = {}
        if self.where.kind == "model takes long" and self.replies == self.where.number:
            self.clock.advance(self.takes)
            if request.streamed:
                cut = {"wait_for": Event(), "hold_stream_after": 1}  # it never ends
                self.broken_off.append(request.index)
        if self.replies > len(self.moves):
            return text("All done.")
        handoff = next(name for name in request.tool_names if name.startswith(TRANSFER))
        names = [handoff if part == "hand" else "look_up" for part in self.moves[self.replies - 1] if part != "say"]
        asked = [
            ToolCallReply(name, {"order": f"{self.replies}-{place}"} if name == "look_up" else {}, f"call_{self.replies}_{place}")
            for place, name in enumerate(names)
        ]  # fmt: skip
        return Reply(
            "Let me see." if "say" in self.moves[self.replies - 1] else "", tuple(asked), input_tokens=TOKENS, **cut
        )

    def look_up(self, order: str) -> str:
        """Look an order up."""
        self.tools_begun += 1
        if self.where.kind == "tool takes long" and self.tools_begun == self.where.number:
            self.clock.advance(self.takes)
        self.ran.append(order)
        return f"order {order}: nothing found"

    def _verdict(self, kind: str) -> mas_guard.Verdict | None:
        if self.over or self.where.kind != f"before {kind}":
            return None
        self.crossings += 1
        if self.crossings < self.where.number:
            return None
        return mas_guard.Verdict("deny", "house", "stop", f"no more than {self.where.number}")

    @mas_guard.hookimpl
    def mas_guard_before_call(self, call: Any, run: Any) -> mas_guard.Verdict | None:
        return self._verdict(call.kind)

    @mas_guard.hookimpl
    def mas_guard_before_handoff(self, handoff: Any, run: Any) -> mas_guard.Verdict | None:
        return self._verdict("handoff")
