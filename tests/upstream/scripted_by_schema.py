"""A model for apps that it knows nothing of: it uses every tool once, then answers in the form that it is asked for.

The reply depends on the request alone, so it is the same in any order of arrival.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mas_guard.testing import Reply, Request, call, text

Schema = Mapping[str, Any]


def reply(request: Request) -> Reply:
    """Call the first tool that the history has no call of; where there is none, answer."""
    used = {used["name"] for message in request.messages for used in message.get("tool_calls", ())}
    # Where the provider keeps the history, an answered tool is all that shows of its call.
    history_is_held = bool(request.body.get("previous_response_id") or request.body.get("conversation"))
    answered = history_is_held and any(message["role"] == "tool" for message in request.messages)
    if request.body.get("tool_choice") != "none" and not answered:
        for name, parameters in _functions(request.body):
            if name not in used:
                return call(name, **example_of(parameters))
    schema = _answer_schema(request.body)
    return text("A scripted answer." if schema is None else json.dumps(example_of(schema)))


def example_of(schema: Schema, root: Schema | None = None) -> Any:
    """The plainest value that *schema* allows: the first choice, one item, every property."""
    root = schema if root is None else root
    if "$ref" in schema:
        found: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return example_of(found, root)
    for choices in ("anyOf", "oneOf", "allOf"):
        if schema.get(choices):
            return example_of(schema[choices][0], root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example_of(value, root) for name, value in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema.get("items", {}), root)] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return "scripted"


def _functions(body: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    for tool in body.get("tools") or ():
        if tool.get("type") == "function":
            function = tool.get("function", tool)
            yield function["name"], function.get("parameters") or {"type": "object"}


def _answer_schema(body: Mapping[str, Any]) -> Schema | None:
    chosen = (body.get("text") or {}).get("format") or body.get("response_format") or {}
    schema: Schema | None = chosen.get("schema") or (chosen.get("json_schema") or {}).get("schema")
    return schema
