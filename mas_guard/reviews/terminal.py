"""The channel `terminal`: asks where the app runs, only where a person sits there, and never for ever."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mas_guard.reviews.errors import ReviewAnswered, ReviewError
from mas_guard.reviews.judging import read_edit
from mas_guard.reviews.record import Decision, Review
from mas_guard.reviews.text import described

if TYPE_CHECKING:
    from mas_guard.reviews.desk import Desk

LOOK = 1.0  # seconds between two looks whether somebody answered elsewhere

_CHOICES: dict[str, Decision] = {"a": "approved", "r": "rejected", "e": "approved", "n": "answered"}
_one_at_a_time = threading.Lock()

ReadLine = Callable[[float], "str | None"]
"""Waits for a line for some seconds: the line, an empty text at the end of the input, `None` where none came."""


def is_there() -> bool:
    """True where a person can be asked: input and error output are a terminal that we can wait on with a limit."""
    try:
        return os.name == "posix" and sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # closed, or replaced by something that is no stream
        return False


def read_line(seconds: float) -> str | None:
    """A line from standard input, or `None` where none came within *seconds*."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.readline() if ready else None


def prompt(desk: Desk, review: Review, *, read: ReadLine = read_line, say: Callable[[str], None] | None = None) -> None:
    """Ask about *review* until it is answered, here or elsewhere, its time is over, or the person leaves it."""
    tell = say if say is not None else _to_standard_error
    # Runs of other threads ask one after the other; whoever waits for the terminal runs out of time all the same.
    if not _one_at_a_time.acquire(timeout=max(0.0, review.expires_at - desk.now())):
        return
    try:
        for line in described(review, desk.resolution(review.id), desk.now()):
            tell(line)
        while _ask_once(desk, review, read, tell):
            pass
    finally:
        _one_at_a_time.release()


def _ask_once(desk: Desk, review: Review, read: ReadLine, tell: Callable[[str], None]) -> bool:
    """True where it has to be asked again."""
    more = ", [e]dit, a[n]swer" if review.editable else ""
    typed = _typed(desk, review, f"[a]pprove, [r]eject{more}, or [l]ater?", read, tell)
    if typed is None or typed in ("l", "later"):
        return False
    word = typed.lower()[:1] if typed.lower() not in ("answer", "n") else "n"
    if word not in _CHOICES or (word in ("e", "n") and not review.editable):
        tell("That is none of them.")
        return True
    result = None
    if word in ("e", "n"):
        text = _typed(desk, review, "In its place, on one line:", read, tell)
        if text is None:
            return False
        try:
            result = read_edit(review, text) if word == "e" or review.kind != "tool" else text
        except ReviewError as error:
            tell(str(error))
            return True
    try:
        settled = desk.answer(
            review.id,
            _CHOICES[word],
            result=result,
            edit=word == "e",
            by=user_name(),
            fingerprint=review.fingerprint,
        )
        tell(f"{review.id}: {settled}")
    except ReviewAnswered as error:
        tell(str(error))
    return False


def _typed(desk: Desk, review: Review, question: str, read: ReadLine, tell: Callable[[str], None]) -> str | None:
    """What the person typed; `None` where they left, or it was decided meanwhile."""
    tell(question)
    while True:
        line = read(min(LOOK, max(0.0, review.expires_at - desk.now())))
        if line is not None:
            return line.strip() if line else None
        settled = desk.resolution(review.id)
        if settled is not None:
            tell(f"{review.id}: {settled} by {settled.by}")
        if settled is not None or desk.now() >= review.expires_at:
            return None


def user_name() -> str:
    """The name of the person at this terminal, as the system knows it."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
