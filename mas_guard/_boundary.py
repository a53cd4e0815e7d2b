"""The run's boundary: the outermost one opens the run and ends it with an outcome; inner ones join it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from mas_guard._conclusion import brief_for
from mas_guard._effects import Flow, Proceed, Scope
from mas_guard._gate import escalate_limit, final_envelope, judge_result
from mas_guard._group import current_groups
from mas_guard._run import Run, current_run
from mas_guard._start import refused_at_start
from mas_guard._step_scope import current_step
from mas_guard.errors import EscalationRequired, GuardStopped, StoreUnavailable
from mas_guard.types import CallOutcome, Envelope, Outcome, OutcomeStatus

last_outcome: ContextVar[Outcome | None] = ContextVar("mas_guard_last_outcome", default=None)

REMEMBERED_RESULTS = 1000

logger = logging.getLogger("mas_guard")


def run_flow(
    run: Run,
    *,
    state: Callable[[], Any] = lambda: None,
    on_outcome: Callable[[Outcome], None] | None = None,
    scope: Scope | None = (),
    answer: Callable[[], str] = lambda: "",
) -> Flow:
    """One run from intake to outcome.

    *state* reads the state so far, for a run that is stopped; *answer* reads what a run that ended well gives, as text,
    where the adapter's `CallOutcome` does not hold it. *scope* is what the adapter adds to the run's context,
    or `None` where the adapter has entered the run's context already.
    """
    engine = run.engine
    engine.event(run, "run_started", owner=run.owner)
    engine.plugins.tell(engine.plugins.run_started, run)
    run.record.begin()
    try:
        refused = refused_at_start(run)
    except StoreUnavailable as lost:  # nothing is latched: it may begin once the store is back
        finish(run, CallOutcome(error=lost), state, on_outcome)
        raise
    if refused is not None:
        run.latch(refused).abort("nothing was sent")
        engine.record_stop(run)
        finish(run, CallOutcome(error=refused), state, on_outcome)
        raise run.raised()
    inside: Scope = ()
    if scope is not None:
        outside_steps: Scope = ((current_step, None),) if current_step.get() is not None else ()
        inside = ((current_run, run), *outside_steps, *scope)
    outcome: CallOutcome = yield Proceed(scope=inside)
    finish(run, outcome, state, on_outcome, answer)
    stop = run.stop
    if stop is not None and stop.action == "abort" and not run.suspended:
        raise run.raised() from outcome.error
    return None


def finish(
    run: Run,
    result: CallOutcome,
    state: Callable[[], Any] = lambda: None,
    on_outcome: Callable[[Outcome], None] | None = None,
    answer: Callable[[], str] = lambda: "",
) -> Outcome:
    """Give *run* its outcome, record it, and tell whoever wants to know. Only the first call counts."""
    if run.outcome is None and run.policy.mode != "off":
        run.record.hear_before_the_end()
        judge_result(run, result, answer)
        if run.stop is not None and run.stop.escalates and run.policy.mode == "enforce" and not run.suspended:
            escalate_limit(run)
    with run.lock:
        if run.outcome is not None:
            return run.outcome
        outcome = _outcome(run, result, state)
        run.outcome = outcome
    if run.stop is not None:
        run.stop.error.outcome = outcome
    elif isinstance(result.error, StoreUnavailable):
        result.error.outcome = outcome
    engine = run.engine
    engine.event(
        run,
        "run_finished",
        status="suspended" if run.suspended else outcome.status,
        rule=outcome.rule,
        reason=outcome.reason,
        hops=outcome.hops,
        spent=outcome.spent._asdict(),
        path=list(outcome.path),
        notes=list(outcome.notes),
        seconds=round(run.clock.elapsed, 3),
        owner=run.owner,
        repeats=most_repeats(run),
    )
    engine.plugins.tell(engine.plugins.run_finished, run, outcome)
    if run.stop is not None and run.policy.review.channel == "webhook" and run.policy.mode == "enforce":
        engine.desk(run.policy).notify_stop(outcome)
    for group in run.groups:
        group.add(outcome)
    try:
        run.record.ended(outcome, "suspended" if run.suspended else outcome.status)
    except StoreUnavailable as lost:
        logger.warning("How run %s ended is not in the store: %s", run.id, lost)
    last_outcome.set(outcome)
    engine.remember(run)
    if on_outcome is not None:
        try:
            on_outcome(outcome)
        except Exception as error:  # a user's callback never changes the result
            engine.plugins.errors.report("on_outcome", error)
    return outcome


def _outcome(run: Run, result: CallOutcome, state: Callable[[], Any]) -> Outcome:
    stop, error = run.stop, result.error
    status: OutcomeStatus = "completed"
    rule = reason = ""
    envelope: Envelope | None = Envelope("success", None)
    partial: Any = None
    if run.suspended:
        status, rule = "partial", "interrupt"
        reason = "suspended: waits for a human input"
        envelope = Envelope("partial", None, None, reason)
    elif stop is not None:
        rule, reason = stop.error.rule, str(stop.error)
        if stop.reason:
            reason = f"{reason} Then: {stop.reason}."
        if stop.action == "owner" and stop.phase == "concluded":
            status = "partial"
            envelope = Envelope("partial", stop.result, None, reason)
        elif stop.action == "owner" and (decision := _decide(run)) is not None:
            status = "partial"
            envelope = Envelope("partial", decision, None, reason)
            stop.conclude("" if decision is None else str(decision))
        elif stop.action == "partial":
            status, partial = "partial", state()
            envelope = Envelope("partial", partial, None, reason)
        else:
            stop.abort("control never came back to the owner")
            status, partial = "escalated" if isinstance(stop.error, EscalationRequired) else "aborted", state()
            envelope = Envelope("failed", None, None, reason)
    elif error is not None:
        status, partial = "aborted", state()
        reason = "; ".join((_why_aborted(error), *_said_of(run)))
        envelope = Envelope("failed", None, None, reason)
    elif run.failed_agents:
        status, rule = "partial", next(iter(run.failed_agents.values()))
        reason = f"ended by a limit of its own: {', '.join(run.failed_agents)}"
        envelope = Envelope("partial", None, None, reason)
    elif run.cut_by_cap:
        status, rule = "partial", "budget"
        reason = "a reply was cut by the guard's output cap"
        envelope = Envelope("partial", None, None, reason)
    elif run.envelopes.not_successful():
        status, rule = "partial", "envelope"
        reason = "; ".join(_said_of(run))
        envelope = Envelope("partial", None, None, reason)
    elif run.doubts:
        status, rule, reason = "partial", "result", " ".join(run.doubts)
        envelope = replace(final_envelope(run, result)[1], status="partial", result=None, reason=reason)
    else:
        envelope = replace(final_envelope(run, result)[1], result=None)
    return Outcome(
        status=status,
        run_id=run.id,
        rule=rule,
        reason=reason,
        envelope=envelope,
        spent=run.spent(),
        unspent=run.unspent(),
        hops=run.hops,
        path=tuple(run.path),
        partial=partial,
        envelopes={agent: settled.envelope for agent, settled in list(run.envelopes.latest.items())},
        notes=tuple(run.notes),
        run=run,
    )


def _decide(run: Run) -> Any:
    """The decision of an owner that is no agent, where a plugin decides; `None` where nobody does."""
    if not run.engine.plugins.has_decide_hook:
        return None
    decision = run.engine.plugins.decide(brief_for(run), run)
    if decision is None or decision.choice != "complete":
        assert run.stop is not None
        if decision is not None:
            run.stop.next_action(f"the owner decided to {decision.choice}: {decision.reason}")
        return None
    return decision.result


def _said_of(run: Run) -> list[str]:
    """The agents whose output is no success, and why."""
    poor = run.envelopes.not_successful()[:5]
    return [f"{one.agent}: {one.envelope.status}, {one.envelope.reason or 'no reason given'}" for one in poor]


def _why_aborted(error: BaseException) -> str:
    if isinstance(error, GeneratorExit | asyncio.CancelledError):
        return "client gone"
    return f"the app raised {type(error).__name__}"


def most_repeats(run: Run) -> int:
    """The most often that one call gave the same result, for `suggest`."""
    history = run.rule_state.get("repetition")
    return max((seen.times for seen in history.seen.values()), default=0) if history is not None else 0


class Results:
    """Which result belongs to which outcome: weakly where the type allows, else the last 1,000 strongly."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Any, Outcome]] = OrderedDict()

    def remember(self, result: Any, outcome: Outcome) -> None:
        """Remember *outcome* for *result*."""
        if result is None or isinstance(result, str | bytes | int | float | bool):
            return
        import weakref

        try:
            held: Any = weakref.ref(result)
        except TypeError:
            held = result
        self._kept[id(result)] = (held, outcome)
        self._kept.move_to_end(id(result))
        while len(self._kept) > REMEMBERED_RESULTS:
            self._kept.popitem(last=False)

    def find(self, result: Any) -> Outcome:
        """Return the outcome of the run that gave *result*; a `LookupError` says what to do instead."""
        if result is None or isinstance(result, str | bytes | int | float | bool):
            raise LookupError(
                f"A {type(result).__name__} has no identity, so its outcome cannot be looked up. Use "
                "mas_guard.last_outcome() in the context that made the call, or on_outcome=."
            )
        if isinstance(result, GuardStopped) and result.outcome is not None:
            return result.outcome  # type: ignore[no-any-return]
        held, outcome = self._kept.get(id(result), (None, None))
        import weakref

        if isinstance(held, weakref.ref):
            held = held()
        if held is not result or outcome is None:
            raise LookupError(
                "This object is no result of a guarded run, or more than 1 000 runs ended since. Use "
                "mas_guard.last_outcome() or on_outcome=."
            )
        return outcome


results = Results()


def joined_groups() -> tuple[Any, ...]:
    """The groups that a run opened here belongs to."""
    return current_groups.get()
