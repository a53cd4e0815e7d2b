"""Those who wait on one level.

A waiter stands in line for each unit that it found short, or that somebody before it waits for; elsewhere it
keeps nobody back. A line is a heap by arrival, because a waiter may join a further line late and still comes
before those who arrived after it: so the one who arrived first of all is first in each of its lines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from mas_guard.ledger._account import Hold, MemoryAccount
from mas_guard.ledger.base import Ask, Ticket

_log = logging.getLogger("mas_guard.ledger")


class Waiter(Ticket):
    """A ticket with its place.

    Attributes:
        accounts: The ask's levels.
        arrival: Orders all waiters of a ledger.
        wake: Called once it is answered.
        waiting: False once it is answered or has left.
        lines: The lines that it stands in.
        inside: The live holds around it, which are stuck while it waits.
    """

    __slots__ = ("accounts", "arrival", "inside", "lines", "waiting", "wake")

    def __init__(self, ask: Ask, accounts: tuple[MemoryAccount, ...], arrival: int, wake: Callable[[], object]) -> None:
        super().__init__(ask)
        self.accounts = accounts
        self.arrival = arrival
        self.wake = wake
        self.waiting = True
        self.lines: list[Line] = []
        self.inside: list[Hold] = []


class Line:
    """Those who wait for one unit on one level, in order of arrival."""

    __slots__ = ("_gone", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, Waiter]] = []
        self._gone = 0  # waiters in the heap that were answered or left

    def __len__(self) -> int:
        return len(self._heap) - self._gone

    def join(self, waiter: Waiter) -> None:
        """Put *waiter* in its place, once."""
        if self not in waiter.lines:
            waiter.lines.append(self)
            heappush(self._heap, (waiter.arrival, waiter))

    def left(self) -> None:
        """Count one who no longer waits. The heap is cleared once most in it are gone."""
        self._gone += 1
        if self._gone > 16 and self._gone * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[1].waiting]
            heapify(self._heap)
            self._gone = 0

    def first(self) -> Waiter | None:
        """Who comes first; `None` where nobody waits."""
        heap = self._heap
        while heap:
            waiter = heap[0][1]
            if waiter.waiting:
                return waiter
            heappop(heap)
            self._gone -= 1
        return None


class Queue:
    """One level's lines, one for each unit.

    Attributes:
        lines: In the order of `UNITS`.
        everyone: All who name this level, in order of arrival, in a line here or not.
        nested: Of them those with `inside`: no line keeps them back, so each may be the next to go.
    """

    __slots__ = ("everyone", "lines", "nested")

    def __init__(self) -> None:
        self.lines = (Line(), Line(), Line(), Line())
        self.everyone: dict[Waiter, None] = {}
        self.nested: dict[Waiter, None] = {}

    def add(self, waiter: Waiter) -> None:
        """Take *waiter* in."""
        self.everyone[waiter] = None
        if waiter.ask.inside:
            self.nested[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """Let *waiter* go; its lines are told by the one who calls."""
        self.everyone.pop(waiter, None)
        self.nested.pop(waiter, None)

    def next(self) -> list[Waiter]:
        """Those who may be the next to be served: the first of each line, and the nested ones."""
        firsts = {waiter: None for line in self.lines if (waiter := line.first())}
        return sorted(firsts | self.nested, key=_arrival)


def wake_all(answered: Iterable[Waiter]) -> None:
    """Wake those who were answered; with nothing locked."""
    for waiter in answered:
        try:
            waiter.wake()
        except Exception:
            _log.exception("waking %r failed; if it got a hold, that ends with its lease", waiter.ask.hold_id)


def _arrival(waiter: Waiter) -> int:
    return waiter.arrival
