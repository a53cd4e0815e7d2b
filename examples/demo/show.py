"""How the demo looks: two runs side by side in plain text, at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest

from scene import Seen

WIDTH = 98
LABEL = 20
COLUMN = 37


def heading(text: str) -> str:
    """A line across the page with *text* in it."""
    return "\n" + f"== {text} ".ljust(WIDTH, "=")


def paragraph(text: str) -> str:
    """*text*, wrapped."""
    return textwrap.fill(" ".join(text.split()), WIDTH)


def side_by_side(bare: Seen, guarded: Seen) -> str:
    """The figures of two runs of the same app, and the answers that the user got."""
    rows = [
        ("", "WITHOUT", "WITH MAS-GUARD"),
        ("command", bare.command, guarded.command),
        ("lines changed", "", "none"),
        ("model calls sent", _calls(bare), _calls(guarded)),
        ("most at once", f"{bare.in_flight}", f"{guarded.in_flight}"),
        ("tokens", f"{bare.tokens:,}", f"{guarded.tokens:,}"),
        ("at list price", f"${bare.usd:.4f}", f"${guarded.usd:.4f}"),
        ("the user got", _answer(bare), _answer(guarded)),
    ]
    return "\n".join(line for row in rows for line in _row(*row))


def timeline(title: str, seen: Seen) -> str:
    """Who held control at each call: one row an agent, one column a call."""
    rows = [f"  {title}"]
    for agent in dict.fromkeys(seen.callers):
        marks = "".join("#" if caller == agent else "." for caller in seen.callers)
        rows.append(f"    {agent:<14}{marks}")
    return "\n".join(rows)


def scale(length: int) -> str:
    """The numbers under a timeline of *length* calls, every tenth."""
    marks = "".join(f"{number:>10}" for number in range(10, length + 1, 10))
    return f"    {'call':<14}1{marks[1:]}"


def _calls(seen: Seen) -> str:
    if seen.gave_up:
        return f"{len(seen.callers)}, then the server gave up"
    return str(len(seen.callers))


def _answer(seen: Seen) -> str:
    return f"no answer but a traceback: {seen.answer}" if seen.failed else seen.answer


def _row(label: str, left: str, right: str) -> Iterator[str]:
    columns = zip_longest(
        textwrap.wrap(label, LABEL) or [""],
        textwrap.wrap(left, COLUMN) or [""],
        textwrap.wrap(right, COLUMN) or [""],
        fillvalue="",
    )
    for first, second, third in columns:
        yield f"  {first:<{LABEL}}{second:<{COLUMN}}  {third}".rstrip()
