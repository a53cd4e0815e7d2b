"""The four crossings, each one generator: what is asked, reserved, let through, and booked.

Read from the top: a call is checked against the latch and the clock, judged by the rules, given a hold that
covers its worst case, sent, and settled at what it really used. Drivers live in `_drivers`.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Any, NoReturn

from mas_guard._budget import Booking, book_observed, refusal_error, refused_by, reserve
from mas_guard._conclusion import brief_for, take_conclusion
from mas_guard._effects import Answer, Flow, Proceed
from mas_guard._run import Run, current_run
from mas_guard._step_scope import StepScope, current_step
from mas_guard.envelopes import REQUEST
from mas_guard.errors import DeadlineExceeded, GuardStopped
from mas_guard.ledger import Ask, Refusal
from mas_guard.types import ZERO, Amounts, Call, CallOutcome, Handoff, ModelCall, Step, ToolCall, Usage, Verdict

NOT_EXECUTED = "not executed: limit reached"
LONGEST_TASK = 4_000  # characters of the run's first request that are kept while it runs
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


def call_flow(run: Run, call: Call) -> Flow:
    """One model or tool call."""
    concluding = False
    if run.stop is not None and run.policy.mode == "enforce":
        concluding = isinstance(call, ModelCall) and acts_for_owner(run, call) and run.stop.take_concluding_call()
        if not concluding:
            if isinstance(call, ToolCall):
                return Answer(NOT_EXECUTED, run.stop.error.rule)
            if run.stop.phase in ("asked", "concluded") and call.agent == run.owner:
                run.stop.next_action("the owner called its model again instead of concluding")
            raise run.raised()
    scope = current_step.get()
    if not concluding:
        check_time(run, scope, concluding=False)
        ended = scope.ended() if scope is not None else None
        if ended is not None:
            if isinstance(call, ToolCall):
                return Answer(f"{NOT_EXECUTED} ({ended.rule})", ended.rule)
            raise run.raised(ended)
    else:
        assert isinstance(call, ModelCall)
        call.concluding = True
        if expired(run, scope, concluding=True) is not None:
            give_up_conclusion(run, "no time was left for the owner's concluding turn")
        call.notes.append(brief_for(run).text)

    if isinstance(call, ModelCall):
        agent_is_known(run, call.agent)
        if not run.task:
            run.task = call.last_message[:LONGEST_TASK]
        if run.packets and (packet := run.packets.pop(call.agent, None)) is not None:
            call.notes.append(packet)
        call.notes.extend(run.envelopes.to_tell(run, call.agent, scope))
        if not call.optional:
            ask_for_envelope(run, call)
    if not concluding:
        verdict = judge(run, run.engine.plugins.before_call, call)
        if verdict is not None:
            if verdict.action == "stop":
                run.latch(stop_of(verdict))
                run.engine.record_stop(run)
                if isinstance(call, ToolCall):
                    return Answer(NOT_EXECUTED, verdict.rule)
                raise run.raised()
            if isinstance(call, ToolCall):
                return Answer(verdict.message or verdict.reason, verdict.rule)
            call.notes.append(verdict.message or verdict.reason)

    outer = live_call.get()
    booking: Booking | None = None
    keeps_share: bool | None = None
    if run.policy.mode == "enforce" and run.policy.rule_mode("budget") == "enforce":
        inside = outer.inside if outer is not None else NOTHING
        share = ZERO if concluding else run.owner_share()
        keeps_share = share is not ZERO
        found = yield from reserve(run, call, scope, inside, concluding, share)
        while True:
            # A stop latched, or a deadline passed, while this call waited is met here: nothing is sent after it.
            answer = stopped_meanwhile(run, call, scope, concluding, found)
            if answer is not None:
                return answer
            if not isinstance(found, Booking) or found.dispatch():
                break
            # The hold's lease ended between the grant and now: what it held is gone, so it is asked for again.
            found = yield from reserve(run, call, scope, inside, concluding, share)
        if not isinstance(found, Booking):
            if concluding:
                give_up_conclusion(run, "the owner's concluding call does not fit the budget")
            if isinstance(call, ModelCall) and call.optional:
                return Answer(NOT_EXECUTED, "budget")
            error = refusal_error(run, call, found, scope)
            bound = refused_by(scope, found)
            if bound is not None:
                bound.stopped = error
                run.failed_agents[bound.agent] = "budget"
                run.engine.event(run, "agent_budget", agent=bound.agent, rule="budget", reason=str(error))
            else:
                run.latch(error)
                run.engine.record_stop(run)
            if isinstance(call, ToolCall):
                return Answer(NOT_EXECUTED, "budget")
            raise run.raised(error)
        booking = found

    live = LiveCall(run, call, booking, outer, scope, keeps_share)
    outcome: CallOutcome = yield Proceed(((live_call, live), (current_run, run)), live.seconds_left, live.expired)
    seen = None if outcome.usage.known or not isinstance(call, ModelCall) else call.usage_seen
    if seen is not None and seen.known:
        outcome = replace(outcome, usage=seen, cut=outcome.cut or was_cut_by_us(call, seen))
    if isinstance(call, ModelCall) and (call.heard_cut or call.heard_refusal):
        outcome = replace(outcome, cut=outcome.cut or call.heard_cut, refused=outcome.refused or call.heard_refusal)
    if booking is not None:
        booking.settle(outcome)
    else:
        book_observed(run, call, outcome)
    if isinstance(call, ToolCall):
        if live.workers:
            call.worker = live.workers[-1]
            run.envelopes.settle_delegation(run, call.worker, outcome, inner_error=live.inner_error)
    elif not concluding:
        live.tell_outer_calls()
        if outcome.answered and outcome.error is None and not call.optional:
            run.envelopes.settle_reply(run, call, outcome)
    run.engine.plugins.tell(run.engine.plugins.after_call, call, outcome, run)
    run.engine.record_call(run, call, outcome, booking)
    if concluding:
        take_conclusion(run, outcome)
    return None


def was_cut_by_us(call: Call, usage: Usage) -> bool:
    """True where a reply has all the tokens that the guard's own cap let it have."""
    if not isinstance(call, ModelCall) or call.output_cap is None or usage.output_tokens is None:
        return False
    return usage.output_tokens >= call.output_cap * call.choices * call.requests


def acts_for_owner(run: Run, call: ModelCall) -> bool:
    """True where *call* is made within the owner's concluding activation; without steps, where its agent says so."""
    scope = current_step.get()
    if scope is None:
        return not call.agent or call.agent == run.owner
    while scope is not None and not (scope.concluding and scope.agent == run.owner):
        scope = scope.outer
    return scope is not None


def give_up_conclusion(run: Run, reason: str) -> NoReturn:
    """The concluding call was taken and cannot be sent: the next action follows."""
    assert run.stop is not None
    run.stop.next_action(reason)
    raise run.raised()


def stopped_meanwhile(
    run: Run, call: Call, scope: StepScope | None, concluding: bool, found: Booking | Refusal
) -> Answer | None:
    """Give *found* back and raise, or answer, where the call may not be sent any more."""
    at_once = isinstance(found, Booking) and not found.waited
    if at_once and run.stop is None and (scope is None or scope.stopped is None):
        return None
    try:
        if concluding:
            if expired(run, scope, concluding=True) is not None:
                give_up_conclusion(run, "no time was left for the owner's concluding turn")
            return None
        if run.stop is None:
            check_time(run, scope, concluding=False)
            if scope is None or scope.stopped is None:
                return None
            stop = scope.stopped
        else:
            stop = run.stop.error
        if isinstance(call, ModelCall):
            raise run.raised(stop)
    except GuardStopped:
        if isinstance(found, Booking):
            found.release()
        raise
    if isinstance(found, Booking):
        found.release()
    return Answer(NOT_EXECUTED, stop.rule)


def stop_of(verdict: Verdict) -> GuardStopped:
    """The error of a verdict that ends the run; a rule need not bring one of its own."""
    if isinstance(verdict.stop, GuardStopped):
        return verdict.stop
    return GuardStopped(verdict.reason or f"The rule {verdict.rule!r} ended the run.", rule=verdict.rule)


def handoff_flow(run: Run, handoff: Handoff) -> Flow:
    """Control passing from one agent to others; an `Answer` means that it does not."""
    if run.stop is not None:
        return Answer(NOT_EXECUTED, run.stop.error.rule)
    for agent in (handoff.source, *handoff.targets):
        agent_is_known(run, agent)
    plugins = run.engine.plugins
    counted = False
    while not counted:
        hops = run.hops
        verdict = judge(run, plugins.before_handoff, handoff)
        if verdict is not None:
            plugins.tell(plugins.after_handoff, handoff, "denied", run)
            run.engine.record_handoff(run, handoff, verdict)
            if verdict.action == "stop":
                run.latch(stop_of(verdict))
                run.engine.record_stop(run)
            return Answer(verdict.message or verdict.reason, verdict.rule)
        # Judged again where another thread's hop came in between: two must not both be the last one.
        counted = handoff.kind != "transfer" or run.take_hop(hops)
    for target in handoff.targets:
        run.visit(target)
    yield Proceed()
    plugins.tell(plugins.after_handoff, handoff, "done", run)
    run.engine.record_handoff(run, handoff, None)
    return None


def step_flow(run: Run, step: Step, scope: StepScope) -> Flow:
    """An agent gets control and gives an output."""
    plugins = run.engine.plugins
    if plugins.before_step:
        verdict = judge(run, plugins.before_step, step)
        if verdict is not None and verdict.action == "stop":
            run.latch(stop_of(verdict))
            run.engine.record_stop(run)
            raise run.raised()
    outcome: CallOutcome = yield Proceed(scope=((current_step, scope), (current_run, run)))
    if plugins.after_step:
        verdict = judge(run, plugins.after_step, step, outcome)
        if verdict is not None and verdict.action == "stop":
            run.latch(stop_of(verdict))
            run.engine.record_stop(run)
            raise run.raised()
    return None


def judge(run: Run, hooks: tuple[Any, ...], subject: Any, *more: Any) -> Verdict | None:
    """Ask the rules; record what they say; return the first whose action is taken."""
    plugins = run.engine.plugins
    for hook in hooks:
        verdict = plugins.verdict(hook, subject, *more, run)
        if verdict is None:
            continue
        enforced = run.policy.rule_mode(verdict.rule) == "enforce"
        acts = enforced and verdict.kind == "deny" and verdict.action not in ("none", "escalate")
        run.engine.record_verdict(run, verdict, verdict.action if acts else "none")
        if acts:
            return verdict
    return None


def agent_is_known(run: Run, agent: str) -> None:
    """Remember *agent* as one that acts in this run."""
    if agent and agent not in run.agents:
        with run.lock:
            run.agents.add(agent)
        if not run.path:
            run.visit(agent)


def ask_for_envelope(run: Run, call: ModelCall) -> None:
    """Under `ENVELOPES=require`, ask the model for the envelope of its answer, where the adapter can take it off."""
    if run.policy.envelopes != "require" or not call.takes_envelope or not call.agent or call.concluding:
        return
    if run.policy.mode == "enforce" and run.policy.rule_mode("envelope") == "enforce":
        call.asks_envelope = True
        call.notes.append(REQUEST)


def seconds_left(run: Run, scope: StepScope | None, concluding: bool, keeps_share: bool | None = None) -> float | None:
    """The time that a call starting now may take, in seconds."""
    if run.policy.mode != "enforce" or run.policy.rule_mode("deadline") != "enforce":
        return None
    left = run.time_left(concluding=concluding, keeps_share=keeps_share)
    if scope is not None and scope.clock is not None and not concluding:
        own = scope.clock.left()
        if own is not None and (left is None or own < left):
            return own
    return left


def expired(run: Run, scope: StepScope | None, concluding: bool) -> BaseException | None:
    """The error to raise if time is over by now, latched where it ends the run."""
    left = seconds_left(run, scope, concluding)
    if left is None or left > 0:
        return None
    try:
        check_time(run, scope, concluding=concluding)
    except GuardStopped as error:
        return error
    return None


def check_time(run: Run, scope: StepScope | None, *, concluding: bool) -> None:
    """Raise `DeadlineExceeded` where the run's or the step's time is over."""
    left = run.time_left(concluding=concluding) if run.may_be_late() else None
    if left is not None and left <= 0:
        limit = run.clock.limit or 0.0
        error = DeadlineExceeded(
            f"Run {run.id} has used {run.clock.elapsed:.1f} s of active time; its deadline is {limit:g} s"
            f"{_share_note(run, limit)}. Raise MAS_GUARD_DEADLINE or split the run.",
            seconds=limit,
        )
        if run.engine.stop_in_force(run, "deadline", error):
            if run.latch(error).error is error:
                run.engine.record_stop(run)
            # Not the latched stop, where an earlier one stays: what is cut now is cut by the deadline, and may be billed.
            raise run.raised(error)
    if scope is not None and scope.clock is not None:
        own = scope.clock.left()
        if own is not None and own <= 0 and scope.stopped is None:
            error = DeadlineExceeded(
                f"Step {scope.agent!r} of run {run.id} has used its {scope.clock.limit:g} s. "
                "Raise MAS_GUARD_STEP_TIMEOUT or [agents.NAME] step_timeout.",
                seconds=scope.clock.limit,
            )
            if run.engine.stop_in_force(run, "deadline", error):
                scope.stopped = error
                run.failed_agents[scope.agent] = "deadline"
                raise run.raised(error)


def _share_note(run: Run, limit: float) -> str:
    if not run.keeps_share:
        return ""
    return f" ({limit * run.policy.owner_reserve:g} s of it are kept for the owner)"


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
    found = run.ledger.reserve_fitting(Ask(run.next_hold(), run.accounts, amounts, keep=run.owner_share()))
    if isinstance(found, Refusal):
        run.latch(refusal_error(run, live.call, found, None))
        run.engine.record_stop(run)
        raise run.raised()
    run.ledger.settle(found.hold_id, amounts)
