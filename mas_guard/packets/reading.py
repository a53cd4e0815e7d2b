"""Finds the four parts in a handoff: in its JSON input by the keys, in its text by headings or by what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mas_guard.contracts.json_text import parsed
from mas_guard.packets.failures import is_failure_condition, sentences_with_failure_path
from mas_guard.packets.names import CORE_NAMES, part_named
from mas_guard.packets.packet import PARTS, Packet, Part, is_given
from mas_guard.packets.requests import asks, sentences_with_format
from mas_guard.packets.sentences import LOOKED_AT, ends_of, sentences_of

_WRAPPERS = frozenset({"packet", "handoff", "input", "arguments", "args", "parameters", "params", "request", "payload"})

# Each repetition is bounded or stays on one line, so that no text takes more than linear time.
_LINE_HEADING = re.compile(
    r"^[ \t>]{0,20}(?P<mark>#{1,6}[ \t]{0,8}|[-*+•][ \t]{1,8}|\d{1,2}[.)][ \t]{1,8}|\|[ \t]{0,8})?"
    r"(?P<bold>[*_]{1,3}|【|\[)?(?:\d{1,2}[.)][ \t]{1,4})?"
    r"(?P<name>[^\n:：*_#<>|【】\[\]{}\"]{1,60}?)[ \t]{0,8}"
    r"(?P<end>[*_】\]]{0,3}[ \t]{0,8}[:：]|[*_】\]]{0,3}[ \t]{1,8}[-–—](?=[ \t])|[*_】\]]{1,3}[ \t]{0,8}$|[ \t]{0,8}\||$)[*_]{0,3}",
    re.MULTILINE,
)
_INLINE_HEADING = re.compile(
    r"(?:(?<=[.!?;|)\]\"'}`])[ \t]{1,8}|(?<=[。！？；])[ \t]{0,8}|[ \t]{1,8}[-–—|/][ \t]{1,8})[*_]{0,3}"
    rf"(?P<name>{'|'.join(re.escape(name) for name in sorted(CORE_NAMES, key=len, reverse=True))})"
    r"[*_]{0,3}[ \t]{0,4}[:：][*_]{0,3}",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(?P<name>[^\W\d][\w -]{1,40})>")
_CLOSING_TAG = re.compile(r"</[^\n<>]{1,60}>")
_FENCE = re.compile(r"^[ \t]{0,8}(?:```|~~~)", re.MULTILINE)


def read_packet(text: str, fields: Mapping[str, Any] | None = None) -> Packet:
    """Return the packet that a handoff carries.

    Args:
        text: What was said with the handoff, or its input as text. JSON is read by its keys; text by its headings
            (`Task:`, `## Context`, `**Output format**`, `<on_failure>`, in several languages); text without any is the
            task, and what it says of the answer's form and of failure is found in it.
        fields: The handoff's structured input, where it has one; its keys count before the text's headings.
    """
    parts: dict[Part, list[str]] = {part: [] for part in PARTS}
    if fields:
        _take_fields(parts, fields)
    stripped = text.strip()
    if stripped:
        found = parsed(stripped) if stripped[:1] in ("{", "`") and not fields else None
        if isinstance(found, Mapping) and found:
            _take_fields(parts, found)
        elif not (fields and stripped[:1] == "{"):  # the input once more, as text
            _take_text(parts, text)
    _take_what_is_said(parts)
    return Packet(**{part: "\n".join(found).strip() for part, found in parts.items()})


def _take_fields(parts: dict[Part, list[str]], fields: Mapping[Any, Any], depth: int = 0) -> None:
    if len(fields) == 1 and depth < 3:
        ((name, inner),) = fields.items()
        if isinstance(inner, Mapping) and str(name).casefold() in _WRAPPERS:
            _take_fields(parts, inner, depth + 1)
            return
    for name, value in fields.items():
        part = part_named(name) if isinstance(name, str) else None
        written = _written(value)
        if part is not None:
            parts[part].append(written)
        elif is_given(written):
            parts["context"].append(f"{name}: {written}")


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=lambda _: "…")
    except (ValueError, TypeError, RecursionError):
        return "…"


def _take_text(parts: dict[Part, list[str]], text: str) -> None:
    headings = _headings(text)
    if not headings:
        parts["context" if parts["task"] else "task"].append(text.strip())
        return
    before = text[: headings[0][0]].strip()
    named = {part for _, _, part in headings}
    if before:
        parts["context" if "task" in named or parts["task"] else "task"].append(before)
    for at, (_, end, part) in enumerate(headings):
        until = headings[at + 1][0] if at + 1 < len(headings) else len(text)
        parts[part].append(_CLOSING_TAG.sub("", text[end:until]).strip(" \t\n|"))


def _headings(text: str) -> list[tuple[int, int, Part]]:
    """Where each part begins, as (place of its heading, place of its content, part); what stands in a fence is none."""
    fenced = _fenced_stretches(text)
    found: dict[int, tuple[int, int, Part]] = {}
    for pattern in (_LINE_HEADING, _INLINE_HEADING, _TAG):
        for match in _matches(pattern, text):
            if pattern is _LINE_HEADING and not _is_heading(match):
                continue
            part = _part_of(match["name"])
            if part is not None:
                found.setdefault(match.end(), (match.start(), match.end(), part))
    in_order = sorted(found.values())
    kept: list[tuple[int, int, Part]] = []
    at = 0
    for heading in in_order:
        while at < len(fenced) and fenced[at][1] < heading[0]:
            at += 1
        if at < len(fenced) and fenced[at][0] <= heading[0]:
            continue
        if not kept or heading[0] >= kept[-1][1]:
            kept.append(heading)
    return kept


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """What matches at the two ends of *text*; what lies between belongs to the part that stands before it."""
    if len(text) <= 2 * LOOKED_AT:
        yield from pattern.finditer(text)
    else:
        yield from pattern.finditer(text, 0, LOOKED_AT)
        yield from pattern.finditer(text, len(text) - LOOKED_AT)


def _is_heading(match: re.Match[str]) -> bool:
    end, mark = match["end"].strip("*_ \t】]"), (match["mark"] or "").strip()
    if end in (":", "："):
        return True
    if mark == "|":
        return end == "|"
    return mark.startswith("#") or match["bold"] is not None


def _part_of(name: str) -> Part | None:
    named = part_named(name)
    if named is None and is_failure_condition(f"{name}:"):
        return "on_failure"  # `If the ledger cannot be reached:`
    return named


def _fenced_stretches(text: str) -> list[tuple[int, int]]:
    places = [match.start() for match in _FENCE.finditer(text)]
    if len(places) % 2:
        places.append(len(text))
    return list(zip(places[::2], places[1::2], strict=True))


def _take_what_is_said(parts: dict[Part, list[str]]) -> None:
    """Find format and failure instructions that stand inside the task or the context, and facts beside the request."""
    said = ends_of(_without_fences("\n".join((*parts["task"], *parts["context"]))))
    of_form = ends_of("\n".join(parts["output_format"]))
    for_failure = [] if _given(parts, "on_failure") else sentences_with_failure_path(f"{said}\n{of_form}")
    if for_failure:
        parts["on_failure"] = for_failure
    for_format = [] if _given(parts, "output_format") else sentences_with_format(said)
    if for_format:
        parts["output_format"] = for_format
    if not _given(parts, "context"):
        sentences = sentences_of(ends_of("\n".join(parts["task"])))
        facts = [one for one in sentences if one not in for_failure and one not in for_format and not asks(one)]
        if facts and len(facts) < len(sentences):
            parts["context"] = ["\n".join(facts)]


def _without_fences(text: str) -> str:
    kept, at = [], 0
    for start, end in _fenced_stretches(text):
        kept.append(text[at:start])
        at = end
    return "".join((*kept, text[at:]))


def _given(parts: dict[Part, list[str]], part: Part) -> bool:
    return is_given("\n".join(parts[part]))
