"""The four crossings, each one generator: what is asked, reserved, let through, and booked.

Read from the top: a call is checked against the latch and the clock, judged by the rules, given a hold that
covers its worst case, sent, and settled at what it really used. Drivers live in `_drivers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from mas_guard._budget import Booking, book_observed, refusal_error, refused_by, reserve
from mas_guard._conclusion import brief_for, take_conclusion
from mas_guard._effects import Answer, Flow, Proceed
from mas_guard._live_call import NOTHING, LiveCall, live_call
from mas_guard._once import effect_of, kept_closed
from mas_guard._run import Run, current_run
from mas_guard._step_scope import StepScope, current_step
from mas_guard._time_left import check_time, expired
from mas_guard._tool_approval import put_to_person
from mas_guard.envelopes import REQUEST
from mas_guard.errors import GuardStopped, StoreUnavailable
from mas_guard.ledger import Refusal
from mas_guard.types import ZERO, Call, CallOutcome, Handoff, ModelCall, Step, ToolCall, Usage, Verdict

NOT_EXECUTED = "not executed: limit reached"
LONGEST_TASK = 4_000  # characters of the run's first request that are kept while it runs


def call_flow(run: Run, call: Call) -> Flow:
    """One model or tool call."""
    flow = _call_flow(run, call)
    return kept_closed(run, call, flow) if isinstance(call, ToolCall) and run.policy.once_key(call.tool) else flow


def _call_flow(run: Run, call: Call) -> Flow:
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
        if call.agent:
            run.acts(call.agent)
        if scope is not None:
            scope.asks = True
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

    effect = effect_of(run, call) if isinstance(call, ToolCall) else None
    if isinstance(effect, Answer):
        return effect
    outer = live_call.get()
    booking: Booking | None = None
    keeps_share: bool | None = None
    if run.policy.mode == "enforce" and run.policy.rule_mode("budget") == "enforce":
        inside = outer.inside if outer is not None else NOTHING
        share = ZERO if concluding else run.owner_share()
        keeps_share = share is not ZERO
        try:
            found = yield from reserve(run, call, scope, inside, concluding, share)
            while True:
                # A stop latched, or a deadline passed, while this call waited is met here: nothing is sent after it.
                lifted = isinstance(found, Refusal) and found.halted and not hears_of_stop(run, found)
                answer = None if lifted else stopped_meanwhile(run, call, scope, concluding, found)
                if answer is not None:
                    return answer
                if not lifted and (not isinstance(found, Booking) or (yield from found.dispatch())):
                    break
                # The hold's lease ended between the grant and now, or a stop was lifted: it is asked for again.
                found = yield from reserve(run, call, scope, inside, concluding, share)
        except StoreUnavailable as lost:
            # Nothing is latched: the run goes on where it is once the store is back.
            run.engine.event(run, "store", rule="store", reason=str(lost))
            raise run.raised(lost) from lost.__cause__
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
                if run.outer is not None and found.account is run.outer.account:
                    run.outer.latch(error)  # what is gone is the money of the run around it
            if isinstance(call, ToolCall):
                return Answer(NOT_EXECUTED, "budget")
            raise run.raised(error)
        booking = found

    if effect is not None and (answer := effect.begin(booking)) is not None:
        return answer
    live = LiveCall(run, call, booking, outer, scope, keeps_share)
    if effect is not None and effect.whole:
        outcome: CallOutcome = yield Proceed(((live_call, live), (current_run, run)), whole=True)
    else:
        outcome = yield Proceed(((live_call, live), (current_run, run)), live.seconds_left, live.expired)
    if effect is not None:
        effect.end(outcome)
    seen = None if outcome.usage.known or not isinstance(call, ModelCall) else call.usage_seen
    if seen is not None and seen.known:
        outcome = replace(outcome, usage=seen, cut=outcome.cut or was_cut_by_us(call, seen))
    if isinstance(call, ModelCall) and (call.heard_cut or call.heard_refusal):
        outcome = replace(outcome, cut=outcome.cut or call.heard_cut, refused=outcome.refused or call.heard_refusal)
    if booking is not None:
        yield from booking.settle(outcome)
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


def hears_of_stop(run: Run, refusal: Refusal) -> bool:
    """An account is halted, since another process stopped its run: latch that here. False where it was lifted meanwhile."""
    outer = run.outer
    if outer is None or refusal.account is not outer.account:
        return run.record.hear_of_stop()
    stopped = outer.record.hear_of_stop()
    if outer.stop is not None:
        run.latch(outer.stop.error).abort("the run around it was stopped")
    return stopped


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
        if run.stop is not None:  # heard of while the hop was counted
            return Answer(NOT_EXECUTED, run.stop.error.rule)
        hops = run.hops
        verdict = judge(run, plugins.before_handoff, handoff)
        if verdict is not None and verdict.action == "stop" and run.record.look():
            continue  # topped up from outside
        if verdict is not None:
            plugins.tell(plugins.after_handoff, handoff, "denied", run)
            run.engine.record_handoff(run, handoff, verdict)
            if verdict.action == "stop":
                run.latch(stop_of(verdict))
                run.engine.record_stop(run)
            return Answer(verdict.message or verdict.reason, verdict.rule)
        # Judged again where another thread's hop came in between: two must not both be the last one.
        try:
            counted = handoff.kind != "transfer" or run.take_hop(hops)
        except StoreUnavailable as error:
            raise run.raised(error) from error.__cause__
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
        if verdict.kind == "escalate" and enforced and isinstance(subject, ToolCall):
            verdict = put_to_person(run, subject, verdict) or verdict
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
