"""The simulation's own driver of a flow: as `mas_guard._drivers`, with a yield wherever another task may run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Literal

from mas_guard._effects import Answer, Flow, Proceed, Wait
from mas_guard.adapter import usage_of_error
from mas_guard.types import CallOutcome
from tests.simulation.scheduler import Waiting
from tests.simulation.world import World

Kind = Literal["sync", "async", "stream"]
Sending = Generator[Any, Any, CallOutcome]


def guarded(
    world: World, flow: Flow, send: Callable[[], Sending], kind: Kind = "sync", *, may_wait: bool = True
) -> Generator[Any, Any, CallOutcome | Answer | None]:
    """Drive *flow* around *send*. A flow's own fault is raised: in a simulation nothing hides it."""
    try:
        effect = next(flow)
        while isinstance(effect, Wait):
            result = (yield from _wait(world, effect)) if may_wait else None
            effect = flow.send(result)
    except StopIteration as answered:
        return answered.value  # type: ignore[no-any-return]
    tokens = [(variable, variable.set(value)) for variable, value in effect.scope]
    try:
        outcome = yield from _carry_out(world, effect, send(), kind)
    except BaseException as error:
        _finish(flow, CallOutcome(error=error, usage=usage_of_error(error)))
        raise
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
    _finish(flow, outcome)
    return outcome


def _finish(flow: Flow, outcome: CallOutcome) -> None:
    try:
        flow.send(outcome)
    except StopIteration:
        return
    raise AssertionError("a flow went on after its call")


def _wait(world: World, wait: Wait) -> Generator[Any, Any, Any]:
    ticket = wait.ledger.wait(wait.ask, lambda: None)
    until = float("inf") if wait.seconds is None else world.clock.now + wait.seconds
    try:
        if ticket.result is None:
            yield Waiting(ticket, until)
    except BaseException:
        wait.ledger.cancel(ticket)
        raise
    if ticket.result is None:
        wait.ledger.cancel(ticket)
    return ticket.result


def _carry_out(world: World, effect: Proceed, sending: Sending, kind: Kind) -> Sending:
    """Pass the pauses on; an asynchronous call is cut where its time is over, a stream after its chunk."""
    seconds = effect.seconds() if effect.seconds is not None and kind == "async" else None
    until = float("inf") if seconds is None else world.clock.now + seconds
    try:
        pause = next(sending)
        while True:
            try:
                got = yield pause
            except BaseException as error:
                pause = sending.throw(error)
                continue
            if world.clock.now >= until:
                _cancel(sending)
                raise (effect.expired() if effect.expired is not None else None) or TimeoutError
            if kind == "stream" and effect.expired is not None and (over := effect.expired()) is not None:
                sending.close()
                raise over
            pause = sending.send(got)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def _cancel(sending: Sending) -> None:
    try:
        sending.throw(asyncio.CancelledError())
    except (asyncio.CancelledError, StopIteration):
        return
    raise AssertionError("a cancelled call went on")
