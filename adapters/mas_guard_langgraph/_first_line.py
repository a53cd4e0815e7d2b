"""Holds the first words of a concluding answer back from token callbacks until they are known to be no directive."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mas_guard.adapter import FirstLine, ModelCall

Token = tuple[tuple[Any, ...], dict[str, Any]]

_holding: ContextVar[FirstLine[Token] | None] = ContextVar("mas_guard_langgraph_first_line", default=None)


@contextmanager
def held_back(call: ModelCall, first_line: FirstLine[Token] | None = None) -> Iterator[None]:
    """Hold the first line of a concluding *call* back in this block; a stream passes its own *first_line* each time."""
    if not call.concluding or _holding.get() is not None:
        yield
        return
    token = _holding.set(first_line if first_line is not None else FirstLine())
    try:
        yield
    finally:
        _holding.reset(token)


def make_new_token(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `on_llm_new_token` of the synchronous callback manager."""

    @functools.wraps(original)
    def on_llm_new_token(self: Any, token: str, *arguments: Any, **keywords: Any) -> Any:
        holding = _holding.get()
        if holding is None:
            return original(self, token, *arguments, **keywords)
        for held, named in holding.take(token, ((token, *arguments), keywords)):
            original(self, *held, **named)
        return None

    return on_llm_new_token


def make_new_token_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `on_llm_new_token` of the asynchronous callback manager."""

    @functools.wraps(original)
    async def on_llm_new_token(self: Any, token: str, *arguments: Any, **keywords: Any) -> Any:
        holding = _holding.get()
        if holding is None:
            return await original(self, token, *arguments, **keywords)
        for held, named in holding.take(token, ((token, *arguments), keywords)):
            await original(self, *held, **named)
        return None

    return on_llm_new_token
