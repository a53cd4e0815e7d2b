"""The JSON schema of a settings file and the rows of the reference, both made from the table of settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mas_guard.config.setting import Kind, Setting
from mas_guard.config.table import SETTINGS, TABLES

_DURATION = r"^\s*(\d+(\.\d+)?|(?=\d)(\d+d)?\s*(\d+h)?\s*(\d+m(?!s))?\s*(\d+(\.\d+)?s)?\s*(\d+ms)?)\s*$"
_NUMBER = r"^\s*\d[\d_ ]*(\.\d+)?\s*$"
_FORMS: dict[Kind, list[dict[str, Any]]] = {
    "integer": [{"type": "integer"}, {"type": "string", "pattern": r"^\s*\d[\d_ ]*$"}],
    "money": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _NUMBER}],
    "price": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _NUMBER}],
    "share": [{"type": "number", "minimum": 0, "maximum": 1}],
    "duration": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": _DURATION},
    ],
    "boolean": [{"type": "boolean"}],
    "text": [{"type": "string", "minLength": 1}],
    "contract": [{"type": "string", "pattern": r"^[\w.]+:[\w.]+$|\.json$"}, {"type": "object"}],
    "value": [{}],
    "url": [{"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9+.-]*:"}],
    "names": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}],
}


def json_schema() -> dict[str, Any]:
    """The JSON schema of `mas-guard.toml` and of `[tool.mas-guard]`."""
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mas-guard settings",
        **_object(),
    }
    for setting in SETTINGS:
        *groups, last = setting.key.lower().split("__")
        place = root
        for group in groups:
            if group == "*":
                place = place["additionalProperties"]
            else:
                inner = _object() if group.upper() not in TABLES else {"type": "object"}
                place = place["properties"].setdefault(group, inner)
                if group.upper() in TABLES:
                    place.setdefault("additionalProperties", _object())
        place["properties"][last] = _property(setting)
    return root


def reference() -> Iterator[dict[str, str]]:
    """The rows of the reference: key, variable, file, meaning, unit, default, values, example."""
    for setting in SETTINGS:
        yield {
            "key": setting.key.replace("*", "NAME"),
            "variable": setting.variable,
            "file": setting.dotted,
            "meaning": setting.meaning,
            "unit": setting.unit,
            "default": setting.default or "empty",
            "values": _values(setting),
            "example": setting.example,
        }


def _object() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


def _property(setting: Setting) -> dict[str, Any]:
    forms = [dict(form) for form in _FORMS.get(setting.kind, [])]
    for form in forms:
        if setting.kind == "integer" and form["type"] == "integer":
            form["minimum"] = setting.least
    if setting.kind == "choices":
        forms.append({"type": "array", "items": {"enum": list(setting.choices)}, "minItems": 1})
        forms.append({"type": "string"})
    elif setting.choices:
        forms.append({"enum": list(setting.choices)})
    if setting.optional:
        forms.append({"const": "none"})
    described: dict[str, Any] = {"description": setting.meaning}
    if not setting.named:
        described["default"] = setting.default
    return {**described, **(forms[0] if len(forms) == 1 else {"anyOf": forms})}


def _values(setting: Setting) -> str:
    parts = list(setting.choices) or [setting.kind]
    if setting.kind == "price" and setting.choices:
        parts.append("a price")
    if setting.optional:
        parts.append("none")
    return ", ".join(parts)
