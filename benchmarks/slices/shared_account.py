"""The hot account as the store keeps it: a limit, what is settled, and what is handed out."""

from __future__ import annotations

from collections.abc import Callable


class SharedAccount:
    """Calls of one limit. A slice counts as spent from the moment that it is handed out, as a hold does.

    Attributes:
        limit: Calls that may be made.
        settled: Calls that were made, and what was lost with those who crashed.
        handed_out: Calls in the hands of workers: in slices, or held for calls under way.
        most_at_once: The most that was ever settled and handed out together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.settled = 0
        self.handed_out = 0
        self.most_at_once = 0
        self.when_something_came_back: Callable[[], None] = lambda: None

    @property
    def left(self) -> int:
        """What is neither settled nor handed out."""
        return self.limit - self.settled - self.handed_out

    def take(self, wanted: int) -> int:
        """Hand out as much of *wanted* as there is."""
        given = max(0, min(wanted, self.left))
        self.handed_out += given
        self.most_at_once = max(self.most_at_once, self.settled + self.handed_out)
        return given

    def settle(self, given: int, used: int) -> None:
        """Take back what was *given*, of which so much was *used*."""
        if used > given:
            raise ValueError(f"{used} calls were made of a slice of {given}.")
        self.handed_out -= given
        self.settled += used
        if used < given:
            self.when_something_came_back()
