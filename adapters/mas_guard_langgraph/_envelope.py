"""Takes the envelope that a worker was asked for off its reply, below LangChain's callbacks: no handler, stream, cache or
history ever has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from mas_guard.adapter import Held, ModelCall, read_trailer
from mas_guard_langgraph._translate import text_of


def taken_off(call: ModelCall, result: Any) -> Any:
    """*result*, a `ChatResult`, without the envelope, which is kept in *call*."""
    for at, generation in enumerate(result.generations):
        message = generation.message
        said = read_trailer(text_of(message.content))
        if message.tool_calls:
            call.asks_envelope = False  # no final answer: none was asked of this one
        else:
            call.said = said
        if said.there:
            changed = message.model_copy(update={"content": _content_without(message.content)})
            result.generations[at] = type(generation)(message=changed, generation_info=generation.generation_info)
    return result


def _content_without(content: Any) -> Any:
    if isinstance(content, str):
        return read_trailer(content).text
    return [_part_without(part) for part in content]


def _part_without(part: Any) -> Any:
    if isinstance(part, str):
        return read_trailer(part).text
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": read_trailer(part["text"]).text}
    return part


def without_envelope(call: ModelCall, chunks: Iterator[Any]) -> Iterator[Any]:
    """The chunks of a streamed reply with the envelope held back."""
    holding = _Holding(call)
    for chunk in chunks:
        yield from holding.take(chunk)
    yield from holding.rest()


async def without_envelope_async(call: ModelCall, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The same, asynchronously."""
    holding = _Holding(call)
    async for chunk in chunks:
        for shown in holding.take(chunk):
            yield shown
    for shown in holding.rest():
        yield shown


class _Holding:
    """What of one streamed reply waits."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._held = Held()
        self._said = ""
        self._last: Any = None

    def take(self, chunk: Any) -> list[Any]:
        message = chunk.message
        if message.tool_call_chunks:
            self._call.asks_envelope = False
        text = text_of(message.content)
        self._said += text
        ends = _ends(chunk)
        if text:
            self._last = chunk
            passed = self._held.take(text)
            chunk = _with_text(chunk, passed)
            if not passed and not ends and not message.usage_metadata:
                return []
        return [*self.rest(), chunk] if ends else [chunk]

    def rest(self) -> list[Any]:
        """What is left once the reply has ended."""
        if self._last is None:
            return []
        self._call.said = read_trailer(self._said)
        rest, last = self._held.rest(), self._last
        self._last = None
        return [_with_text(last, rest)] if rest else []


def _ends(chunk: Any) -> bool:
    said = {**(chunk.generation_info or {}), **(chunk.message.response_metadata or {})}
    return bool(said.get("finish_reason") or said.get("stop_reason") or said.get("status") == "completed")


def _with_text(chunk: Any, text: str) -> Any:
    message = chunk.message
    content: Any = text
    if isinstance(message.content, list):
        parts = [part for part in message.content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        others = [part for part in message.content if part not in parts]
        content = [*others, *([{**parts[0], "text": text}] if parts and text else [])]
    changed = message.model_copy(update={"content": content})
    return type(chunk)(message=changed, generation_info=chunk.generation_info)
