"""A call that is under way: its holds, its client's own retries, and what runs inside of it."""

from __future__ import annotations

from contextvars import ContextVar

from mas_guard._budget import Booking, refusal_error
from mas_guard._run import Run
from mas_guard._step_scope import StepScope
from mas_guard._time_left import expired, seconds_left
from mas_guard.errors import GuardStopped, StoreUnavailable
from mas_guard.ledger import Ask, Refusal
from mas_guard.types import Amounts, Call, ModelCall, ToolCall
from mas_guard.windows import accounts_of

NOTHING: frozenset[str] = frozenset()


class LiveCall:
    """A call that is under way: its holds, and the calls it is inside of.

    Attributes:
        workers: The agents that asked their models inside of a tool call: it delegates to them.
        inner_error: True where a run inside of a tool call has ended in an error.
    """

    __slots__ = (
        "_keeps_share",
        "attempts",
        "booking",
        "call",
        "inner_error",
        "inside",
        "outer",
        "run",
        "scope",
        "workers",
    )

    def __init__(
        self,
        run: Run,
        call: Call,
        booking: Booking | None,
        outer: LiveCall | None,
        scope: StepScope | None = None,
        keeps_share: bool | None = None,
    ) -> None:
        self.run = run
        self.call = call
        self.booking = booking
        self.scope = scope
        self._keeps_share = keeps_share
        self.attempts = 0
        self.outer = outer
        self.workers: list[str] = []
        self.inner_error = False
        self.inside: frozenset[str] = outer.inside if outer is not None else NOTHING
        if booking is not None:
            self.inside |= {booking.hold_id}

    @property
    def _concluding(self) -> bool:
        return isinstance(self.call, ModelCall) and self.call.concluding

    def tell_outer_calls(self) -> None:
        """The tool calls around this model call delegate to its agent."""
        agent, outer = self.call.agent, self.outer
        while outer is not None and agent:
            if isinstance(outer.call, ToolCall) and outer.call.agent != agent:
                outer.workers.append(agent)
            outer = outer.outer

    def seconds_left(self) -> float | None:
        """The time that the call may take, in seconds."""
        return seconds_left(self.run, self.scope, self._concluding, self._keeps_share)

    def expired(self) -> BaseException | None:
        """The error to raise if its time is over by now."""
        return expired(self.run, self.scope, self._concluding)


live_call: ContextVar[LiveCall | None] = ContextVar("mas_guard_call", default=None)
stops_within: ContextVar[list[GuardStopped] | None] = ContextVar("mas_guard_stops_within", default=None)


def ended_within(error: Exception) -> None:
    """An inner run ended in *error*. Where that is a stop, the tool call that it is part of has failed, whatever its code
    makes of that; any other error is remembered for when the tool gives an error's text back as its result."""
    told = stops_within.get()
    if told is not None and isinstance(error, GuardStopped):
        told.append(error)
    live = live_call.get()
    while live is not None and not isinstance(live.call, ToolCall):
        live = live.outer
    if live is not None:
        live.inner_error = True


def attempt(live: LiveCall) -> None:
    """One more try of a call that is under way, by the client's own retries: it counts as a call.

    Raises the stop where the budget of calls is used up. The requests that the call stands for are covered by its
    hold, one attempt each.
    """
    covered = live.call.requests if isinstance(live.call, ModelCall) else 1
    with live.run.lock:
        live.attempts += 1
        if live.attempts <= covered:
            return
    _charge_more(live, Amounts(model_calls=1))


def lost_attempt(live: LiveCall) -> None:
    """Charge an attempt that was sent and never answered: all that one request holds, as the provider may bill it.

    Raises the stop where that does not fit any more, so that the next attempt does not leave.
    """
    if live.booking is None or not isinstance(live.call, ModelCall):
        return
    held, requests = live.booking.amounts, live.call.requests
    live.booking.unanswered = True  # where the charge is refused, the call's own hold stands in for it
    _charge_more(live, Amounts(tokens=-(-held.tokens // requests), nano_usd=-(-held.nano_usd // requests)))
    live.booking.unanswered = False
    live.run.note("at least one attempt was never answered: it is charged in full, as the provider may bill it")


def _charge_more(live: LiveCall, amounts: Amounts) -> None:
    run = live.run
    if live.booking is None:
        run.ledger.charge((run.account,), amounts, run.next_hold())
        return
    concluding = isinstance(live.call, ModelCall) and live.call.concluding
    if run.stop is not None and not concluding:
        raise run.raised()
    try:
        accounts = (*run.accounts, *accounts_of(run))
        ask = Ask(run.next_hold(), accounts, amounts, keep=run.owner_share(), passes_halt=concluding)
        found = run.ledger.reserve_fitting(ask)
    except StoreUnavailable as error:
        raise run.raised(error) from error.__cause__
    if isinstance(found, Refusal) and found.halted:
        if found.account is run.account and run.record.hear_of_stop():
            raise run.raised()
    if isinstance(found, Refusal):
        run.latch(refusal_error(run, live.call, found, None))
        run.engine.record_stop(run)
        raise run.raised()
    run.ledger.settle(found.hold_id, amounts)
