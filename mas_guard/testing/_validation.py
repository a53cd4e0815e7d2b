"""What providers refuse of any request: the fields both APIs share, and which limits a server enforces.

What is particular to an API stands in `_chat_validation` and `_responses_validation`. The checks and their
wording follow OpenAI's; the switches of `Limits` add what other providers refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mas_guard.testing._model_maximums import MODEL_MAXIMUMS, maximum_of
from mas_guard.testing._refusal import Refusal

Body = dict[str, Any]

_TYPE_NAMES: dict[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True)
class Limits:
    """What one server refuses beyond malformed requests; the fields are the keywords of `ModelServer`."""

    model_maximums: Mapping[str, int] = field(default_factory=lambda: MODEL_MAXIMUMS)
    unknown_model_maximum: int | None = None
    refuse_tool_history_without_tools: bool = False
    refuse_stream_options: bool = False


def check_type(value: object, name: str, *kinds: type) -> None:
    """Refuse *value* unless its JSON type is one of *kinds*; null passes only where it is listed."""
    if type(value) in kinds:
        return
    wanted = " or ".join(_TYPE_NAMES[kind] for kind in kinds if kind is not type(None))
    got = _TYPE_NAMES[type(value)]
    raise Refusal(
        f"Invalid type for '{name}': expected {wanted}, but got {got} instead.",
        param=name,
        code="invalid_type",
    )


def check_optional(body: Body, *kinds: type, names: tuple[str, ...]) -> None:
    """Refuse those of the fields *names* that are there, are not null, and are not of *kinds*."""
    for name in names:
        check_type(body.get(name), name, *kinds, type(None))


def check_required(body: Body, name: str, *kinds: type, within: str = "") -> None:
    """Refuse a missing field; *within* names the object that should hold it."""
    place = f"{within}.{name}" if within else name
    if name not in body:
        raise Refusal(f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter")
    check_type(body[name], place, *kinds)


def check_not_empty(value: list[Any], name: str) -> None:
    """Refuse an empty array."""
    if not value:
        message = f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got 0 instead."
        raise Refusal(message, param=name, code="empty_array")


def check_foreign(body: Body, elsewhere: Mapping[str, str]) -> None:
    """Refuse fields of the other API; *elsewhere* says what to use instead."""
    for name, instead in elsewhere.items():
        if name in body:
            message = f"Unsupported parameter: '{name}'. {instead}"
            raise Refusal(message, param=name, code="unsupported_parameter")


def check_common(body: Body) -> None:
    """The fields that mean the same in both APIs."""
    check_required(body, "model", str)
    check_optional(body, bool, names=("stream", "store", "parallel_tool_calls"))
    check_optional(body, dict, names=("stream_options", "metadata"))
    check_optional(body, int, float, names=("temperature", "top_p"))
    for name, highest in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and not 0 <= value <= highest:
            message = f"Invalid '{name}': expected a value between 0 and {highest}, but got {value} instead."
            raise Refusal(message, param=name, code="decimal_out_of_range")


def check_cap(body: Body, name: str, limits: Limits, lowest: int) -> None:
    """The cap on the output: an integer, not below *lowest*, not above what the model grants."""
    check_optional(body, int, names=(name,))
    cap = body.get(name)
    if cap is None:
        return
    if cap < lowest:
        raise Refusal(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {lowest}, but got {cap} instead.",
            param=name,
            code="integer_below_min_value",
        )
    maximum = maximum_of(body["model"], limits.model_maximums, limits.unknown_model_maximum)
    if maximum is not None and cap > maximum:
        raise Refusal(
            f"{name} is too large: {cap}. This model supports at most {maximum} completion tokens, "
            f"whereas you provided {cap}.",
            param=name,
            code="invalid_value",
        )


def check_stream_options(body: Body, limits: Limits) -> None:
    """Where `stream_options` may stand at all."""
    if body.get("stream_options") is None:
        return
    if limits.refuse_stream_options:
        message = "Extra inputs are not permitted: 'stream_options'."
        raise Refusal(message, param="stream_options", code="extra_forbidden", status=422)
    if body.get("stream") is not True:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refusal(message, param="stream_options")


def check_tool_choice(body: Body, names: set[str]) -> None:
    """A tool choice needs tools, and the tool it names must be one of *names*."""
    check_optional(body, str, dict, names=("tool_choice",))
    check_needs_tools(body, "tool_choice")
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        message = f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'."
        raise Refusal(message, param="tool_choice", code="invalid_value")
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = choice.get("function", choice)
        check_type(function, "tool_choice.function", dict)
        check_required(function, "name", str, within="tool_choice.function")
        if function["name"] not in names:
            message = f"Tool choice '{function['name']}' not found in 'tools' parameter."
            raise Refusal(message, param="tool_choice")


def check_needs_tools(body: Body, name: str) -> None:
    """Refuse a field that says how tools are used where none are declared."""
    if body.get(name) is not None and not body.get("tools"):
        message = f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
        raise Refusal(message, param=name)


def check_function(function: Body, place: str) -> None:
    """A function tool's own fields."""
    check_required(function, "name", str, within=place)
    for name, kind in (("description", str), ("parameters", dict), ("strict", bool)):
        check_type(function.get(name), f"{place}.{name}", kind, type(None))


def check_tool_history(has_history: bool, body: Body, limits: Limits) -> None:
    """Bedrock refuses a history of tool use where no tools are declared."""
    if limits.refuse_tool_history_without_tools and has_history and not body.get("tools"):
        message = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        raise Refusal(message, param="tools")
