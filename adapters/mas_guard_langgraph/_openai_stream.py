"""Streams of LangChain's OpenAI models: with a base URL of one's own they report no usage unless asked.

Inside a guarded call the stream is asked for its usage. The chunk that carries it is kept from the app, which did not
ask for it. An endpoint that refuses the option (400 or 422) is asked once more without it; that is remembered per
host, and the spend is estimated from then on.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from mas_guard.adapter import ModelCall, live_call
from mas_guard_langgraph import _translate

_refusing: set[str] = set()
Make = Callable[..., Any]


def make_stream(original: Make) -> Make:
    """Wrap `BaseChatOpenAI._stream`."""

    @functools.wraps(original)
    def _stream(self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **keywords: Any) -> Iterator[Any]:
        call = _call_to_ask_for(self, keywords)
        if call is None:
            yield from original(self, messages, stop, run_manager, **keywords)
            return
        asked = {**keywords, "stream_usage": True}
        stream = original(self, messages, stop, None, **asked)
        try:
            chunk = next(stream, None)
        except Exception as error:
            if not _refuses(self, error):
                raise
            yield from original(self, messages, stop, run_manager, **keywords)
            return
        while chunk is not None:
            if not _is_ours(call, chunk):
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk, **_logprobs(chunk))
                yield chunk
            chunk = next(stream, None)

    return _stream


def make_astream(original: Make) -> Make:
    """Wrap `BaseChatOpenAI._astream`."""

    @functools.wraps(original)
    async def _astream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **keywords: Any
    ) -> AsyncIterator[Any]:
        call = _call_to_ask_for(self, keywords)
        if call is None:
            async for chunk in original(self, messages, stop, run_manager, **keywords):
                yield chunk
            return
        asked = {**keywords, "stream_usage": True}
        stream = original(self, messages, stop, None, **asked)
        try:
            chunk = await anext(stream, None)
        except Exception as error:
            if not _refuses(self, error):
                raise
            async for chunk in original(self, messages, stop, run_manager, **keywords):
                yield chunk
            return
        while chunk is not None:
            if not _is_ours(call, chunk):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk, **_logprobs(chunk))
                yield chunk
            chunk = await anext(stream, None)

    return _astream


def _call_to_ask_for(model: Any, keywords: dict[str, Any]) -> ModelCall | None:
    live = live_call.get()
    if live is None or not isinstance(live.call, ModelCall) or live.run.policy.mode != "enforce":
        return None
    usage = dict(keywords)
    if model._should_stream_usage(usage.pop("stream_usage", None), **usage) or _host(model) in _refusing:
        return None
    return live.call


def _refuses(model: Any, error: Exception) -> bool:
    if getattr(error, "status_code", None) not in (400, 422) or "stream_options" not in str(error):
        return False
    _refusing.add(_host(model))
    return True


def _host(model: Any) -> str:
    return str(getattr(model, "openai_api_base", None) or getattr(model, "azure_endpoint", None) or "")


def _is_ours(call: ModelCall, chunk: Any) -> bool:
    metadata = getattr(chunk.message, "usage_metadata", None)
    if not metadata:
        return False
    call.usage_seen = _translate.usage_of(metadata)
    empty = not chunk.message.content and not chunk.message.tool_call_chunks
    if not empty or (chunk.generation_info or {}).get("finish_reason"):
        chunk.message.usage_metadata = None
        return False
    return True


def _logprobs(chunk: Any) -> dict[str, Any]:
    return {"logprobs": (chunk.generation_info or {}).get("logprobs")}
