"""CrewAI's messages, replies and usage as what the guard needs of them."""

from __future__ import annotations

import functools
import json
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from crewai.agents.constants import ACTION_INPUT_REGEX, FINAL_ANSWER_ACTION

from mas_guard.adapter import CallOutcome, ModelCall, Usage, exact_counter, input_bound, sum_usage
from mas_guard.prices import PER_MEDIA, PER_MESSAGE
from mas_guard.types import UNKNOWN_USAGE

CUT = ("length", "max_tokens", "max_output_tokens", "finishreason.max_tokens")
REFUSED = ("content_filter", "refusal", "safety", "guardrail_intervened", "finishreason.safety", "content_filtered")
CAPS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
KNOWN_USAGE = (
    "prompt_tokens", "prompt_token_count", "input_tokens", "completion_tokens", "candidates_token_count", "output_tokens",
)  # fmt: skip


# By the class's id, and an entry goes with its class: a weak dictionary costs more to ask than the caps themselves.
_caps_known: dict[int, tuple[str, ...]] = {}


def as_messages(messages: Any) -> list[Any]:
    """What `call` was given, as a list of messages."""
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages or ())


def model_call(llm: Any, messages: Any, given: Mapping[str, Any], agent: str) -> ModelCall:
    """Translate one call of *llm*."""
    listed = messages if type(messages) is list else as_messages(messages)
    tools, shape = given.get("tools"), given.get("response_model")
    extra, bound = "", 0
    if tools or shape is not None:
        extra = json.dumps([tools, _schema(shape)], default=str)
        bound = input_bound(extra)
    media = 0
    text: Any = ""
    for message in listed:
        # Nearly all are a role and a text: read here, since a long conversation passes this loop with every call.
        if type(message) is not dict or len(message) != 2 or type(text := message.get("content")) is not str:
            text, parts = _message_text(message)
            media += parts
        bound += len(text) if text.isascii() else input_bound(text)
    bound += len(listed) * PER_MESSAGE
    return ModelCall(
        name := model_name(llm),
        agent,
        input_bound=bound + media * PER_MEDIA,
        max_output=own_cap(llm),
        last_message=text,
        count_exactly=None if media else functools.partial(_count_exactly, name, listed, extra),
        unseen_input=media > 0,
    )


def _count_exactly(name: str, messages: list[Any], extra: str) -> int | None:
    count = exact_counter(name)
    if count is None:
        return None
    return count(extra) + sum(count(_message_text(message)[0]) + PER_MESSAGE for message in messages)


def model_name(llm: Any) -> str:
    """The model's name as the app gives it, without a provider before it."""
    name = str(getattr(llm, "model", "") or type(llm).__name__)
    return name.rsplit("/", 1)[-1] if "/" in name else name


def own_cap(llm: Any) -> int | None:
    """The app's own cap on the output, in tokens."""
    known = _caps_known.get(id(type(llm)))
    for key in _caps_of(type(llm)) if known is None else known:
        value = getattr(llm, key, None)
        if value is not None and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return int(value)
    return None


def _caps_of(kind: type) -> tuple[str, ...]:
    """Those of `CAPS` that models of this class have: asking a pydantic model for one it lacks takes microseconds."""
    fields = getattr(kind, "model_fields", {})
    known = _caps_known[id(kind)] = tuple(key for key in CAPS if key in fields or hasattr(kind, key))
    weakref.finalize(kind, _caps_known.pop, id(kind), None).atexit = False
    return known


def text_of(content: Any) -> str:
    """The readable text of a message's content."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(
            part if isinstance(part, str) else str(part.get("text", "")) if isinstance(part, Mapping) else ""
            for part in content
        )
    return "" if content is None else str(content)


def outcome_of(reply: Any, usages: list[Usage], finish_reason: str, is_answer: bool) -> CallOutcome:
    """How a call ended, from what it returned and what its provider's class said of it, request by request."""
    usage = UNKNOWN_USAGE if not usages else usages[0] if len(usages) == 1 else sum_usage(usages)
    tools: tuple[str, ...] = ()
    cut = refused = answered = False
    if type(reply) is str and FINAL_ANSWER_ACTION not in reply:
        text = reply
    elif isinstance(reply, list):
        text, tools, is_answer = "", tuple(map(_tool_name, reply)), False
    else:
        text = final_answer(reply_text(reply))
    if finish_reason:
        reason = finish_reason.lower()
        cut, refused = reason in CUT, reason in REFUSED
    if is_answer:
        answered = not calls_tool(text)
    return CallOutcome(text, tools, usage, None, cut, False, answered, refused)


def final_answer(text: str) -> str:
    """What CrewAI takes for the answer where a model thinks aloud before it, as those without native tool calls do."""
    return text.split(FINAL_ANSWER_ACTION)[-1].strip() if FINAL_ANSWER_ACTION in text else text


def calls_tool(text: str) -> bool:
    """True where a model without native tool calls asks for a tool in its text: no final answer yet."""
    return "Action" in text and FINAL_ANSWER_ACTION not in text and ACTION_INPUT_REGEX.search(text) is not None


def reply_text(reply: Any) -> str:
    """The text of what a call returned."""
    if isinstance(reply, str):
        return reply
    dump = getattr(reply, "model_dump_json", None)
    if callable(dump):
        return str(dump())
    return "" if reply is None else str(getattr(reply, "text", reply))


def usage_of(data: Any) -> Usage:
    """What a provider's class tracked; what it does not name is unknown."""
    if not data:
        return Usage()
    from crewai.types.usage_metrics import UsageMetrics

    given = data if isinstance(data, dict) else _as_dict(data)
    if not any(isinstance(given.get(key), int) for key in KNOWN_USAGE):
        return Usage()
    metrics = UsageMetrics.from_provider_dict(given)
    if metrics is None:
        return Usage()
    return Usage(metrics.prompt_tokens, metrics.completion_tokens, cached_tokens=metrics.cached_prompt_tokens)


def _as_dict(data: Any) -> dict[str, Any]:
    dump = getattr(data, "model_dump", None)
    return dict(dump()) if callable(dump) else dict(vars(data))


def _message_text(message: Any) -> tuple[str, int]:
    if not isinstance(message, Mapping):
        return str(message), 0
    content, media = message.get("content"), 0
    if isinstance(content, list):
        media = sum(
            isinstance(part, Mapping) and part.get("type", "text") not in ("text", "tool_result", "tool_use")
            for part in content
        )
    text = text_of(content)
    if message.get("tool_calls"):
        text += json.dumps(message["tool_calls"], default=str)
    files = message.get("files")
    return text, media + (len(files) if isinstance(files, Mapping | list) else 0)


def _schema(shape: Any) -> Any:
    schema = getattr(shape, "model_json_schema", None)
    return schema() if callable(schema) else None


def _tool_name(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, Mapping) else getattr(call, "function", call)
    name = function.get("name") if isinstance(function, Mapping) else getattr(function, "name", None)
    return str(name or "")
