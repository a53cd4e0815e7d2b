"""What only the model is told: the brief and other notes, added below LangChain's callbacks; and the envelope that one of
them asks for, taken off there again.

Added to the messages of `generate` or `stream`, a note would be seen by every callback handler, by event streams, and
by recorders of histories. So it waits in a context variable for the provider's own method, `_generate` or `_stream`,
which the model's class is given a thin wrapper of the first time that one of its models is told something.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mas_guard.adapter import ModelCall
from mas_guard_langgraph._envelope import taken_off, without_envelope, without_envelope_async

METHODS = ("_generate", "_agenerate", "_stream", "_astream")

_waiting: ContextVar[ModelCall | None] = ContextVar("mas_guard_langgraph_notes", default=None)
_wrapped: dict[tuple[type, str], tuple[Any, Any]] = {}


@contextmanager
def told(model: Any, call: ModelCall) -> Iterator[None]:
    """Tell the notes of *call* to *model* with its next request in this block."""
    if not call.notes:
        yield
        return
    for name in METHODS:
        _wrap(type(model), name)
    token = _waiting.set(call)
    try:
        yield
    finally:
        _waiting.reset(token)


def take_out() -> None:
    """Leave the models' classes as they were, where nobody has wrapped on top."""
    for (owner, name), (original, replacement) in _wrapped.items():
        if vars(owner).get(name) is replacement:
            setattr(owner, name, original)
    _wrapped.clear()


def _wrap(kind: type, name: str) -> None:
    owner = next((base for base in kind.__mro__ if name in vars(base)), None)
    if owner is None or (owner, name) in _wrapped:
        return
    original = vars(owner)[name]
    replacement = _adding_notes(original)
    setattr(owner, name, replacement)
    _wrapped[owner, name] = (original, replacement)


def _adding_notes(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, messages: Any, *arguments: Any, **keywords: Any) -> Any:
        call = _waiting.get()
        if call is None:
            return original(self, messages, *arguments, **keywords)
        from langchain_core.messages import HumanMessage

        # Once: the method may go on to another of the four. A user message, since several providers refuse a system
        # message anywhere but first.
        _waiting.set(None)
        messages = [*messages, *(HumanMessage(content=note) for note in call.notes)]
        reply = original(self, messages, *arguments, **keywords)
        return _taken_off(original.__name__, call, reply) if call.asks_envelope else reply

    return method


def _taken_off(method: str, call: ModelCall, reply: Any) -> Any:
    if method == "_generate":
        return taken_off(call, reply)
    if method == "_stream":
        return without_envelope(call, reply)
    if method == "_astream":
        return without_envelope_async(call, reply)

    async def awaited() -> Any:
        return taken_off(call, await reply)

    return awaited()
