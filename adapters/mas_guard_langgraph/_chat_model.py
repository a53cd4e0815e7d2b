"""LangChain's chat models of any provider, where every way of calling one passes.

`invoke`, `ainvoke`, `batch`, structured output and agents come through `generate` / `agenerate`; streaming comes
through `stream` / `astream`. A callback handler could refuse a call as well, but could not cap, brief or time it.
`stream` falls back to `invoke` for models that cannot stream: the inner entry of the same model is passed through.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from mas_guard.adapter import (
    CallOutcome,
    FirstLine,
    ModelCall,
    Run,
    Usage,
    check_time,
    current_run,
    current_step,
    guard_call,
    guard_call_async,
    guard_stream,
    guard_stream_async,
    live_call,
    outside_run,
    sum_usage,
)
from mas_guard_langgraph import _repair, _translate
from mas_guard_langgraph._first_line import Token, held_back
from mas_guard_langgraph._notes import told

entered: ContextVar[Any] = ContextVar("mas_guard_langgraph_model", default=None)
_generating: ContextVar[ModelCall | None] = ContextVar("mas_guard_langgraph_generating", default=None)
Make = Callable[..., Any]


def make_generate(original: Make) -> Make:
    """Wrap `BaseChatModel.generate`."""

    @functools.wraps(original)
    def generate(self: Any, messages: Any, stop: Any = None, callbacks: Any = None, **keywords: Any) -> Any:
        run = current_run.get()
        if run is None or entered.get() is self:
            _unguarded(run, self)
            return original(self, messages, stop, callbacks, **keywords)
        call = _begin(run, self, messages, keywords)

        def send() -> Any:
            token, generating = entered.set(self), _generating.set(call)
            try:
                with told(self, call), held_back(call):
                    return original(self, messages, stop, callbacks, **_keywords(self, call, keywords))
            finally:
                _generating.reset(generating)
                entered.reset(token)

        result = guard_call(run, call, send, outcome_of_result)
        if call.asks_envelope:
            _repair.repair(run, self, messages, call, functools.partial(original, self), keywords)
        return result

    return generate


def make_agenerate(original: Make) -> Make:
    """Wrap `BaseChatModel.agenerate`."""

    @functools.wraps(original)
    async def agenerate(self: Any, messages: Any, stop: Any = None, callbacks: Any = None, **keywords: Any) -> Any:
        run = current_run.get()
        if run is None or entered.get() is self:
            _unguarded(run, self)
            return await original(self, messages, stop, callbacks, **keywords)
        call = _begin(run, self, messages, keywords)

        async def send() -> Any:
            token = entered.set(self)
            try:
                with told(self, call), held_back(call):
                    return await original(self, messages, stop, callbacks, **_keywords(self, call, keywords))
            finally:
                entered.reset(token)

        result = await guard_call_async(run, call, send, outcome_of_result)
        if call.asks_envelope:
            await _repair.repair_async(run, self, messages, call, functools.partial(original, self), keywords)
        return result

    return agenerate


def make_stream(original: Make) -> Make:
    """Wrap `BaseChatModel.stream`."""

    @functools.wraps(original)
    def stream(self: Any, input: Any, config: Any = None, *, stop: Any = None, **keywords: Any) -> Iterator[Any]:
        run = current_run.get()
        if run is None or entered.get() is self:
            _unguarded(run, self)
            return original(self, input, config, stop=stop, **keywords)  # type: ignore[no-any-return]
        messages = self._convert_input(input).to_messages()
        call = _begin(run, self, [messages], keywords)
        chunks = guard_stream(
            run,
            call,
            lambda: _inside(self, call, original(self, input, config, stop=stop, **_keywords(self, call, keywords))),
            _Chunks(),
        )
        return _repair.after(chunks, run, self, [messages], call, keywords) if _asks(run) else chunks

    return stream


def make_astream(original: Make) -> Make:
    """Wrap `BaseChatModel.astream`."""

    @functools.wraps(original)
    def astream(self: Any, input: Any, config: Any = None, *, stop: Any = None, **keywords: Any) -> AsyncIterator[Any]:
        run = current_run.get()
        if run is None or entered.get() is self:
            _unguarded(run, self)
            return original(self, input, config, stop=stop, **keywords)  # type: ignore[no-any-return]
        messages = self._convert_input(input).to_messages()
        call = _begin(run, self, [messages], keywords)
        chunks = guard_stream_async(
            run,
            call,
            lambda: _inside_async(
                self, call, original(self, input, config, stop=stop, **_keywords(self, call, keywords))
            ),
            _Chunks(),
        )
        return _repair.after_async(chunks, run, self, [messages], call, keywords) if _asks(run) else chunks

    return astream


def make_new_token(original: Make) -> Make:
    """Wrap `CallbackManagerForLLMRun.on_llm_new_token`: where the app streams a call of `generate`, every token of
    every provider passes here, and the stream is cut once time is over. (An asynchronous one is cancelled.)"""

    @functools.wraps(original)
    def on_llm_new_token(self: Any, *arguments: Any, **keywords: Any) -> Any:
        told = original(self, *arguments, **keywords)
        call = _generating.get()
        if call is not None and (live := live_call.get()) is not None and live.call is call:
            check_time(live.run, current_step.get(), concluding=call.concluding)
        return told

    return on_llm_new_token


def _asks(run: Run) -> bool:
    return run.policy.envelopes == "require"


def _unguarded(run: Run | None, model: Any) -> None:
    if run is None:
        outside_run(f"A call of {type(model).__name__}")


def _begin(run: Run, model: Any, batches: Any, keywords: dict[str, Any]) -> ModelCall:
    step = current_step.get()
    return _translate.model_call(model, batches, keywords, step.agent if step is not None else "")


def _keywords(model: Any, call: ModelCall, keywords: dict[str, Any]) -> dict[str, Any]:
    """The app's keywords, with our cap only where it binds, and no tool choice in the concluding turn."""
    if call.output_cap is None and not call.concluding:
        return keywords
    changed = dict(keywords)
    if call.output_cap is not None:
        changed[_translate.cap_key(model, keywords)] = call.output_cap
    if call.concluding and changed.get("tools"):
        anthropic = "anthropic" in type(model).__module__
        changed["tool_choice"] = {"type": "none"} if anthropic else "none"
    return changed


def outcome_of_result(result: Any) -> CallOutcome:
    """How a call ended, from LangChain's result of it."""
    messages = [
        getattr(generation, "message", generation) for generations in result.generations for generation in generations
    ]
    outcome = _translate.outcome_of_messages(messages)
    if outcome.usage.known or outcome.cached:
        return outcome
    said = (result.llm_output or {}).get("token_usage") or {}
    if "prompt_tokens" in said and "completion_tokens" in said:
        return replace(outcome, usage=Usage(said["prompt_tokens"], said["completion_tokens"]))
    return outcome


class _Chunks:
    """Reads a stream of message chunks."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[str] = []
        self._usage: Any = None
        self._cut = False
        self._cached = False
        self._plain = True
        self._refused = False

    def add(self, chunk: Any) -> bool:
        self._texts.append(_translate.text_of(chunk.content))
        for part in getattr(chunk, "tool_call_chunks", None) or ():
            if part.get("name"):
                self._calls.append(part["name"])
        metadata = getattr(chunk, "usage_metadata", None)
        if metadata:
            self._cached = self._cached or metadata.get("total_cost") == 0
            self._usage = _add(self._usage, _translate.usage_of(metadata))
        self._cut = self._cut or _translate.was_cut(getattr(chunk, "response_metadata", None))
        self._plain = self._plain and _translate.is_plain(chunk)
        self._refused = self._refused or _translate.was_refused(chunk)
        return True

    def outcome(self) -> CallOutcome:
        return CallOutcome(
            "".join(self._texts),
            tuple(self._calls),
            self._usage or Usage(),
            cut=self._cut,
            cached=self._cached,
            answered=self._plain and not self._calls,
            refused=self._refused,
        )


def _add(first: Any, second: Any) -> Any:
    if first is None or not first.known:
        return second
    return sum_usage([first, second]) if second.known else first


def _inside(model: Any, call: ModelCall, stream: Iterator[Any]) -> Iterator[Any]:
    first_line: FirstLine[Token] = FirstLine()
    try:
        while True:
            token = entered.set(model)
            try:
                with told(model, call), held_back(call, first_line):
                    chunk = next(stream)
            except StopIteration:
                return
            finally:
                entered.reset(token)
            yield chunk
    finally:
        stream.close()  # type: ignore[attr-defined]


async def _inside_async(model: Any, call: ModelCall, stream: Any) -> AsyncIterator[Any]:
    first_line: FirstLine[Token] = FirstLine()
    try:
        while True:
            token = entered.set(model)
            try:
                with told(model, call), held_back(call, first_line):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            finally:
                entered.reset(token)
            yield chunk
    finally:
        await stream.aclose()
