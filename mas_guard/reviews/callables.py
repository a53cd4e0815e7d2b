"""The channel `callable`: a function of the app decides, or abstains and answers later."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from mas_guard.reviews.record import Resolution, Review

Reviewer = Callable[[Review], "Resolution | None"]
F = TypeVar("F", bound=Reviewer)

PATIENCE = 5.0
"""Seconds that opening a review waits for the function; an answer that comes later is taken all the same."""

_registered: list[Reviewer] = []


def reviewer(function: F) -> F:
    """Name the function that is asked where `REVIEW__CHANNEL=callable`; the last one named counts. A decorator.

    It gets the `Review` and returns a `Resolution`, or None to abstain: the review then waits for an answer from
    elsewhere. It runs in a thread of its own, so that one that hangs keeps the run for five seconds at most.
    """
    _registered[:] = [function]
    return function


def registered_reviewer() -> Reviewer | None:
    """The function that `reviewer` named; `None` where there is none."""
    return _registered[0] if _registered else None


def ask_function(
    function: Reviewer,
    review: Review,
    settle: Callable[[Resolution | None], None],
    failed: Callable[[Exception], None],
    *,
    patience: float = PATIENCE,
) -> threading.Thread:
    """Ask *function* about *review* in a thread, wait for *patience* seconds, and *settle* what it answers."""

    def ask() -> None:
        try:
            settle(function(review))
        except Exception as error:  # the app's function; its fault must not become the run's
            failed(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(ask,), name=f"mas-guard {review.id}", daemon=True)
    thread.start()
    thread.join(patience)
    return thread
