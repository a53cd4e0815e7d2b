"""The JSON that a handoff carries: whether it parses, and what object it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mas_guard.packets.sentences import LOOKED_AT

LONGEST_JSON = 2_000_000  # characters; longer payloads are not parsed at a handoff

_LIST = re.compile(
    r"\b(?:arrays?|lists?|liste\w*|lista|each|every|per|je|jede\w*|chaque|cada)\b|列表|リスト|配列|数组", re.IGNORECASE
)
_FENCED_JSON = re.compile(
    r"^[ \t]{0,8}(?:```|~~~)[ \t]{0,4}json[^\n]{0,40}\n(.*?)(?:^[ \t]{0,8}(?:```|~~~)|\Z)", re.M | re.S | re.I
)
_SAID_JSON = re.compile(
    r"\b(?:json(?: (?:object|payload|data|output|result|record|array|list|text|daten|objekt|document))?)[ \t]{0,4}[:=：][ \t]{0,4}\n?[ \t]{0,8}(?=\S)",
    re.IGNORECASE,
)
_BEGINS_AS_JSON = re.compile(r"\{\s{0,40}\"|\[\s{0,40}[{\[]\s{0,40}[\"{]")
_TRIES = 4  # payloads of one text that are parsed


def broken_payload(text: str, *, is_data: bool) -> str:
    """What is wrong with the JSON in *text*; empty where it parses, or where nobody calls it JSON.

    Args:
        text: A part of a packet.
        is_data: True where the part holds data; a task that says `as JSON: …` asks for it, and holds none.
    """
    if len(text) > LONGEST_JSON:
        return ""
    if any(not _is_json(match[1]) for match in _FENCED_JSON.finditer(text)):
        return "a block that says it is JSON does not parse: send it as valid JSON"
    if not is_data:
        return ""
    stripped = text.strip()
    said = [match.end() for _, match in zip(range(_TRIES), _SAID_JSON.finditer(stripped), strict=False)]
    begun = [at for at in said if stripped[at] in "{[" or _SAID_JSON.match(stripped) is not None]
    if any(decoded(stripped[at:]) is BROKEN for at in begun if not stripped.startswith(("```", "~~~"), at)):
        return "it says JSON, and what follows does not parse: send valid JSON, or do not call it so"
    if _BEGINS_AS_JSON.match(stripped) and decoded(stripped) is BROKEN:
        return "it begins as JSON and does not parse: send valid JSON"
    return ""


def first_object(text: str) -> tuple[Mapping[str, Any] | None, bool]:
    """The first JSON object in *text*, of which only the beginning is looked at, and whether it is one of a list."""
    at = text.find("{", 0, LOOKED_AT)
    found = decoded(text[at:]) if at >= 0 else None
    if not isinstance(found, Mapping) or not found:
        return None, False
    before = text[max(at - 80, 0) : at].rstrip()
    return found, before.endswith("[") or _LIST.search(before) is not None


def whole_object(text: str) -> Mapping[str, Any] | None:
    """The object that *text* is, or holds in a fence."""
    stripped = text.strip() if len(text) <= LONGEST_JSON else ""
    match = _FENCED_JSON.search(stripped)
    candidate = match[1].strip() if match is not None else stripped
    found = decoded(candidate) if candidate.startswith("{") else None
    return found if isinstance(found, Mapping) else None


BROKEN = object()
"""Stands for "this does not parse", since JSON can be `null`."""


def _is_json(block: str) -> bool:
    stripped = block.strip()
    if decoded(stripped) is BROKEN:
        return False
    try:
        _, end = _STRICT.raw_decode(stripped)
    except (ValueError, RecursionError):
        return False
    return not stripped[end:].strip() or stripped[end:].lstrip().startswith(("{", "["))  # one value a line is fine


def decoded(text: str) -> Any:
    """The JSON value that *text* begins with; `BROKEN` where it begins with none."""
    try:
        return _STRICT.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return BROKEN


def _refuse(constant: str) -> Any:
    raise ValueError  # NaN and Infinity are no JSON


# Nobody needs the digits of very long integers here, and converting them takes more than linear time.
_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_int=lambda digits: int(digits) if len(digits) < 400 else 0)
