"""Waiting in a ledger's queue, on a thread or on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time

from mas_guard._effects import Wait
from mas_guard.ledger import Grant, Refusal


def wait(wait: Wait) -> Grant | Refusal | None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return None
    woken = threading.Event()
    ticket = wait.ledger.wait(wait.ask, woken.set)
    patience = Patience(wait)
    try:
        while ticket.result is None and not woken.wait(patience.next()) and not patience.over:
            pass
    finally:
        if ticket.result is None:
            wait.ledger.cancel(ticket)
    return ticket.result


async def wait_async(wait: Wait) -> Grant | Refusal | None:
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    ticket = wait.ledger.wait(wait.ask, lambda: loop.call_soon_threadsafe(woken.set))
    patience = Patience(wait)
    try:
        # A wake without a result ends the wait as well: the store is lost, and whoever waits is to ask again.
        while ticket.result is None and not woken.is_set() and not patience.over:
            try:
                await asyncio.wait_for(woken.wait(), patience.next())
            except TimeoutError:
                continue
    except BaseException:
        # Cancelled while waiting: a grant made meanwhile is given back.
        wait.ledger.cancel(ticket)
        raise
    if ticket.result is None:
        wait.ledger.cancel(ticket)
    return ticket.result


class Patience:
    """How long to sleep before the ledger's ended leases are swept again, until the wait is over."""

    def __init__(self, wait: Wait) -> None:
        self._ledger = wait.ledger
        self._until = None if wait.seconds is None else time.monotonic() + wait.seconds

    @property
    def over(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    def next(self) -> float | None:
        sweep = self._ledger.sweep()
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        if sweep is None or left is None:
            return left if sweep is None else sweep
        return min(sweep, left)
