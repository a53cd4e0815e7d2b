"""The net under the chat models' entries: calls that go round them are still refused, counted and charged.

A class that overrides `generate` whole, a text-completion model, or a chat model's own event stream fires LangChain's
callbacks without passing an entry that we wrap. A handler in the callback manager can refuse such a call before it is
sent, but neither cap, brief nor time it. `register_configure_hook` would put it into every manager and so into every
step of every node, at several microseconds each; it is added where a model call starts, and only to one that went
round the entries.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from mas_guard.adapter import (
    Answer,
    CallOutcome,
    OngoingCall,
    begin,
    call_flow,
    current_run,
    current_step,
    usage_of_error,
)
from mas_guard_langgraph import _chat_model, _translate


class NetHandler(BaseCallbackHandler):
    """Guards model calls that passed no entry."""

    raise_error = True  # without it LangChain logs a refusal and goes on
    run_inline = True
    ignore_chain = True
    ignore_agent = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(self) -> None:
        self._calls: dict[UUID, OngoingCall] = {}

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[Any]], *, run_id: UUID, **keywords: Any
    ) -> None:
        """Refuse or hold before anything is sent."""
        self._start(messages, run_id, keywords)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **keywords: Any) -> None:
        """Refuse or hold before anything is sent."""
        self._start([prompts], run_id, keywords)

    def on_llm_end(self, response: Any, *, run_id: UUID, **keywords: Any) -> None:
        """Book what the call used."""
        ongoing = self._calls.pop(run_id, None)
        if ongoing is not None:
            ongoing.settle(_chat_model.outcome_of_result(response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **keywords: Any) -> None:
        """Book a failed call."""
        ongoing = self._calls.pop(run_id, None)
        if ongoing is not None:
            ongoing.abandon(CallOutcome(error=error, usage=usage_of_error(error)))

    def _start(self, batches: list[list[Any]], run_id: UUID, keywords: dict[str, Any]) -> None:
        run = current_run.get()
        if run is None:
            return
        step = current_step.get()
        parameters = dict(keywords.get("invocation_params") or {})
        call = _translate.model_call(None, batches, parameters, step.agent if step is not None else "")
        ongoing = begin(call_flow(run, call), run.engine.plugins.errors)
        if isinstance(ongoing, OngoingCall):
            self._calls[run_id] = ongoing
        elif isinstance(ongoing, Answer) and run.stop is not None:
            raise run.raised()


_handler = NetHandler()


def make_start(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `on_chat_model_start` or `on_llm_start` of a synchronous or asynchronous callback manager."""

    @functools.wraps(original)
    def start(self: Any, *arguments: Any, **keywords: Any) -> Any:
        if current_run.get() is not None and _chat_model.entered.get() is None and _handler not in self.handlers:
            self.add_handler(_handler, inherit=False)
        return original(self, *arguments, **keywords)

    return start
