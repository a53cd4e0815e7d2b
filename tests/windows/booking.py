"""Runs that pay into windows, on clocks that only the test moves, at one US cent a token."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import mas_guard
from mas_guard._engine import Engine
from mas_guard._run import current_run
from mas_guard.adapter import Answer, CallOutcome, ModelCall, ToolCall, Usage, guard_call
from mas_guard.config import policy_of
from mas_guard.ledger import Ledger
from mas_guard.windows.opened import OpenWindows, open_windows
from tests.clock import Clock

NOON = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("UTC")).timestamp()
CENT = 10_000_000  # nano-USD


class Cents:
    """A price, and what was told meanwhile."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    @mas_guard.hookimpl
    def mas_guard_price(self, model: str, usage: Usage) -> int:
        return CENT * ((usage.input_tokens or 0) + (usage.output_tokens or 0))

    @mas_guard.hookimpl
    def mas_guard_on_event(self, event: dict[str, Any]) -> None:
        self.told.append(event)


class Desk:
    """A guard with a wall clock that stands still unless it is moved.

    Attributes:
        wall: Seconds since the epoch.
        now: The monotonic clock.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.wall, self.now = Clock(), Clock()
        self.wall.seconds = NOON
        self.guard = mas_guard.Guard(engine=Engine(policy_of(), ledger=ledger, now=self.now, wall=self.wall))
        self._cents = Cents()
        self.guard.register(self._cents)

    def run(self, **overrides: Any) -> AbstractContextManager[Any]:
        return self.guard.run("task", **overrides)

    def pass_time(self, seconds: float) -> None:
        self.wall.advance(seconds)
        self.now.advance(seconds)

    def set_wall(self, text: str, zone: str = "UTC") -> None:
        self.wall.seconds = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self._cents.told if event["event"] == kind]

    @property
    def ledger(self) -> Ledger:
        return self.guard.engine.ledger

    @property
    def windows(self) -> OpenWindows:
        return open_windows(self.ledger, self.now)

    def settled(self, scope: str) -> Any:
        """What is spent in the account *scope*, opened as any process would."""
        window = self.windows._open.get(scope)
        return None if window is None else self.ledger.read(window.account).settled


def use_tool(during: Callable[[], object] = lambda: None) -> bool:
    """Make one tool call; False where it was not made."""
    run = current_run.get()
    assert run is not None
    return not isinstance(guard_call(run, ToolCall("search"), during, lambda _: CallOutcome("a page")), Answer)


def ask_model(tokens: int = 10, during: Callable[[], object] = lambda: None) -> None:
    """Make a model call that holds *tokens*, and uses them."""
    run = current_run.get()
    assert run is not None
    call = ModelCall("our-model", input_bound=tokens - 1, max_output=1)
    outcome = CallOutcome("an answer", usage=Usage(tokens - 1, 1))
    guard_call(run, call, during, lambda _: outcome)
