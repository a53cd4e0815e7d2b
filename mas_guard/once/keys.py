"""What tells one effect from another: the arguments named as its key, as one hash.

Compared are values, not spellings: 17, 17.0 and "17" are one order, since a model that asks again may write it either
way, and a key's parts may come in any order. Texts are compared as they stand: "4711 " and "A17" are not "4711" and "a17".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

ID_LENGTH = 32  # hexadecimal digits: 128 bits, which every provider's idempotency key has room for


class NoKey(ValueError):
    """The effect cannot be told from others.

    Attributes:
        missing: Arguments of the key that the call does not have.
        unreadable: Arguments of the key that are no data.
    """

    def __init__(self, missing: tuple[str, ...] = (), unreadable: tuple[str, ...] = ()) -> None:
        super().__init__(f"missing: {', '.join(missing) or 'none'}; unreadable: {', '.join(unreadable) or 'none'}")
        self.missing = missing
        self.unreadable = unreadable


def key_hash(arguments: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """SHA-256 over the values that *names* have in *arguments*, the same in every process.

    Raises:
        NoKey: Where one is missing, or is an object without a value of its own.
    """
    missing = tuple(name for name in names if name not in arguments)
    values: dict[str, Any] = {}
    unreadable = []
    for name in names:
        try:
            values[name] = None if name in missing else _comparable(arguments[name])
        except (TypeError, ValueError, RecursionError, AttributeError):
            unreadable.append(name)
    if missing or unreadable:
        raise NoKey(missing, tuple(unreadable))
    return _digest(values)


def effect_id_of(run_id: str, tool: str, key: str) -> str:
    """The effect's id: a hash that says nothing of the arguments and is the same over retries, resumes and processes."""
    return _digest([run_id, tool, key])[:ID_LENGTH]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _comparable(value: Any) -> Any:
    """*value* as JSON in which what is the same value is the same text."""
    if isinstance(value, Enum):
        return _comparable(value.value)
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(name): _comparable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_comparable(item) for item in value), key=_digest)
    if not isinstance(value, type):
        if callable(dump := getattr(value, "model_dump", None)):
            return _comparable(dump())
        if dataclasses.is_dataclass(value):
            return {field.name: _comparable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _text(value)


def _number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        return str(value).lower()
    if value == int(value):
        return str(int(value))
    return repr(value) if isinstance(value, float) else format(value.normalize(), "f")


def _text(value: Any) -> str:
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        # Its text would be its address, another one in every process.
        raise TypeError(f"a {kind.__name__} has no value of its own")
    return str(value)
