"""LangChain's messages and replies as what the guard needs of them: texts, bounds, usage."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from mas_guard.adapter import CallOutcome, ModelCall, Usage, exact_counter, input_bound, sum_usage
from mas_guard.prices import PER_MEDIA, PER_MESSAGE

CAP_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_tokens_to_sample")
_TEXT_PARTS = ("text", "text_delta", "refusal", "reasoning", "thinking", "tool_use", "function_call")


PLAIN_PARTS = ("text", "text_delta", "refusal", "reasoning", "thinking", "redacted_thinking")
REFUSALS = ("content_filter", "refusal", "safety")
TYPED = ("response_format", "ls_structured_output_format", "functions", "previous_response_id")
NAME_ATTRIBUTES = ("model_name", "model", "model_id", "deployment_name")


_attributes: weakref.WeakKeyDictionary[type, dict[tuple[str, ...], tuple[str, ...]]] = weakref.WeakKeyDictionary()


def _attributes_of(kind: type, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of *names* that models of this class have: asking a pydantic model for one it lacks takes microseconds."""
    known = _attributes.setdefault(kind, {})
    if names not in known:
        fields = getattr(kind, "model_fields", {})
        known[names] = tuple(name for name in names if name in fields or hasattr(kind, name))
    return known[names]


def model_name(model: Any, keywords: dict[str, Any]) -> str:
    """The model's name as the app gives it."""
    for name in (keywords.get("model"), keywords.get("model_name")):
        if isinstance(name, str) and name:
            return name
    for attribute in _attributes_of(type(model), NAME_ATTRIBUTES):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return type(model).__name__ if model is not None else str(keywords.get("_type", "unknown"))


def cap_key(model: Any, keywords: dict[str, Any]) -> str:
    """The keyword by which this model takes a cap on its output."""
    for key in CAP_KEYS:
        if key in keywords:
            return key
    return next(iter(_attributes_of(type(model), CAP_KEYS)), CAP_KEYS[0])


def own_cap(model: Any, keywords: dict[str, Any]) -> int | None:
    """The app's own cap on the output, in tokens."""
    for key in CAP_KEYS:
        value = keywords.get(key)
        if isinstance(value, int) and value > 0:
            return value
    for key in _attributes_of(type(model), CAP_KEYS):
        value = getattr(model, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def model_call(model: Any, batches: Sequence[Sequence[Any]], keywords: dict[str, Any], agent: str) -> ModelCall:
    """Translate one call; *batches* are the message lists that it sends."""
    name = model_name(model, keywords)
    bound, media = 0, 0
    for messages in batches:
        for message in messages:
            tokens, parts = _message_bound(message)
            bound += tokens
            media += parts
    extra = _settings_text(keywords)
    bound += input_bound(extra) * len(batches) if extra else 0
    last: Any = batches[-1][-1] if batches and batches[-1] else None

    def count_exactly() -> int | None:
        count = exact_counter(name)
        if count is None or media:
            return None
        total = count(extra) * len(batches)
        for messages in batches:
            total += sum(count(_message_text(message)) + PER_MESSAGE for message in messages)
        return total

    choices = keywords.get("n") or (getattr(model, "n", None) if _attributes_of(type(model), ("n",)) else None) or 1
    return ModelCall(
        name,
        agent,
        input_bound=bound,
        max_output=own_cap(model, keywords),
        choices=choices if isinstance(choices, int) else 1,
        requests=max(1, len(batches)),
        last_message=text_of(getattr(last, "content", last or "")),
        count_exactly=count_exactly,
        unseen_input=bool(media) or bool(keywords.get("previous_response_id")),
        takes_envelope=len(batches) == 1 and choices == 1 and not any(keywords.get(key) for key in TYPED),
    )


def _message_bound(message: Any) -> tuple[int, int]:
    content = getattr(message, "content", message)
    media = 0
    if isinstance(content, list):
        media = sum(1 for part in content if isinstance(part, dict) and part.get("type", "text") not in _TEXT_PARTS)
    return input_bound(_message_text(message)) + PER_MESSAGE + media * PER_MEDIA, media


def _message_text(message: Any) -> str:
    content = getattr(message, "content", message)
    text = content if isinstance(content, str) else _parts_text(content)
    calls = getattr(message, "tool_calls", None)
    if calls:
        text += json.dumps(calls, default=str)
    name = getattr(message, "name", None)
    return f"{text}{name}" if name else text


def _parts_text(content: Any) -> str:
    if not isinstance(content, list):
        return str(content)
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS:
            texts.append(json.dumps(part, default=str))
    return "".join(texts)


def _settings_text(keywords: dict[str, Any]) -> str:
    parts = [keywords[key] for key in ("tools", "functions", "response_format") if keywords.get(key)]
    return json.dumps(parts, default=_schema) if parts else ""


def _schema(value: Any) -> Any:
    schema = getattr(value, "model_json_schema", None)
    return schema() if callable(schema) else str(value)


def text_of(content: Any) -> str:
    """The readable text of a message's content."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else str(part.get("text", "")) if isinstance(part, dict) else ""
            for part in content
        )
    return str(content)


def outcome_of_messages(messages: Iterable[Any]) -> CallOutcome:
    """How a call ended, from the messages that it gave."""
    texts: list[str] = []
    calls: list[str] = []
    usages: list[Usage] = []
    cut = cached = refused = False
    plain = 0
    for message in messages:
        plain += 1 if is_plain(message) else 2
        refused = refused or was_refused(message)
        texts.append(text_of(getattr(message, "content", getattr(message, "text", ""))))
        calls += [str(call.get("name")) for call in getattr(message, "tool_calls", None) or ()]
        metadata = getattr(message, "usage_metadata", None)
        if metadata:
            cached = cached or metadata.get("total_cost") == 0
        usages.append(usage_of(metadata))
        cut = cut or was_cut(getattr(message, "response_metadata", None))
    return CallOutcome(
        "\n".join(texts),
        tuple(calls),
        sum_usage(usages),
        cut=cut,
        cached=cached,
        answered=plain == 1 and not calls,
        refused=refused,
    )


def is_plain(message: Any) -> bool:
    """True where a message, or a chunk of one, holds nothing but text."""
    content = getattr(message, "content", "")
    if getattr(message, "invalid_tool_calls", None) or (getattr(message, "additional_kwargs", None) or {}).get("audio"):
        return False
    if isinstance(content, str):
        return True
    parts = content if isinstance(content, list) else ()
    return all(isinstance(part, str) or (isinstance(part, dict) and part.get("type") in PLAIN_PARTS) for part in parts)


def was_refused(message: Any) -> bool:
    """True where the provider says that the model refused, or that a filter took the answer."""
    if (getattr(message, "additional_kwargs", None) or {}).get("refusal"):
        return True
    content = getattr(message, "content", "")
    if isinstance(content, list) and any(isinstance(part, dict) and part.get("type") == "refusal" for part in content):
        return True
    metadata = getattr(message, "response_metadata", None) or {}
    return str(metadata.get("finish_reason") or metadata.get("stop_reason")).lower() in REFUSALS


def usage_of(metadata: Any) -> Usage:
    """LangChain's usage metadata; what is missing is unknown."""
    if not metadata or "input_tokens" not in metadata or "output_tokens" not in metadata:
        return Usage()
    details = metadata.get("input_token_details") or {}
    return Usage(metadata["input_tokens"], metadata["output_tokens"], cached_tokens=details.get("cache_read") or 0)


def was_cut(metadata: Any) -> bool:
    """True where the provider says that the reply reached its cap."""
    if not metadata:
        return False
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or metadata.get("done_reason")
    incomplete = metadata.get("incomplete_details") or {}
    return str(reason).lower() in ("length", "max_tokens") or (
        isinstance(incomplete, dict) and incomplete.get("reason") == "max_output_tokens"
    )
