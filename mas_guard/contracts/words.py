"""How types, fields and allowed values are put in words. Only what a contract itself says is written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "nothing",
}
_LONGEST_NAME = 60  # characters of a field's name
_MOST_CHOICES = 6
_LONGEST_CHOICES = 200  # characters of all allowed values together


def kind_of(value: Any) -> str:
    """The JSON type of *value*; empty where it has none."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list | tuple | set | frozenset) else ""


def type_words(kinds: Sequence[str]) -> str:
    """`("string", "null")` as `text or nothing`."""
    return " or ".join(dict.fromkeys(_WORDS.get(kind, "something else") for kind in kinds))


def name_of(field: Any) -> str:
    """A field's name as it can be printed anywhere, cut where it is very long."""
    text = field if isinstance(field, str) else str(field)
    short = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")


def allowed_words(allowed: Sequence[Any]) -> str:
    """`one of 'open', 'closed'`, or how many there are where the list is long."""
    listed = ", ".join(repr(one) for one in allowed[:_MOST_CHOICES] if isinstance(one, str | int | float | bool | None))
    if len(allowed) > _MOST_CHOICES or len(listed) > _LONGEST_CHOICES or not listed:
        return f"one of the {len(allowed)} allowed ones" if len(allowed) != 1 else "the allowed one"
    return f"one of {name_of_all(listed)}" if len(allowed) > 1 else name_of_all(listed)


def name_of_all(text: str) -> str:
    """*text* as it can be printed anywhere."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
