"""How a guarded app ended: what it gave or raised, and its outcome. An app that does not end fails the test."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

import mas_guard
from tests.crewai.crews import kickoff

HANGS = 60.0  # seconds after which what has not ended never will
NOTHING = (0, 0, 0, 0)


@dataclass(frozen=True)
class Ending:
    """How an app ended.

    Attributes:
        result: What it gave; `None` where it raised.
        error: What it raised.
        found: The outcome that belongs to it, or the last run's; `None` where the runs ended elsewhere.
    """

    result: Any
    error: BaseException | None
    found: mas_guard.Outcome | None

    @property
    def outcome(self) -> mas_guard.Outcome:
        """The outcome of its run."""
        assert self.found is not None, f"no outcome is known: {self.result!r} {self.error!r}"
        return self.found

    @property
    def raw(self) -> str:
        """What the app gave, as text."""
        return str(getattr(self.result, "raw", self.result))

    @property
    def held(self) -> list[Any]:
        """What the run's accounts, and those of its groups, still hold."""
        run = self.outcome.run
        return [run.ledger.read(account).held for account in run.accounts]


def ended(run: Callable[[], Any]) -> Ending:
    """How *run* ended."""
    endings: list[Ending] = []

    def work() -> None:
        result, error = None, None
        try:
            result = run()
        except BaseException as raised:
            error = raised
        endings.append(Ending(result, error, _outcome_of(result, error)))

    in_time(work)
    return endings[0]


def _outcome_of(result: Any, error: BaseException | None) -> mas_guard.Outcome | None:
    try:
        return mas_guard.outcome(result if error is None else error)
    except LookupError:
        return mas_guard.last_outcome()


def in_time(work: Callable[[], None]) -> None:
    """Carry *work* out; fail and show where it stands if it does not end."""
    raised: list[BaseException] = []

    def watched() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(watched,), daemon=True)
    thread.start()
    thread.join(HANGS)
    if thread.is_alive():
        assert thread.ident is not None
        stands = "".join(traceback.format_stack(sys._current_frames()[thread.ident])[-12:])
        pytest.fail(f"it has not ended after {HANGS:.0f} s and stands here:\n{stands}")
    if raised:
        raise raised[0]


def crew_ended(crew: Any, **inputs: Any) -> Ending:
    """How a kickoff of *crew* ended, its stream read to its end."""
    return ended(lambda: kickoff(crew, **inputs))


def awaited(begin: Callable[[], Awaitable[Any]]) -> Ending:
    """How what *begin* returns ended, on an event loop of its own."""

    async def whole() -> Any:
        return await begin()

    return ended(lambda: asyncio.run(whole()))
