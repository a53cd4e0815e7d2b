"""Every way in which an app asks a model through the client, alike for sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

MODEL = "gpt-4o-mini"
QUESTION = [{"role": "user", "content": "What is owed?"}]


class Sum(BaseModel):
    """What the parsing helpers are asked for."""

    total: int


def _chat(c: Any) -> Any:
    return c.chat.completions.create(model=MODEL, messages=QUESTION)


def _chat_stream(c: Any) -> Any:
    for _ in c.chat.completions.create(model=MODEL, messages=QUESTION, stream=True):
        pass


def _chat_raw(c: Any) -> Any:
    return c.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION).parse()


def _chat_raw_stream(c: Any) -> Any:
    for _ in c.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, stream=True).parse():
        pass


def _chat_streaming_response(c: Any) -> Any:
    with c.chat.completions.with_streaming_response.create(model=MODEL, messages=QUESTION) as reply:
        return reply.parse()


def _chat_streamed_lines(c: Any) -> Any:
    create = c.chat.completions.with_streaming_response.create
    with create(model=MODEL, messages=QUESTION, stream=True) as reply:
        return list(reply.iter_lines())


def _chat_helper(c: Any) -> Any:
    with c.chat.completions.stream(model=MODEL, messages=QUESTION) as stream:
        for _ in stream:
            pass


def _chat_parse(c: Any) -> Any:
    return c.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Sum)


def _responses(c: Any) -> Any:
    return c.responses.create(model=MODEL, input="What is owed?")


def _responses_stream(c: Any) -> Any:
    for _ in c.responses.create(model=MODEL, input="What is owed?", stream=True):
        pass


def _responses_raw(c: Any) -> Any:
    return c.responses.with_raw_response.create(model=MODEL, input="What is owed?").parse()


def _responses_helper(c: Any) -> Any:
    with c.responses.stream(model=MODEL, input="What is owed?") as stream:
        for _ in stream:
            pass


def _responses_parse(c: Any) -> Any:
    return c.responses.parse(model=MODEL, input="What is owed?", text_format=Sum)


async def _async_chat(c: Any) -> Any:
    return await c.chat.completions.create(model=MODEL, messages=QUESTION)


async def _async_chat_stream(c: Any) -> Any:
    async for _ in await c.chat.completions.create(model=MODEL, messages=QUESTION, stream=True):
        pass


async def _async_chat_raw(c: Any) -> Any:
    return (await c.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)).parse()


async def _async_chat_streaming_response(c: Any) -> Any:
    async with c.chat.completions.with_streaming_response.create(model=MODEL, messages=QUESTION) as reply:
        return await reply.parse()


async def _async_chat_helper(c: Any) -> Any:
    async with c.chat.completions.stream(model=MODEL, messages=QUESTION) as stream:
        async for _ in stream:
            pass


async def _async_responses(c: Any) -> Any:
    return await c.responses.create(model=MODEL, input="What is owed?")


async def _async_responses_stream(c: Any) -> Any:
    async for _ in await c.responses.create(model=MODEL, input="What is owed?", stream=True):
        pass


async def _async_responses_helper(c: Any) -> Any:
    async with c.responses.stream(model=MODEL, input="What is owed?") as stream:
        async for _ in stream:
            pass


def _by_name(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {function.__name__.strip("_"): function for function in functions}


WAYS: dict[str, Callable[[Any], Any]] = _by_name(
    _chat, _chat_stream, _chat_raw, _chat_raw_stream, _chat_streaming_response, _chat_streamed_lines, _chat_helper,
    _chat_parse, _responses, _responses_stream, _responses_raw, _responses_helper, _responses_parse,
)  # fmt: skip
ASYNC_WAYS: dict[str, Callable[[Any], Awaitable[Any]]] = _by_name(
    _async_chat, _async_chat_stream, _async_chat_raw, _async_chat_streaming_response, _async_chat_helper,
    _async_responses, _async_responses_stream, _async_responses_helper,
)  # fmt: skip
