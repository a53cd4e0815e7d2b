"""Makes plain data of models and dataclasses, as far as it is needed to judge them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_PLAIN = (str, int, float, bool, list, tuple, dict, type(None))


def plain_value(value: Any) -> Any:
    """*value* as a mapping where it has fields, as its own value where it is an enumeration's member; else itself."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str | int | float | Mapping | list | tuple):
        return value
    fields = getattr(type(value), "model_fields", None)
    if isinstance(fields, Mapping):
        return _fields_of_model(value, fields)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
    return value


def _fields_of_model(value: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    # By hand and one level deep: dumping the whole model costs as much as what is never looked at.
    found = {}
    for name, field in fields.items():
        alias = getattr(field, "validation_alias", None)
        found[alias if isinstance(alias, str) else name] = getattr(value, name, None)
    extra = getattr(value, "__pydantic_extra__", None)
    return {**found, **extra} if isinstance(extra, Mapping) else found
