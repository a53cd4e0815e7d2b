"""One activation of an agent: who acts, on what budget of its own, and against what time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mas_guard._clock import ActiveClock
from mas_guard.errors import GuardStopped
from mas_guard.ledger import Account

if TYPE_CHECKING:
    from mas_guard._run import Run
    from mas_guard.config import Policy

current_step: ContextVar[StepScope | None] = ContextVar("mas_guard_step", default=None)


class StepScope:
    """One activation of an agent, and the budget of its own where one is set.

    Attributes:
        agent: The agent's name.
        identity: The framework's id of the activation.
        outer: The activation it happens within.
        account: The activation's budget, opened with its first call; `None` without one.
        stopped: What ended the activation (not the run), once something did.
        clock: The step's own time against `STEP_TIMEOUT`; it stands still while a child's activation goes on.
        timer: What cuts the activation when its time is over; told when the clock stops and goes on.
        asks: True once it has asked its model.
        wave: The same for activations that were started together, where the adapter can tell.
        sources: The agents whose outputs it is given, where the adapter can tell; `None` for whoever came before.
        concluding: True where it began once control was back with the owner.
        began: When, on the run's own count; `others_acted` is when another agent last did.
    """

    __slots__ = (
        "account", "agent", "asks", "began", "children", "clock", "concluding", "covers", "identity", "others_acted", "outer", "run", "sources", "stopped", "timer", "wave",
    )  # fmt: skip

    def __init__(self, run: Run, agent: str, identity: str = "", outer: StepScope | None = None) -> None:
        self.run = run
        self.agent = agent
        self.began, self.others_acted = run.begin_activation(agent)
        self.identity = identity or os.urandom(16).hex()
        self.outer = outer
        self.account: Account | None = None
        self.stopped: GuardStopped | None = None
        self.covers = False
        self.clock: ActiveClock | None = None
        self.timer: Callable[[], None] | None = None
        self.children = 0
        self.asks = False
        self.wave: object = None
        self.sources: frozenset[str] | None = None
        self.concluding = run.stop is not None and run.stop.phase == "concluding"

    def ended(self) -> GuardStopped | None:
        """What ended this activation, or one around it that covers it."""
        if self.stopped is not None or self.outer is None:
            return self.stopped
        return next((scope.stopped for scope in self.binding() if scope.stopped is not None), None)

    def accounts(self) -> tuple[Account, ...]:
        """The budgets that pay for its calls, beside the run's."""
        if self.outer is None:
            return () if self.account is None else (self.account,)
        return tuple(scope.account for scope in self.binding() if scope.account is not None)

    def binding(self) -> Iterator[StepScope]:
        """This activation, and those around it whose budget covers it."""
        yield self
        outer = self.outer
        while outer is not None:
            if outer.covers:
                yield outer
            outer = outer.outer

    def start_clock(self, seconds: float) -> None:
        """Give the activation its own time, in seconds."""
        self.clock = ActiveClock(seconds, now=self.run.engine.now)

    @contextmanager
    def as_child(self) -> Iterator[None]:
        """This activation goes on for the block: the time of those around it stands still, since a step's time is
        its own, its children's apart."""
        around = [scope for scope in self._around() if scope.clock is not None]
        for scope in around:
            scope._children_change(1)
        try:
            yield
        finally:
            for scope in around:
                scope._children_change(-1)

    def _around(self) -> Iterator[StepScope]:
        outer = self.outer
        while outer is not None:
            yield outer
            outer = outer.outer

    def _children_change(self, by: int) -> None:
        with self.run.lock:
            self.children += by
            assert self.clock is not None
            if self.children:
                self.clock.pause()
            else:
                self.clock.go_on()
            timer = self.timer
        if timer is not None:
            timer()


def inner_app_scope(run: Run, outer: StepScope | None, name: str, policy: Policy) -> StepScope:
    """The activation of a wrapped app inside another run: its own limits can only narrow, so its budget and deadline
    become those of this activation."""
    inner = StepScope(run, outer.agent if outer is not None else name, outer=outer)
    inner.covers = True
    inner.account = run.open_inner(f"inner:{run.id}:{inner.identity}", policy.budget.limits)
    if policy.deadline is not None:
        inner.start_clock(policy.deadline)
    return inner
