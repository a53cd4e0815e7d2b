"""Who is being answered right now: the record of requests, the counts, and the gate that holds answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Condition, Event
from types import MappingProxyType
from typing import Any

from mas_guard.testing._request import Request

_GLANCE = 0.05
"""Seconds between two looks at what no condition announces: a test's own event, a client that left."""


class Traffic:
    """Records requests and holds them back. Safe for threads."""

    def __init__(self, release_when_in_flight: int, wait_timeout: float) -> None:
        self._changed = Condition()
        self._requests: list[Request] = []
        self._gate_size = release_when_in_flight
        self._gate_open = release_when_in_flight <= 1
        self._wait_timeout = wait_timeout
        self._closing = Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self.answered = 0
        self.abandoned = 0

    def arrive(self, path: str, body: dict[str, Any], raw: bytes, headers: Mapping[str, str]) -> Request:
        """Record a request and count it as in flight."""
        with self._changed:
            request = Request(len(self._requests), path, body, raw, MappingProxyType(dict(headers)))
            self._requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            if self.in_flight >= self._gate_size:
                self._gate_open = True
            self._changed.notify_all()
            return request

    def leave(self, *, answered: bool = False, abandoned: bool = False) -> None:
        """Count a request as no longer in flight."""
        with self._changed:
            self.in_flight -= 1
            self.answered += answered
            self.abandoned += abandoned
            self._changed.notify_all()

    def snapshot(self) -> list[Request]:
        """The requests so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Block until *condition* holds or *timeout* seconds have passed; returns whether it holds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def pass_gate(self, client_left: Callable[[], bool]) -> None:
        """Hold a request until enough are in flight at once; once open, the gate stays open."""
        self._hold(lambda: self._gate_open, client_left)
        with self._changed:
            # Whoever waited in vain opens for the rest: one time-out in a test is enough.
            self._gate_open = True
            self._changed.notify_all()

    def hold(self, event: Event, client_left: Callable[[], bool]) -> None:
        """Hold a request until *event* is set."""
        self._hold(event.is_set, client_left)

    def pause(self, seconds: float) -> None:
        """Wait, unless the server closes."""
        if seconds:
            self._closing.wait(seconds)

    def close(self) -> None:
        """Release everything that is held."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()

    def _hold(self, released: Callable[[], bool], client_left: Callable[[], bool]) -> None:
        end = time.monotonic() + self._wait_timeout
        with self._changed:
            while not (released() or self._closing.is_set()) and time.monotonic() < end:
                self._changed.wait(_GLANCE)
                if client_left():
                    raise ConnectionAbortedError("the client closed the connection while its answer was held")
