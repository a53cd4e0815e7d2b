"""From a scripted reply to what the model really answers: ids, token counts, and the cut at the cap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from mas_guard.testing._request import CHAT_COMPLETIONS, Request
from mas_guard.testing.replies import Reply, ToolCallReply

EPOCH = 1_700_000_000
"""Creation times count from here, so that equal runs give equal bytes."""


@dataclass(frozen=True)
class Usage:
    """Tokens as reported; `cached` is part of `input`, `reasoning` is part of `output`."""

    input: int
    output: int
    cached: int
    reasoning: int


@dataclass(frozen=True)
class AnswerCall:
    """A tool call with its id and its arguments as JSON text, cut where the cap fell."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """What is written on the wire, whichever wire it is.

    Attributes:
        index: The request's index; all ids derive from it.
        pieces: The text, or the refusal, as a stream's pieces.
        refused: Whether `pieces` is a refusal.
        calls: The tool calls.
        finish_reason: As Chat Completions names it.
        usage: None where none is reported.
        choices: Number of equal choices (`n`).
    """

    index: int
    model: str
    pieces: tuple[str, ...]
    refused: bool
    calls: tuple[AnswerCall, ...]
    finish_reason: str
    usage: Usage | None
    choices: int = 1

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def created(self) -> int:
        return EPOCH + self.index


def answer(reply: Reply, request: Request, held_bytes: int = 0) -> Answer:
    """Work out what *reply* says to *request*; *held_bytes* is the size of the history the server held."""
    pieces = _pieces(reply)
    calls = tuple(_call(call, request.index, position) for position, call in enumerate(reply.tool_calls))
    size = sum(map(len, pieces)) + sum(len(call.name) + len(call.arguments) for call in calls)
    output = reply.output_tokens
    if output is None:
        output = max(1, size // 4) + reply.reasoning_tokens
    finish = reply.finish_reason or ("tool_calls" if calls else "stop")
    cap = cap_of(request)
    reasoning = reply.reasoning_tokens
    if cap is not None and cap < output:
        # Reasoning is spent first: a model that thinks up to its cap says nothing.
        room = size * max(0, cap - reasoning) // max(1, output - reasoning)
        pieces, calls = _cut(pieces, calls, room)
        output, reasoning, finish = cap, min(reasoning, cap), "length"
    choices = (request.body.get("n") or 1) if request.path == CHAT_COMPLETIONS else 1
    usage = None
    if reply.usage:
        given = reply.input_tokens
        estimate = max(1, (len(request.raw) + held_bytes) // 4)
        usage = Usage(estimate if given is None else given, output * choices, reply.cached_tokens, reasoning * choices)
    return Answer(request.index, request.model, pieces, reply.refusal is not None, calls, finish, usage, choices)


def cap_of(request: Request) -> int | None:
    """The smallest output cap in the request, in tokens; None where it sets none."""
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    caps = [request.body[name] for name in names if request.body.get(name) is not None]
    return min(caps) if caps else None


def split(text: str, count: int) -> tuple[str, ...]:
    """*text* in at most *count* pieces of about the same length, none empty."""
    count = min(count, len(text))
    marks = [len(text) * step // count for step in range(count + 1)] if count else [0]
    return tuple(text[start:end] for start, end in pairwise(marks))


def _pieces(reply: Reply) -> tuple[str, ...]:
    if reply.chunks is not None:
        return reply.chunks
    return split(reply.text if reply.refusal is None else reply.refusal, reply.chunk_count)


def _call(call: ToolCallReply, index: int, position: int) -> AnswerCall:
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
    return AnswerCall(call.id or f"call_{index}_{position}", call.name, arguments)


def _cut(
    pieces: tuple[str, ...], calls: tuple[AnswerCall, ...], room: int
) -> tuple[tuple[str, ...], tuple[AnswerCall, ...]]:
    kept_pieces: list[str] = []
    for piece in pieces:
        kept_pieces.append(piece[:room])
        room -= len(kept_pieces[-1])
    kept_calls: list[AnswerCall] = []
    for call in calls:
        room -= len(call.name)
        if room <= 0:
            break
        kept_calls.append(AnswerCall(call.id, call.name, call.arguments[:room]))
        room -= len(kept_calls[-1].arguments)
    return tuple(piece for piece in kept_pieces if piece), tuple(kept_calls)
