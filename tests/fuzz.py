"""Hostile inputs by the thousand: the same for the same seed, more where MAS_GUARD_FUZZ=N asks for them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

INPUTS = int(os.environ.get("MAS_GUARD_FUZZ", "25000"))
HUGE = 10_000_000  # characters
LARGE = 1_000_000
SECRET = "sk-7Q2hunter2"
"""Stands in every input; what is said about an input must not hold it."""

_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1.5, 10**400, -(10**60), float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, 2**63),
    *(True, False, None),
)
_SCRAPS = (
    *(
        "Task:",
        "## Context",
        "**Output format**:",
        "If it fails:",
        "<on_failure>",
        "</task>",
        "任务：",
        "背景：",
        "En cas d'échec :",
    ),
    *(
        "```json\n",
        "```",
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ":",
        ",",
        ";",
        "\\",
        "{}",
        "[[",
        '{"task":',
        "null",
        "JSON:",
        "NaN",
    ),
    *(
        "if ",
        "when ",
        "unless ",
        "not found",
        "report",
        "fail",
        "see above",
        "as discussed",
        "the",
        "and",
        "fields",
        "only",
        "`a`",
    ),
    *(
        "\ud800",
        "\udfff",
        "\x00",
        "\u202e",
        "\u0301" * 9,
        "🧨",
        "\r\n",
        "\n\n\n",
        "\t",
        " " * 40,
        "*" * 30,
        "#" * 30,
        "|",
        "-" * 30,
    ),
    *(
        "0" * 50,
        "9" * 500,
        "a" * 300,
        "1e999",
        "é" * 20,
        "ﷺ",
        "한국어",
        "。",
        "！",
        "...",
        "…",
        ". . . ",
        "((((",
        "))))",
        SECRET,
    ),
)


def hostile_text(chance: random.Random) -> str:
    """A short text of headings, signs, halves of JSON, lone surrogates and the secret."""
    joint = chance.choice((" ", "", "\n"))
    return joint.join(chance.choice(_SCRAPS) for _ in range(chance.randint(0, 14)))


def hostile_value(chance: random.Random, depth: int = 0) -> Any:
    """A value of JSON's types and others, sometimes nested deep."""
    kind = chance.randint(0, 9)
    if kind == 0 and depth < 2:
        value: Any = chance.choice(_NUMBERS)
        for _ in range(chance.choice((30, 30, 300, 1_500))):
            value = [value] if chance.random() < 0.5 else {"a": value}
        return value
    if kind < 3 and depth < 4:
        return {hostile_key(chance): hostile_value(chance, depth + 1) for _ in range(chance.randint(0, 5))}
    if kind < 5 and depth < 4:
        return [hostile_value(chance, depth + 1) for _ in range(chance.randint(0, 5))]
    if kind < 7:
        return hostile_text(chance)
    if kind == 7:
        return chance.choice((SECRET, SECRET.encode(), (SECRET,), {SECRET}, object(), ValueError(SECRET), Raising()))
    return chance.choice(_NUMBERS)


def hostile_key(chance: random.Random) -> Any:
    """A field's name: one that means something, or none at all."""
    known = (
        "task",
        "context",
        "output_format",
        "on_failure",
        "a",
        "b",
        "items",
        "status",
        "packet",
        SECRET,
        "\ud800",
        "",
    )
    return chance.choice(known) if chance.random() < 0.9 else chance.choice((1, None, True, (1, 2), 1.5))


class Raising:
    """An object of the app that does nothing but raise."""

    def __repr__(self) -> str:
        raise ValueError(SECRET)

    __str__ = __repr__


def huge_texts() -> Iterator[str]:
    """Texts of one and of ten million characters on which careless patterns take for ever."""
    for unit in (" ", "\n", "a", "#", "*", "{", "[", '"', ".", ",", "`", "```json\n", "Task:\n", "a:\n", "if not ", "see above ", "é",
                 "json: ", "- ", "。", "'", "fields a, ", "</", '{"a":', "report if ", "1", "1,", "\ud800", "x\n\n", "…", "\\"):  # fmt: skip
        yield (unit * (LARGE // len(unit) + 1))[:LARGE]
    yield "a, " * (HUGE // 3)
    yield json.dumps({"task": "a" * HUGE, "numbers": [1] * 1_000_000})
    yield "Task: a\nContext: " + "word and " * (HUGE // 9) + "\nOutput format: JSON\nIf it fails: say so."


def seeds(check: Callable[[random.Random], None]) -> None:
    """Run *check* INPUTS times, each with a seed of its own that an error names."""
    for seed in range(INPUTS):
        try:
            check(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
