"""What an output says of itself, without asking anybody: cut off, refused, empty, a default, an error's text.

Two of these are proven by what the provider or the framework says (cut off by length, refused); the others are only
likely, since an empty result is often a right one. No content goes into a finding's words: they are recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mas_guard.types import Status

Kind = Literal[
    "cut",
    "refused",
    "exception",
    "type",
    "stopped",
    "blocked",
    "empty",
    "null",
    "default",
    "stale",
    "error_text",
    "apology",
]

NULLS = frozenset({"null", "none", "nil", "undefined", "nan", "n/a", "na", "{}", "[]", '""', "''", "()"})
DEFAULTS = frozenset(
    {
        "unknown", "default", "placeholder", "todo", "tbd", "tbc", "not available", "no data", "no result", "no results",
        "string", "example", "lorem ipsum", "-", "--", "...", "…", "?",
    }
)  # fmt: skip
LONGEST_DEFAULT = 40  # characters; a longer text says something of its own
LONGEST_JSON = 1_000  # characters that are parsed: what says nothing is short
DEEPEST = 20  # levels of a value that are looked into
WIDEST = 200  # parts of a value that are looked into, all levels together
_ERROR = re.compile(
    r"(?:Traceback \(most recent call last\)|(?:[A-Za-z_][\w.]{0,80})?(?:Error|Exception)(?:\([^)\n]{0,200}\))?\s*:|"
    r"Error\s*:|An error occurred while (?:running|parsing|calling|executing)\b|\[?ERROR\]?[: ]|"
    r"Error executing \w+)"
)
LONGEST_APOLOGY = 300  # characters; a longer answer has something to say beside its regret
_CANNOT = (
    r"(?:can(?:'|’)?t|can ?not|could(?:n(?:'|’)t| not)|(?:am |was |’m |'m )?(?:unable|not able)|wasn(?:'|’)t able|"
    r"do(?:n(?:'|’)t| not) have|won(?:'|’)t be able|will not be able)\b"
)
_APOLOGY = re.compile(
    r"(?:(?:I(?:'|’)m|I am)? ?(?:very |so |really |truly )?sorry|I apologi[sz]e|My apologies|Unfortunately|As an AI\b)"
    rf"[^.!?\n]{{0,80}}?\bI(?:'|’m|'m)? ?{_CANNOT}|"
    r"I(?:'m| am|’m) (?:unable|not able) to (?:assist|help|comply|complete|do|provide|answer|fulfil|find|access)\b|"
    rf"I {_CANNOT} (?:to )?(?:assist|help|comply|fulfil|complete (?:this|that|the)|do (?:this|that))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an output.

    Attributes:
        kind: What was found.
        status: `failed` where nothing usable came, `partial` where some of it did.
        reason: For whoever delegated, in words that a model can act on.
        proven: True where the provider or the framework says it; False where it is only likely.
    """

    kind: Kind
    status: Status
    reason: str
    proven: bool = False


def examine_reply(text: str, *, cut: bool = False, refused: bool = False) -> Finding | None:
    """What is wrong with a model's final answer; `None` for nothing that shows."""
    if refused:
        return Finding("refused", "failed", "the model refused to answer", proven=True)
    if cut:
        return Finding("cut", "partial", "the answer was cut off at its length limit; its end is missing", proven=True)
    return examine_text(text)


def examine_text(text: str) -> Finding | None:
    """What is wrong with an output in text, as far as it shows."""
    said = text.strip()
    if not said:
        return Finding("empty", "failed", "the output is empty")
    if _ERROR.match(said):
        return Finding("error_text", "failed", "the output is the text of an error, no result")
    if len(said) <= LONGEST_APOLOGY and _APOLOGY.match(said):
        return Finding("apology", "failed", "the output is an apology, no result")
    if len(said) <= LONGEST_DEFAULT:
        word = said.lower()
        if word.rstrip(".") in NULLS:
            return Finding("null", "failed", "the output is null")
        if word in DEFAULTS or word.strip(".!<>[]()\"'` ") in DEFAULTS:
            return Finding("default", "partial", "the output is a default value, no result")
    if len(said) <= LONGEST_JSON and said[0] in "{[" and said[-1] in "}]":
        try:
            return examine_value(json.loads(said))
        except (ValueError, RecursionError):
            return None
    return None


def examine_value(value: Any) -> Finding | None:
    """What is wrong with an output that is no text: nothing in it, or nothing but nulls and defaults."""
    if isinstance(value, str):
        return examine_text(value)
    if value is None:
        return Finding("null", "failed", "the output is null")
    if isinstance(value, Mapping | list | tuple):
        if not value:
            return Finding("empty", "failed", "the output is empty")
        if isinstance(value, Mapping) and _says_nothing(value, 0, iter(range(WIDEST))):
            return Finding("default", "partial", "every field of the output is null, empty, or a default value")
    return None


def _says_nothing(value: Any, depth: int, parts_left: Iterator[int]) -> bool:
    """True where no part of *value* says anything; numbers and truth values do, and so does what is too large to look at."""
    if value is None:
        return True
    if isinstance(value, str):
        said = value.strip().lower() if len(value) <= LONGEST_DEFAULT else ""
        return len(value) <= LONGEST_DEFAULT and (not said or said in NULLS or said in DEFAULTS)
    if isinstance(value, Mapping | list | tuple):
        if depth >= DEEPEST:
            return False
        parts = value.values() if isinstance(value, Mapping) else value
        return all(next(parts_left, None) is not None and _says_nothing(part, depth + 1, parts_left) for part in parts)
    return False
