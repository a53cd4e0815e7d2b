"""`max_turns` with room for one concluding turn.

The SDK compares the turn about to begin with `max_turns` and raises. This number is equal to the app's in every other
way, notes which turn is about to begin, and lets the owner's concluding turn pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Turns(int):
    """The app's `max_turns`.

    Attributes:
        turn: The turn that is going on.
        concluding: Asked at the limit: whether the turn about to begin is the owner's concluding one.
    """

    turn: int
    concluding: Callable[[], bool]

    def __new__(cls, limit: int, concluding: Callable[[], bool]) -> Turns:
        """Stand in for *limit*."""
        turns = super().__new__(cls, limit)
        turns.turn = 0
        turns.concluding = concluding
        return turns

    def __lt__(self, turn: int) -> bool:
        self.turn = turn  # Python asks this side first: `turn > max_turns`
        return int(self) < turn and not self.concluding()

    def settle(self) -> None:
        """The run has ended: the answer stays what it is, and nothing of the run is kept."""
        answer = self.concluding()
        self.concluding = lambda: answer

    @property
    def used_up(self) -> bool:
        """True where no turn may follow the one that is going on."""
        return self.turn >= int(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)

    def __deepcopy__(self, memo: Any) -> int:
        return int(self)

    def __copy__(self) -> int:
        return int(self)
