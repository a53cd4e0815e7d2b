"""Reads the JSON that a text is, or holds in a fence; never raises, in time linear in the text."""

from __future__ import annotations

import json
from typing import Any

NOT_JSON: Any = type("NotJson", (), {"__repr__": lambda self: "NOT_JSON"})()
"""Stands for "this text is no JSON", since JSON can be `null`."""

_LONGEST_INTEGER = 400  # digits; the conversion of longer ones takes more than linear time


def parsed(text: str) -> Any:
    """The value that *text* is as JSON, with or without a code fence around it; `NOT_JSON` where it is none."""
    try:
        return json.loads(unfenced(text), parse_int=_integer)
    except (ValueError, RecursionError):
        return NOT_JSON


def unfenced(text: str) -> str:
    """*text* without the code fence around it."""
    stripped = text.strip()
    if not (stripped.startswith("```") and stripped.endswith("```") and len(stripped) > 6):
        return stripped
    first, newline, rest = stripped[3:-3].partition("\n")
    return rest if newline and not first.strip().startswith(("{", "[", '"')) else stripped[3:-3]


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)
