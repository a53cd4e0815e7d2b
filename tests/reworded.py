"""One finding in many words, and the same with a new figure each time."""

from __future__ import annotations

from itertools import count

_OPENINGS = ("In our view", "As far as we can tell", "To our knowledge", "From what we know")
_MIDDLES = (
    "the harbour will stay closed because of the storm",
    "because of the storm the harbour will stay closed",
    "the storm means that the harbour stays closed",
)
_ENDS = ("and ships should wait.", "so ships should wait.", "and it is best that ships wait.")


def reworded(number: int) -> str:
    """The same finding, in the words of *number*."""
    opening = _OPENINGS[number % len(_OPENINGS)]
    return f"{opening}, {_MIDDLES[number % len(_MIDDLES)]} {_ENDS[(number // 2) % len(_ENDS)]}"


def rewording() -> object:
    """A function that gives it reworded, call by call."""
    numbers = count()
    return lambda: reworded(next(numbers))


def improving() -> object:
    """A function whose every text holds a figure that none before held."""
    numbers = count(11, 7)
    return lambda: f"{reworded(1)} The wind is down to {next(numbers)} knots now."
