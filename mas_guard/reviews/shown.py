"""What a person is shown, as plain data, and its fingerprint: an approval holds for exactly that."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from mas_guard.reviews.errors import NotShowable

DEEPEST = 64
"""Levels of nesting that are shown; nobody reads more, and what nobody reads nobody approves."""

_LONGEST_INTEGER = 10_000  # bits; Python refuses to write much longer ones as decimals


def as_data(value: Any) -> Any:
    """*value* as JSON data: models and dataclasses by their fields, what has no form of its own as text.

    Raises:
        NotShowable: Where it refers to itself, is nested deeper than 64 levels, or refuses to be read.
    """
    try:
        return _data(value, 0)
    except NotShowable:
        raise
    except Exception as error:  # whatever an app's object raises when it is read
        raise NotShowable(
            f"A {type(value).__name__} cannot be shown to a person: reading it raised {type(error).__name__}. Show "
            "the part that matters, as plain data."
        ) from error


def canonical(value: Any) -> str:
    """JSON data as text that is the same for the same data: sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def fingerprint_of(kind: str, agent: str, shown: Mapping[str, Any]) -> str:
    """SHA-256 over what a person is shown: *kind*, *agent*, and *shown* with its tool, arguments and context.

    Whoever carries a decision out computes it anew from what is about to be done and gives it to
    `Desk.resolution`, which refuses an approval of anything else.

    Raises:
        NotShowable: As `as_data`.
    """
    text = canonical({"kind": kind, "agent": agent, "shown": as_data(shown)})
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _data(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise NotShowable(
            f"What is to be shown refers to itself or is nested deeper than {DEEPEST} levels. Show the part that "
            "matters, as plain data."
        )
    if isinstance(value, Enum):
        return _data(value.value, depth + 1)
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LONGEST_INTEGER else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return _object(value, depth)
    if isinstance(value, list | tuple):
        return [_data(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_data(item, depth + 1) for item in value), key=canonical)
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return _data(dump(), depth + 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _object(fields, depth)
    # A date, a path or an amount has a text of its own; anything else gives its representation.
    return repr(value) if isinstance(value, bytes) else str(value)


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, item in value.items():
        name = str(key)
        if name in data:  # 1 and "1" would be one key, and one of the two would go unseen
            name = f"{name} ({type(key).__name__})"
        data[name] = _data(item, depth + 1)
    return data
