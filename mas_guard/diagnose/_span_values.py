"""What a span says, whichever way it was written: OTLP's JSON, or the objects that SDKs print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MODEL_OPERATIONS = frozenset({"chat", "text_completion", "generate_content"})


@dataclass(slots=True)
class Span:
    """One GenAI span, without what is not needed. Texts are `None` where content was not captured.

    Attributes:
        asked: The last message that a model was sent, or the arguments of a tool.
        answered: The text of the reply, or the tool's result.
        wanted: The tools that a reply asked for.
        tokens: Input and output together.
        error: The kind of error it ended in.
    """

    trace: str
    id: str
    parent: str
    start: int
    end: int
    operation: str
    agent: str
    name: str
    asked: str | None
    answered: str | None
    wanted: tuple[str, ...]
    tokens: int
    error: str


def spans_in(value: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The spans that a JSON value holds, or `None` where it is something else."""
    resources = value.get("resourceSpans", value.get("resource_spans"))
    if isinstance(resources, list):
        return [
            span
            for resource in resources
            for scope in resource.get("scopeSpans", resource.get("scope_spans")) or ()
            for span in scope.get("spans") or ()
        ]
    if isinstance(value.get("spans"), list):
        return list(value["spans"])
    return [value] if _id(value, "trace") and _id(value, "span") else None


def read_span(span: Mapping[str, Any]) -> Span:
    """Read one span.

    Raises:
        ValueError: Where it has no ids.
    """
    trace, own = _id(span, "trace"), _id(span, "span")
    if not trace or not own:
        raise ValueError("a span without traceId and spanId")
    said = _attributes(span.get("attributes"))
    for event in span.get("events") or ():
        for key, value in _attributes(event.get("attributes")).items():
            said.setdefault(key, value)
    operation = str(said.get("gen_ai.operation.name", ""))
    start = _time(span.get("startTimeUnixNano", span.get("start_time", span.get("startTime"))))
    asked, answered, wanted = _contents(operation, said)
    return Span(
        trace,
        own,
        _parent(span),
        start,
        max(start, _time(span.get("endTimeUnixNano", span.get("end_time", span.get("endTime"))))),
        operation,
        str(said.get("gen_ai.agent.name", "")),
        str(said.get("gen_ai.tool.name" if operation == "execute_tool" else "gen_ai.request.model", "")),
        asked,
        answered,
        wanted,
        _count(said.get("gen_ai.usage.input_tokens")) + _count(said.get("gen_ai.usage.output_tokens")),
        str(said.get("error.type", "")),
    )


def _contents(operation: str, said: Mapping[str, Any]) -> tuple[str | None, str | None, tuple[str, ...]]:
    if operation == "execute_tool":
        arguments, result = said.get("gen_ai.tool.call.arguments"), said.get("gen_ai.tool.call.result")
        return _written(arguments), _written(result), ()
    if operation not in MODEL_OPERATIONS:
        return None, None, ()
    sent, reply = _messages(said.get("gen_ai.input.messages")), _messages(said.get("gen_ai.output.messages"))
    texts, wanted = [], []
    for part in (part for message in reply for part in _parts(message)):
        if part.get("type") == "tool_call":
            wanted.append(str(part.get("name", "")))
        elif isinstance(part.get("content"), str):
            texts.append(part["content"])
    asked = "\n".join(_said(part) for part in _parts(sent[-1])) if sent else None
    return asked, "\n".join(texts) if reply else None, tuple(wanted)


def _said(part: Mapping[str, Any]) -> str:
    # Ids are new with every call; what was said is compared.
    content = part.get("content", part.get("response", part.get("result")))
    return content if isinstance(content, str) else json.dumps(content, sort_keys=True, default=str)


def _messages(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, str):
        value = json.loads(value)
    return [message for message in value if isinstance(message, dict)] if isinstance(value, list) else []


def _parts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = message.get("parts")
    if isinstance(parts, list):
        yield from (part for part in parts if isinstance(part, dict))
    elif message.get("content") is not None:
        yield {"content": message["content"]}


def _written(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, default=str)


def _attributes(given: Any) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    return {str(entry.get("key")): _any_value(entry.get("value")) for entry in given or ()}


def _any_value(value: Any) -> Any:
    """OTLP wraps each value in an object that names its type."""
    if not isinstance(value, dict):
        return value
    if "arrayValue" in value:
        return [_any_value(element) for element in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        return {entry.get("key"): _any_value(entry.get("value")) for entry in value["kvlistValue"].get("values") or ()}
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)


def _id(span: Mapping[str, Any], kind: str) -> str:
    context = span.get("context")
    for place in (span, context if isinstance(context, dict) else {}):
        found = place.get(f"{kind}Id") or place.get(f"{kind}_id")
        if found:
            return str(found).removeprefix("0x")
    return ""


def _parent(span: Mapping[str, Any]) -> str:
    found = span.get("parentSpanId") or span.get("parent_span_id") or span.get("parent_id")
    return str(found or "").removeprefix("0x")


def _time(value: Any) -> int:
    if isinstance(value, str) and not value.isdigit():
        return int(datetime.fromisoformat(value).timestamp() * 1e9)
    return int(value or 0)


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float | str) and str(value).isdigit() else 0
