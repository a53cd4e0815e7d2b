"""What Responses refuses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mas_guard.testing._refusal import Refusal
from mas_guard.testing._validation import (
    Body,
    Limits,
    check_cap,
    check_common,
    check_foreign,
    check_function,
    check_not_empty,
    check_optional,
    check_required,
    check_stream_options,
    check_tool_choice,
    check_tool_history,
    check_type,
)

_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_ROLES = ("system", "developer", "user", "assistant")
_MOVED = "In the Responses API, this parameter has moved to '{}'."
_ELSEWHERE = {
    "max_tokens": _MOVED.format("max_output_tokens"),
    "max_completion_tokens": _MOVED.format("max_output_tokens"),
    "messages": _MOVED.format("input"),
    "response_format": _MOVED.format("text.format"),
    "n": "Send the request several times instead.",
}


def check_responses(body: Body, limits: Limits) -> None:
    """Refuse what OpenAI, and by *limits* others, refuse of the fields of a Responses request.

    Raises:
        Refusal: with the provider's status, wording and code.
    """
    check_foreign(body, _ELSEWHERE)
    check_common(body)
    check_stream_options(body, limits)
    if "include_usage" in (body.get("stream_options") or {}):
        message = "Unknown parameter: 'stream_options.include_usage'."
        raise Refusal(message, param="stream_options.include_usage", code="unknown_parameter")
    check_optional(body, str, names=("instructions", "previous_response_id"))
    check_optional(body, str, dict, names=("conversation",))
    if isinstance(body.get("conversation"), dict):
        check_required(body["conversation"], "id", str, within="conversation")
    check_optional(body, dict, names=("text", "reasoning"))
    check_cap(body, "max_output_tokens", limits, lowest=16)
    check_tool_choice(body, _check_tools(body))
    check_required(body, "input", str, list)
    if isinstance(body["input"], list):
        check_not_empty(body["input"], "input")
        for position, item in enumerate(body["input"]):
            _check_item(item, f"input[{position}]")


def check_items(items: Iterable[Body], body: Body, limits: Limits) -> None:
    """Refuse a history in which a call has no output, or an output no call before it.

    *items* are those that the server holds, then those of the request.
    """
    known: set[str] = set()
    owed: dict[str, None] = {}
    for item in items:
        if item.get("type") in _CALLS:
            known.add(item["call_id"])
            owed[item["call_id"]] = None
        elif item.get("type") in _OUTPUTS:
            if item["call_id"] not in known:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise Refusal(message, param="input")
            owed.pop(item["call_id"], None)
    if owed:
        raise Refusal(f"No tool output found for function call {next(iter(owed))}.", param="input")
    check_tool_history(bool(known), body, limits)


def _check_tools(body: Body) -> set[str]:
    check_optional(body, list, names=("tools",))
    names = set()
    for position, tool in enumerate(body.get("tools") or []):
        place = f"tools[{position}]"
        check_type(tool, place, dict)
        check_required(tool, "type", str, within=place)
        if tool["type"] == "function":
            check_function(tool, place)
            names.add(tool["name"])
    return names


def _check_item(item: Any, place: str) -> None:
    check_type(item, place, dict)
    kind = item.get("type", "message")
    check_type(kind, f"{place}.type", str)
    if kind == "message":
        _check_message(item, place)
    elif kind in _CALLS:
        for name in ("call_id", "name", "arguments" if kind == "function_call" else "input"):
            check_required(item, name, str, within=place)
    elif kind in _OUTPUTS:
        check_required(item, "call_id", str, within=place)
        check_required(item, "output", str, list, within=place)
    elif kind == "item_reference":
        check_required(item, "id", str, within=place)


def _check_message(item: Body, place: str) -> None:
    check_required(item, "role", str, within=place)
    if item["role"] not in _ROLES:
        supported = ", ".join(f"'{role}'" for role in _ROLES)
        message = f"Invalid value: '{item['role']}'. Supported values are: {supported}."
        raise Refusal(message, param=f"{place}.role", code="invalid_value")
    check_required(item, "content", str, list, within=place)
    for position, part in enumerate(item["content"] if isinstance(item["content"], list) else []):
        check_type(part, f"{place}.content[{position}]", dict)
        check_required(part, "type", str, within=f"{place}.content[{position}]")
