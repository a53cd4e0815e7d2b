"""How large a slice a worker takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HORIZON = 1.0
"""Seconds after which a worker gives back what it has not used."""


@dataclass(frozen=True)
class Need:
    """What a rule may know.

    Attributes:
        left: Calls that are not handed out.
        workers: How many pay from the account.
        pace: Calls a second that this worker made of its last slice; 0 where it had none yet.
    """

    left: int
    workers: int
    pace: float


Rule = Callable[[Need], int]


def ten(need: Need) -> int:
    """Ten calls, whatever is left."""
    return 10


def hundred(need: Need) -> int:
    """A hundred calls, whatever is left."""
    return 100


def share(need: Need) -> int:
    """Half of an equal share of what is left: slices grow smaller towards the end."""
    return max(1, need.left // (2 * need.workers))


def pace(need: Need) -> int:
    """The same, and at most what the worker has shown to use within `HORIZON`; one call at first."""
    return max(1, min(share(need), int(need.pace * HORIZON)))


RULES: dict[str, Rule] = {"10 calls": ten, "100 calls": hundred, "share": share, "share within pace": pace}
