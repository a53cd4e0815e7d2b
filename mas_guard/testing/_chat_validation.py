"""What Chat Completions refuses."""

from __future__ import annotations

from typing import Any

from mas_guard.testing._model_maximums import takes_only_completion_cap
from mas_guard.testing._refusal import Refusal
from mas_guard.testing._validation import (
    Body,
    Limits,
    check_cap,
    check_common,
    check_foreign,
    check_function,
    check_needs_tools,
    check_not_empty,
    check_optional,
    check_required,
    check_stream_options,
    check_tool_choice,
    check_tool_history,
    check_type,
)

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ELSEWHERE = {
    "max_output_tokens": "Use 'max_completion_tokens' instead.",
    "input": "Use 'messages' instead.",
    "instructions": "Use a system message instead.",
    "previous_response_id": "Send the whole history in 'messages' instead.",
}


def check_chat(body: Body, limits: Limits) -> None:
    """Refuse what OpenAI, and by *limits* others, refuse of a Chat Completions request.

    Raises:
        Refusal: with the provider's status, wording and code.
    """
    check_foreign(body, _ELSEWHERE)
    check_common(body)
    check_stream_options(body, limits)
    check_optional(body, dict, names=("response_format",))
    check_optional(body, str, list, names=("stop",))
    check_optional(body, int, names=("n", "seed"))
    if body.get("n") is not None and not 1 <= body["n"] <= 128:
        message = f"Invalid 'n': expected a value between 1 and 128, but got {body['n']} instead."
        raise Refusal(message, param="n", code="integer_out_of_range")
    _check_caps(body, limits)
    names = _check_tools(body)
    check_tool_choice(body, names)
    check_needs_tools(body, "parallel_tool_calls")
    check_required(body, "messages", list)
    check_not_empty(body["messages"], "messages")
    for position, message in enumerate(body["messages"]):
        _check_message(message, f"messages[{position}]")
    _check_every_call_is_answered(body["messages"])
    has_history = any(entry["role"] == "tool" or entry.get("tool_calls") for entry in body["messages"])
    check_tool_history(has_history, body, limits)


def _check_caps(body: Body, limits: Limits) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        check_cap(body, name, limits, lowest=1)
    if body.get("max_tokens") is None:
        return
    if takes_only_completion_cap(body["model"]):
        raise Refusal(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refusal(message, param="max_tokens", code="invalid_parameter_combination")


def _check_tools(body: Body) -> set[str]:
    check_optional(body, list, names=("tools",))
    if body.get("tools") is None:
        return set()
    check_not_empty(body["tools"], "tools")
    names = set()
    for position, tool in enumerate(body["tools"]):
        place = f"tools[{position}]"
        check_type(tool, place, dict)
        check_required(tool, "type", str, within=place)
        if tool["type"] == "function":
            check_required(tool, "function", dict, within=place)
            check_function(tool["function"], f"{place}.function")
            names.add(tool["function"]["name"])
    return names


def _check_message(message: Any, place: str) -> None:
    check_type(message, place, dict)
    check_required(message, "role", str, within=place)
    if message["role"] not in _ROLES:
        supported = ", ".join(f"'{role}'" for role in _ROLES)
        raise Refusal(
            f"Invalid value: '{message['role']}'. Supported values are: {supported}.",
            param=f"{place}.role",
            code="invalid_value",
        )
    if message.get("tool_calls") is not None:
        _check_tool_calls(message["tool_calls"], f"{place}.tool_calls")
    may_be_null = message["role"] == "assistant" and (message.get("tool_calls") or message.get("refusal"))
    if message.get("content") is None:
        if not may_be_null:
            raise Refusal("Invalid value for 'content': expected a string, got null.", param=f"{place}.content")
    else:
        _check_content(message["content"], f"{place}.content")
    if message["role"] == "tool":
        check_required(message, "tool_call_id", str, within=place)


def _check_content(content: Any, place: str) -> None:
    check_type(content, place, str, list)
    for position, part in enumerate(content if isinstance(content, list) else []):
        check_type(part, f"{place}[{position}]", dict)
        check_required(part, "type", str, within=f"{place}[{position}]")


def _check_tool_calls(calls: Any, place: str) -> None:
    check_type(calls, place, list)
    check_not_empty(calls, place)
    for position, call in enumerate(calls):
        here = f"{place}[{position}]"
        check_type(call, here, dict)
        check_required(call, "id", str, within=here)
        check_required(call, "type", str, within=here)
        if call["type"] == "function":
            check_required(call, "function", dict, within=here)
            check_required(call["function"], "name", str, within=f"{here}.function")
            check_required(call["function"], "arguments", str, within=f"{here}.function")


def _check_every_call_is_answered(messages: list[Body]) -> None:
    asked: dict[str, bool] = {}
    for position, message in enumerate(messages):
        place = f"messages[{position}].role"
        if message["role"] == "tool":
            _take_answer(message, asked, place)
            continue
        _refuse_unanswered(asked, place)
        asked = {call["id"]: False for call in message.get("tool_calls") or ()}
    _refuse_unanswered(asked, f"messages[{len(messages) - 1}].role")


def _take_answer(message: Body, asked: dict[str, bool], place: str) -> None:
    if not asked:
        raise Refusal(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
            param=place,
        )
    call_id = message["tool_call_id"]
    if call_id not in asked:
        raise Refusal(
            f"Invalid parameter: 'tool_call_id' of '{call_id}' not found in 'tool_calls' of previous message.",
            param=place,
        )
    asked[call_id] = True


def _refuse_unanswered(asked: dict[str, bool], place: str) -> None:
    missing = [call_id for call_id, answered in asked.items() if not answered]
    if missing:
        raise Refusal(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(missing),
            param=place,
        )
