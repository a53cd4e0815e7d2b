"""The shape of an output: types and field names, no values. What contracts are learned from, safe to record.

A name that could be data (an address, a number, a key) is no field name: such an object is recorded as a table of
values by unnamed keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mas_guard.contracts.json_text import NOT_JSON, parsed
from mas_guard.contracts.plain import plain_value
from mas_guard.contracts.words import kind_of

Shape = dict[str, Any]

DEEPEST = 8  # levels; what lies deeper can be anything
MOST_FIELDS = 64  # of one object; more is a table
MOST_PLACES = 400  # of one shape
MOST_ITEMS = 50  # of a list that are looked at
LONGEST_JSON = 1_000_000  # characters; a longer text is only a text

# Words of letters, each with a few digits at most once, joined by `_` or `-`: keys and tokens change more often.
_FIELD_NAME = re.compile(
    r"_{0,2}[^\W\d_]+(?:\d{1,4}[^\W\d_]*)?(?:[_-]{1,2}(?:\d{1,4}|[^\W\d_]+(?:\d{1,4}[^\W\d_]*)?))*_?"
)
_LONGEST_NAME = 40  # characters
_DIGITS = re.compile(r"\d")
_MOST_DIGITS = 4


def shape_of(value: Any) -> Shape:
    """Return the shape of *value* as a JSON schema: types and field names only. Bounded in size, never raises.

    A text that is a JSON object or list has the shape of what it says.
    """
    try:
        value = plain_value(value)
        if isinstance(value, str) and len(value) <= LONGEST_JSON and value.lstrip()[:1] in ("{", "[", "`"):
            found = parsed(value)
            if found is not NOT_JSON and isinstance(found, dict | list):
                value = found
        return _Measuring().shape(value, 0)
    except Exception:  # a mapping that raises: nothing is known of it
        return {}


def merge_shapes(*shapes: Mapping[str, Any]) -> Shape:
    """Return the shape that covers all of *shapes*. What every object has is required; an empty shape is anything."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for shape in shapes:
        for form in _forms(shape):
            kind = form.get("type")
            if not isinstance(kind, str):
                return {}
            by_kind.setdefault(kind, []).append(form)
    if "integer" in by_kind and "number" in by_kind:
        by_kind.pop("integer")
    merged = [_merged(kind, forms) for kind, forms in sorted(by_kind.items())]
    if not merged:
        return {}
    return merged[0] if len(merged) == 1 else {"anyOf": merged}


def _forms(shape: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    alternatives = shape.get("anyOf")
    if isinstance(alternatives, list | tuple):
        return [one for one in alternatives if isinstance(one, Mapping)]
    return [shape]


def _merged(kind: str, forms: list[Mapping[str, Any]]) -> Shape:
    if kind == "array":
        items = [form["items"] for form in forms if isinstance(form.get("items"), Mapping)]
        return {"type": "array", "items": merge_shapes(*items)} if items else {"type": "array"}
    if kind != "object":
        return {"type": kind}
    tables = [form for form in forms if "properties" not in form]
    named: dict[str, list[Mapping[str, Any]]] = {}
    for form in forms:
        for name, inner in (form.get("properties") or {}).items():
            named.setdefault(name, []).append(inner)
    if len(named) > MOST_FIELDS or any(isinstance(form.get("additionalProperties"), Mapping) for form in tables):
        inner = [one for found in named.values() for one in found]
        inner += [
            form["additionalProperties"] for form in tables if isinstance(form.get("additionalProperties"), Mapping)
        ]
        return _table(merge_shapes(*inner))
    required = set(forms[0].get("required") or ())
    for form in forms[1:]:
        required &= set(form.get("required") or ())
    properties = {name: merge_shapes(*found) for name, found in sorted(named.items())}
    return {"type": "object", "properties": properties, "required": sorted(required)}


def _table(inner: Shape) -> Shape:
    return {"type": "object", "additionalProperties": inner}


class _Measuring:
    """Measures one value; gives up on detail once it has seen enough places."""

    def __init__(self) -> None:
        self.left = MOST_PLACES

    def shape(self, value: Any, depth: int) -> Shape:
        self.left -= 1
        value = plain_value(value)
        kind = kind_of(value)
        if not kind or depth > DEEPEST or self.left < 0:
            return {}
        if kind == "array":
            return self.list_shape(value, depth)
        if kind == "object":
            return self.object_shape(value, depth)
        return {"type": kind}

    def list_shape(self, value: Any, depth: int) -> Shape:
        looked_at = [item for item, _ in zip(value, range(MOST_ITEMS), strict=False)]
        if not looked_at:
            return {"type": "array"}
        return {"type": "array", "items": merge_shapes(*(self.shape(item, depth + 1) for item in looked_at))}

    def object_shape(self, value: Mapping[Any, Any], depth: int) -> Shape:
        if len(value) <= MOST_FIELDS and all(map(_is_field_name, value)):
            properties = {name: self.shape(value[name], depth + 1) for name in sorted(value)}
            return {"type": "object", "properties": properties, "required": sorted(value)}
        inner = [self.shape(one, depth + 1) for one, _ in zip(value.values(), range(MOST_ITEMS), strict=False)]
        return _table(merge_shapes(*inner))


def _is_field_name(name: Any) -> bool:
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return False
    return _FIELD_NAME.fullmatch(name) is not None and len(_DIGITS.findall(name)) <= _MOST_DIGITS
