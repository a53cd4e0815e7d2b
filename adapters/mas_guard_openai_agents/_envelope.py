"""Takes the envelope that a worker was asked for off its reply: the app, its history and its streams never have it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mas_guard.adapter import Held, ModelCall, Said, read_trailer
from mas_guard_openai_agents._text import field


def taken_off(call: ModelCall, reply: Any) -> Any:
    """*reply*, a `ModelResponse`, without the envelope, which is kept in *call*; a copy where it is changed."""
    if not call.asks_envelope:
        return reply
    return replace(reply, output=_output_without(call, reply.output))


def _output_without(call: ModelCall, output: Any) -> list[Any]:
    items = list(output or ())
    if any(field(item, "type") == "function_call" for item in items):
        call.asks_envelope = False  # no final answer: none was asked of this one
    for at, item in enumerate(items):
        if field(item, "type") == "message":
            items[at] = _item_without(call, item)
    return items


def _item_without(call: ModelCall, item: Any) -> Any:
    parts = field(item, "content")
    if not isinstance(parts, list):
        return item
    kept = [_part_without(call, part) for part in parts]
    if all(mine is theirs for mine, theirs in zip(kept, parts, strict=True)):
        return item
    return {**item, "content": kept} if isinstance(item, dict) else item.model_copy(update={"content": kept})


def _part_without(call: ModelCall, part: Any) -> Any:
    text = field(part, "text")
    if not isinstance(text, str):
        return part
    said = read_trailer(text)
    if said.there or call.said is None:
        call.said = said
    if said.text == text:
        return part
    return {**part, "text": said.text} if isinstance(part, dict) else part.model_copy(update={"text": said.text})


class EnvelopeStream:
    """Holds the envelope back from the events of one streamed reply."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._held = Held()
        self._last: Any = None

    def take(self, event: Any) -> list[Any]:
        """The events to show for *event*."""
        if not self._call.asks_envelope:
            return [event]
        kind = field(event, "type")
        if kind == "response.output_text.delta":
            passed, self._last = self._held.take(str(field(event, "delta") or "")), event
            return [_with(event, delta=passed)] if passed else []
        if kind == "response.output_text.done":
            return [*self._rest(), _with(event, text=read_trailer(str(field(event, "text") or "")).text)]
        if kind == "response.content_part.done":
            return [*self._rest(), _with(event, part=_part_without(_unread(), field(event, "part")))]
        if kind == "response.output_item.done":
            return [*self._rest(), _with(event, item=_item_without(_unread(), field(event, "item")))]
        if str(kind) in ("response.completed", "response.incomplete"):
            response = field(event, "response")
            return [
                *self._rest(),
                _with(event, response=_with(response, output=_output_without(self._call, field(response, "output")))),
            ]
        return [event]

    def _rest(self) -> list[Any]:
        """What was held back and is the answer's, before the event that ends the text; not every stream has the same one."""
        rest = self._held.rest()
        return [_with(self._last, delta=rest)] if rest and self._last is not None else []


def _unread() -> ModelCall:
    return ModelCall("", said=Said(""))


def _with(thing: Any, **changes: Any) -> Any:
    return {**thing, **changes} if isinstance(thing, dict) else thing.model_copy(update=changes)
