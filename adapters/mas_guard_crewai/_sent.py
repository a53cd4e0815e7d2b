"""One guarded call of a model while it is out: what its provider's class hears of it on the way.

CrewAI's classes say what came back by calling methods of their own base class: usage, why the reply ended, the pieces
of a stream. Those are heard here; and what only the model was told, or said for the guard alone, is kept from the
events that the app may listen to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from crewai.llms import retry

from mas_guard.adapter import (
    CallOutcome,
    FirstLine,
    Held,
    ModelCall,
    Run,
    Usage,
    check_time,
    current_step,
    read_trailer,
)
from mas_guard_crewai import _translate

Make = Callable[..., Any]

current_sent: ContextVar[Sent | None] = ContextVar("mas_guard_crewai_sent", default=None)


class Sent:
    """See the module's text.

    Attributes:
        call: The call, whose notes go with the messages.
        messages: What the app gave.
        is_answer: True where the reply may be an agent's own answer, and no analysis beside it.
    """

    # On the class, not set anew for every call: most calls come to none of them.
    finish_reason = ""
    held: Held | None = None
    first_line: FirstLine[str] | None = None
    last_piece: tuple[Any, tuple[Any, ...], dict[str, Any]] | None = None
    _retrying: Token[bool] | None = None
    _sending: Token[Sent | None]

    def __init__(self, run: Run, call: ModelCall, messages: Any, *, is_answer: bool) -> None:
        self.run = run
        self.call = call
        self.messages = messages
        self.is_answer = is_answer
        self.usages: list[Usage] = []

    def leave(self) -> None:
        """It is out: what is heard on the way is its own, and only the provider's client tries again."""
        self._sending = current_sent.set(self)
        policy = self.run.policy
        if policy.mode == "enforce" and policy.retries.per_call is not None:
            self._retrying = retry._active_llm_rate_limit_retry.set(True)

    def come_back(self) -> None:
        """It is over."""
        if self._retrying is not None:
            retry._active_llm_rate_limit_retry.reset(self._retrying)
        current_sent.reset(self._sending)

    def with_notes(self) -> list[Any]:
        """The messages with the notes that the model alone is told."""
        notes = [{"role": "user", "content": note} for note in self.call.notes]
        return [*_translate.as_messages(self.messages), *notes]

    def taken_off(self, reply: Any) -> Any:
        """*reply* without the envelope that was asked for, which is kept in the call."""
        if not isinstance(reply, str):
            self.call.asks_envelope = False  # it asks for tools: no final answer yet
            return reply
        said = read_trailer(reply)
        if _translate.calls_tool(said.text):
            self.call.asks_envelope = False
        else:
            self.call.said = said
        return said.text if said.there else reply

    def may_pass(self, chunk: str) -> str:
        """What of a stream may be shown, now that *chunk* is there: no directive, and no envelope."""
        if self.call.concluding:
            if self.first_line is None:
                self.first_line = FirstLine()
            chunk = "".join(self.first_line.take(chunk, chunk))
        if self.call.asks_envelope:
            if self.held is None:
                self.held = Held()
            chunk = self.held.take(chunk)
        return chunk

    def outcome(self, reply: Any) -> CallOutcome:
        """How it ended."""
        return _translate.outcome_of(reply, self.usages, self.finish_reason, self.is_answer)


def make_track(original: Make) -> Make:
    """Wrap `BaseLLM._track_token_usage_internal`, told once a request."""

    @functools.wraps(original)
    def _track_token_usage_internal(self: Any, usage_data: Any) -> Any:
        sent = current_sent.get()
        if sent is not None:
            try:
                sent.usages.append(_translate.usage_of(usage_data))
            except Exception as error:
                sent.run.engine.plugins.errors.report("Reading the usage of a CrewAI model", error)
        return original(self, usage_data)

    return _track_token_usage_internal


def make_started(original: Make) -> Make:
    """Wrap `BaseLLM._emit_call_started_event`: listeners see the app's own messages."""

    @functools.wraps(original)
    def _emit_call_started_event(self: Any, messages: Any, *arguments: Any, **keywords: Any) -> Any:
        sent = current_sent.get()
        if sent is not None and sent.call.optional:
            return None  # neither request nor reply is the app's
        return original(self, messages if sent is None else sent.messages, *arguments, **keywords)

    return _emit_call_started_event


def make_completed(original: Make) -> Make:
    """Wrap `BaseLLM._emit_call_completed_event`, and LiteLLM's own way to say the same: it says why the reply ended."""

    @functools.wraps(original)
    def _emit_call_completed_event(self: Any, response: Any, *arguments: Any, **keywords: Any) -> Any:
        sent = current_sent.get()
        if sent is None:
            return original(self, response, *arguments, **keywords)
        sent.finish_reason = str(keywords.get("finish_reason") or sent.finish_reason)
        if sent.call.optional:
            return None
        if sent.call.asks_envelope and isinstance(response, str):
            response = read_trailer(response).text
        if sent.call.notes and keywords.get("messages"):
            keywords["messages"] = _without_notes(sent, keywords["messages"])
        return original(self, response, *arguments, **keywords)

    return _emit_call_completed_event


def _without_notes(sent: Sent, given: Any) -> Any:
    """The messages in the form that the provider's class has given them, without what the model alone was told."""
    notes = sent.call.notes
    last = given[-len(notes) :] if isinstance(given, list) else []
    if [_translate.text_of(one.get("content")) for one in last if isinstance(one, dict)] == notes:
        return given[: -len(notes)]
    return sent.messages


def make_chunk(original: Make) -> Make:
    """Wrap `BaseLLM._emit_stream_chunk_event`: the envelope and a directive are held back, and time is kept."""

    @functools.wraps(original)
    def _emit_stream_chunk_event(self: Any, chunk: Any, *arguments: Any, **keywords: Any) -> Any:
        sent = current_sent.get()
        if sent is None:
            return original(self, chunk, *arguments, **keywords)
        if sent.run.policy.mode == "enforce":
            check_time(sent.run, current_step.get(), concluding=sent.call.concluding)
        if sent.call.optional:
            return None
        if isinstance(chunk, str) and chunk and not keywords.get("tool_call"):
            sent.last_piece = (self, arguments, keywords)
            chunk = sent.may_pass(chunk)
            if not chunk:
                return None
        elif sent.last_piece is not None:
            show_rest(sent)  # a tool call follows: what was held back before it is no envelope
        return original(self, chunk, *arguments, **keywords)

    return _emit_stream_chunk_event


def show_rest(sent: Sent) -> None:
    """The reply has ended: what was held back of its stream and belongs to the answer is shown."""
    if sent.last_piece is None:
        return
    (llm, arguments, keywords), sent.last_piece = sent.last_piece, None
    rest = "".join(sent.first_line.rest()) if sent.first_line is not None else ""
    if sent.held is not None:
        rest = (sent.held.take(rest) if rest else "") + sent.held.rest()
    if rest:
        token = current_sent.set(None)
        try:
            llm._emit_stream_chunk_event(rest, *arguments, **keywords)
        finally:
            current_sent.reset(token)
