"""Replies as how a call ended: text, tools asked for, usage, and whether the output cap cut it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from mas_guard.adapter import CallOutcome, Usage
from mas_guard_openai._kinds import COMPACTION, EMBEDDINGS, RESPONSES, Kind
from mas_guard_openai._translate import text_of


def read_reply(kind: Kind, content: bytes) -> tuple[CallOutcome, str]:
    """Read the body of a reply; returns its outcome and its id."""
    if kind is EMBEDDINGS:
        return CallOutcome(usage=_embedding_usage(content)), ""
    reply = json.loads(content)
    if not isinstance(reply, Mapping):
        return CallOutcome(), ""
    outcome = read_response(reply) if kind in (RESPONSES, COMPACTION) else _read_choices(reply)
    return outcome, str(reply.get("id") or "")


def read_response(reply: Mapping[str, Any]) -> CallOutcome:
    """A reply of the Responses API."""
    texts, calls, other, refused = [], [], False, False
    for item in reply.get("output") or ():
        if item.get("type") == "message":
            texts.append(text_of(item.get("content")))
            refused = refused or any(part.get("type") == "refusal" for part in item.get("content") or ())
        elif str(item.get("type", "")).endswith("_call") and item.get("name"):
            calls.append(str(item["name"]))
        else:
            other = other or item.get("type") != "reasoning"
    why = (reply.get("incomplete_details") or {}).get("reason")
    return CallOutcome(
        "\n".join(texts),
        tuple(calls),
        usage_of(reply.get("usage")),
        cut=why == "max_output_tokens",
        answered=not (calls or other),
        refused=refused or why == "content_filter",
    )


def _read_choices(reply: Mapping[str, Any]) -> CallOutcome:
    texts, calls, cut, refused, other = [], [], False, False, False
    choices = reply.get("choices") or ()
    for choice in choices:
        message = choice.get("message") or {}
        refused = refused or bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        other = other or bool(message.get("audio"))
        texts.append(choice.get("text") or text_of(message.get("content")) or message.get("refusal") or "")
        calls += tool_names(message)
        cut = cut or choice.get("finish_reason") == "length"
    return CallOutcome(
        "\n".join(texts),
        tuple(calls),
        usage_of(reply.get("usage")),
        cut=cut,
        answered=len(choices) == 1 and not (calls or other),
        refused=refused,
    )


def tool_names(message: Mapping[str, Any]) -> list[str]:
    """The names of the tools that a message, or a piece of one, asks for."""
    called = [call.get("function") or call.get("custom") or {} for call in message.get("tool_calls") or ()]
    named = [*called, message.get("function_call") or {}]
    return [str(function["name"]) for function in named if function.get("name")]


def usage_of(said: Any) -> Usage:
    """The provider's word in either API's names; what is missing is unknown."""
    if not isinstance(said, Mapping):
        return Usage()
    for sent, received, details in (
        ("prompt_tokens", "completion_tokens", "prompt_tokens_details"),
        ("input_tokens", "output_tokens", "input_tokens_details"),
    ):
        if _is_count(said.get(sent)) and _is_count(said.get(received)):
            part = said.get(details)
            cached = part.get("cached_tokens") if isinstance(part, Mapping) else 0
            return Usage(said[sent], said[received], cached_tokens=cached if _is_count(cached) else 0)
    return Usage()


def _embedding_usage(content: bytes) -> Usage:
    # The body is megabytes of vectors, so only its last object is read.
    start = content.rfind(b'"usage"')
    start = content.find(b"{", start) if start >= 0 else -1
    end = content.find(b"}", start)
    said = json.loads(content[start : end + 1]) if start >= 0 else {}
    tokens = said.get("prompt_tokens", said.get("total_tokens"))
    return Usage(tokens, 0) if _is_count(tokens) else Usage()


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
