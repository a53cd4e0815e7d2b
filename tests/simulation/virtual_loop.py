"""An asyncio event loop whose time passes only when nobody can go on: hours in milliseconds, the same every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.world import Clock


class _NoWaiting(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # chosen per platform
    """Moves the clock on where the loop would sleep."""

    def __init__(self, clock: Clock, each_turn: Callable[[], None]) -> None:
        super().__init__()
        self._clock = clock
        self._each_turn = each_turn

    def select(self, timeout: float | None = None) -> Any:
        self._each_turn()
        if timeout is None:
            raise AssertionError("everybody waits and nothing can wake them")
        # The loop looks for timers up to its resolution ahead; a step that stays behind it would spin for ever.
        self._clock.now += max(0.0, timeout)
        return super().select(0)


def run_virtually(main: Coroutine[Any, Any, None], clock: Clock, each_turn: Callable[[], None]) -> None:
    """Run *main* to its end on *clock*; *each_turn* is called before every turn of the loop."""
    loop = asyncio.SelectorEventLoop(_NoWaiting(clock, each_turn))
    loop.time = clock  # type: ignore[method-assign]
    try:
        loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
