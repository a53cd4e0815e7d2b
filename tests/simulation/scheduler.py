"""A seeded scheduler of virtual tasks: which task goes on next, when time passes, and who is cancelled, lost, or left.

A virtual task is a generator that yields wherever a real one could be switched away from. Each has a context of
its own, as tasks of asyncio and guarded threads have.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mas_guard.errors import GuardStopped
from mas_guard.ledger import Ticket
from tests.simulation.world import World

TOO_MANY_STEPS = 20_000


class AppError(Exception):
    """A fault of the app or of its provider; `status_code` where the provider answered with one."""

    def __init__(self, status_code: int | None = None) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


class Pause:
    """Somebody else may go on."""


@dataclass
class Waiting:
    """Goes on once *ticket* is answered, or at *until*."""

    ticket: Ticket
    until: float


@dataclass
class Joining:
    """Goes on once all *tasks* have ended."""

    tasks: list[VirtualTask]


Body = Generator[Any, Any, Any]


@dataclass(eq=False)
class VirtualTask:
    """One line of execution."""

    body: Body
    context: contextvars.Context
    blocked: Any = field(default_factory=Pause)
    started: bool = False
    ended: bool = False
    lost: bool = False


class Scheduler:
    """Runs all tasks of one world to their end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tasks: list[VirtualTask] = []

    def spawn(self, body: Body, context: contextvars.Context | None = None) -> VirtualTask:
        """Add a task; by default its context is a copy of the spawning one."""
        task = VirtualTask(body, context if context is not None else contextvars.copy_context())
        self.tasks.append(task)
        return task

    def run(self) -> None:
        """Go on until every task has ended; then end what was lost, and close the books."""
        world, random = self.world, self.world.random
        for _ in range(TOO_MANY_STEPS):
            going = [task for task in self.tasks if not task.ended and not task.lost]
            if not going:
                break
            ready = [task for task in going if self._is_ready(task)]
            if not ready:
                self._pass_time_until_somebody_is_ready(going)
                continue
            dice = random.random()
            task = random.choice(ready)
            if dice < 0.05:
                # Somebody was granted a hold and does not get to run: its lease ends before the call is sent.
                granted = any(isinstance(other.blocked, Waiting) for other in ready)
                self._pass_time(61.0 if granted and random.random() < 0.3 else world.next_seconds())
            elif dice < 0.06:
                self._end(random.choice(going))
            else:
                self._resume(task, task.body.send, self._result(task) if task.started else None)
            world.check_ledger()
        else:
            raise AssertionError("the simulation does not come to an end")
        # Whoever was lost holds what it held until the leases end; then its call is charged in full.
        self._pass_time(2_000.0)
        for account in world.accounts():
            assert not any(world.ledger.read(account).held), "something is held although nobody is left"
        for task in self.tasks:
            if task.lost and task.started:
                self._close(task)
        world.books.check_at_the_end()

    def _end(self, task: VirtualTask) -> None:
        """Cancel, close, or lose *task* where it stands."""
        if not task.started:
            return
        how = self.world.random.choice(("cancel", "cancel", "cancel", "close", "lose"))
        if how == "cancel":
            self._resume(task, task.body.throw, asyncio.CancelledError())
        elif how == "close":
            self._close(task)
        else:
            task.lost = True

    @staticmethod
    def _close(task: VirtualTask) -> None:
        """Collect *task*, as a stream that nobody reads any more."""
        task.ended = True
        with suppress(GuardStopped):  # a boundary says its stop to whoever closes it
            task.context.run(task.body.close)

    def _resume(self, task: VirtualTask, method: Callable[[Any], Any], value: Any) -> None:
        task.started = True
        try:
            task.blocked = task.context.run(method, value)
        except StopIteration:
            task.ended = True
        except (GuardStopped, AppError, TimeoutError, asyncio.CancelledError):
            task.ended = True

    def _is_ready(self, task: VirtualTask) -> bool:
        blocked = task.blocked
        if isinstance(blocked, Waiting):
            return blocked.ticket.result is not None or self.world.clock.now >= blocked.until
        if isinstance(blocked, Joining):
            return all(child.ended or child.lost for child in blocked.tasks)
        return True

    @staticmethod
    def _result(task: VirtualTask) -> Any:
        return task.blocked.ticket.result if isinstance(task.blocked, Waiting) else None

    def _pass_time(self, seconds: float) -> None:
        self.world.clock.now += seconds
        self.world.ledger.sweep()

    def _pass_time_until_somebody_is_ready(self, going: list[VirtualTask]) -> None:
        """Nobody can go on now: only a lease or a time-out can help, and one of them must."""
        waits = [task.blocked for task in going if isinstance(task.blocked, Waiting)]
        lease = self.world.ledger.sweep()
        if any(self._is_ready(task) for task in going):
            return
        nearest = min((wait.until - self.world.clock.now for wait in waits), default=float("inf"))
        if lease is not None:
            nearest = min(nearest, max(lease, 0.001))
        assert nearest != float("inf"), "everybody waits and nothing can wake them"
        self._pass_time(nearest)
