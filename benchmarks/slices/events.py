"""Time that passes from event to event, and what serves one after the other. No clock of the machine is read."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Act = Callable[[], None]


class Events:
    """What is to happen, in order of time; at the same time in the order in which it was planned.

    Attributes:
        now: The simulated time in seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Act]] = []
        self._numbers = count()

    def at(self, time: float, act: Act) -> None:
        """Plan *act* for *time*."""
        heapq.heappush(self._planned, (time, next(self._numbers), act))

    def run(self) -> None:
        """Go on until nothing is planned."""
        planned = self._planned
        while planned:
            self.now, _, act = heapq.heappop(planned)
            act()


class Station:
    """Serves one after the other, in the order in which they come: a server's processor, a worker's.

    Attributes:
        busy: Seconds that it has worked.
    """

    def __init__(self) -> None:
        self.busy = 0.0
        self._free_at = 0.0

    def serve(self, arrives: float, takes: float) -> float:
        """When one is done who arrives then; who is served later must not arrive earlier."""
        self._free_at = max(self._free_at, arrives) + takes
        self.busy += takes
        return self._free_at
