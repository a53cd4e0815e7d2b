"""A review as text for a person at a terminal.

What a model wrote may hold control characters that move the cursor, hide lines or reverse the direction of text; whoever
decides must see what is there, so these are written out, and what was shown stands apart from what we say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from mas_guard.reviews.record import Resolution, Review
from mas_guard.reviews.store import ReviewStore


def visible(text: str) -> str:
    """*text* with every character written out that a terminal does not simply print; lines and tabs stay."""
    return "".join(sign if sign in "\n\t" or sign.isprintable() else _escaped(sign) for sign in text)


def one_line(text: str, longest: int = 60) -> str:
    """*text* as one line of at most *longest* characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def duration(seconds: float) -> str:
    """About how long that is, in two units at most."""
    left = max(0, round(seconds))
    for unit, below, name, smaller in ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "m"), (60, 1, "m", "s")):
        if left >= unit:
            rest = left % unit // below
            return f"{left // unit}{name}" + (f"{rest}{smaller}" if rest else "")
    return f"{left}s"


def moment(seconds: float) -> str:
    """A time of day and date, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def described(review: Review, resolution: Resolution | None, now: float) -> Iterator[str]:
    """*review* with all that it shows, line by line; each line of what was shown begins with a bar."""
    who = f" of {one_line(review.agent)}" if review.agent else ""
    yield f"Review {review.id}: a {review.kind}{who}"
    yield f"why          {one_line(review.reason, 1_000)}"
    if review.run_id:
        yield f"run          {one_line(review.run_id)}"
    yield f"opened       {moment(review.created_at)}"
    if resolution is None:
        yield f"expires      {moment(review.expires_at)}, in {duration(review.expires_at - now)}; then it is rejected"
        yield f"can be       approved, rejected{', edited, answered' if review.editable else ''}"
    else:
        yield f"decided      {resolution} by {one_line(resolution.by) or 'somebody'} at {moment(resolution.at)}"
        if resolution.reason:
            yield f"because      {one_line(resolution.reason, 1_000)}"
    yield f"fingerprint  {review.fingerprint}"
    for name, value in review.shown.items():
        yield f"{one_line(name)}:"
        yield from _quoted(value)
    if resolution is not None and resolution.result is not None:
        yield "decided to be:" if resolution.decision != "rejected" else "in its place:"
        yield from _quoted(resolution.result)


def how_to_answer(review: Review, store: ReviewStore) -> str:
    """Where *review* can be answered, for a log line; nothing that it shows."""
    until = f"until {moment(review.expires_at)}; then it counts as rejected"
    if store.shared:
        return f"From any terminal: `mas-guard reviews show {review.id}`, {until}."
    return (
        f"It is kept in memory, so only this process can answer it (Desk.answer), {until}. "
        "MAS_GUARD_REVIEW__STORE=sqlite:///reviews.db lets others answer."
    )


def _quoted(value: Any) -> Iterator[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    for line in visible(text).split("\n"):
        yield f"  │ {line}"


def _escaped(sign: str) -> str:
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
