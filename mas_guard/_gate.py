"""The gate: a run's result is judged before it leaves, and where a person has to decide, a review is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mas_guard.errors import EscalationRequired, GuardError, GuardStopped, ResultRejected
from mas_guard.types import CallOutcome, Envelope, Verdict

if TYPE_CHECKING:
    from mas_guard._run import Run
    from mas_guard.reviews import Resolution, Review, ReviewRecord

RULE = "result"


def judge_result(run: Run, result: CallOutcome, answer: Callable[[], str] = lambda: "") -> None:
    """Ask the validators about the result of a run that is about to end well; what they refuse is latched."""
    if run.stop is not None or run.suspended or result.error is not None or not run.engine.plugins.validate_result:
        return
    if not result.text:
        try:
            result = replace(result, text=answer())
        except Exception as error:  # a state of the app's own kind
            run.engine.plugins.errors.report("Reading a run's result", error)
    if run.resumed and decided_before(run, result.text):
        return
    agent, envelope = final_envelope(run, result)
    plugins = run.engine.plugins
    for hook in plugins.validate_result:
        verdict = plugins.verdict(hook, envelope, run)
        if verdict is None or verdict.kind == "allow":
            continue
        enforced = run.policy.rule_mode(verdict.rule) == "enforce"
        asks = verdict.kind == "escalate" and run.policy.review.channel is not None
        acts = enforced and (verdict.kind == "deny" or asks)
        run.engine.record_verdict(run, verdict, verdict.action if acts else "none")
        if not enforced:
            continue
        if verdict.kind == "deny":
            reject(run, verdict)
            return
        if asks:
            shown = {"result": envelope.result, "confidence": envelope.confidence, "task": run.task}
            review = open_review(run, "result", agent, verdict.reason, shown)
            if review is None or act_on(run, review, resolution_at_once(run, review)):
                continue
            return
        run.doubts.append(verdict.reason)


def decided_before(run: Run, text: str) -> bool:
    """True where a review of this very result was opened before the run was resumed: it is what decides now."""
    record = latest_review(run, "result")
    if record is None or record.review.shown.get("result") not in (text, None):
        return False  # a decision holds for what was shown: the resumed run has come to something else
    act_on(run, record.review, record.resolution)
    return True


def latest_review(run: Run, kind: str) -> ReviewRecord | None:
    """The latest review of that kind that this run has opened, in whichever process, and how it was decided."""
    if run.policy.review.channel is None or run.policy.mode != "enforce":
        return None
    try:
        found = [record for record in run.engine.desk(run.policy).of_run(run.id) if record.review.kind == kind]
    except Exception as error:  # a store that is down must not take the app's result with it
        run.engine.plugins.errors.report("Reading reviews", error)
        return None
    return found[-1] if found else None


def final_envelope(run: Run, result: CallOutcome) -> tuple[str, Envelope]:
    """The agent that gave the run's result, and the result with what it is worth."""
    latest = next(reversed(run.envelopes.latest.values()), None)
    if latest is None:
        return "", Envelope("success", result.text or None)
    text = result.text or run.envelopes.texts.get(latest.agent, "")
    # Others may have answered after the agent whose answer this is: a guardrail's, a tool's.
    settled = list(run.envelopes.latest.items())
    of_answer = (one for agent, one in reversed(settled) if run.envelopes.texts.get(agent) == text)
    latest = next(of_answer, latest)
    found = latest.envelope
    return latest.agent, Envelope(found.status, text, found.confidence, found.reason)


def reject(run: Run, verdict: Verdict) -> None:
    """The result does not leave: the boundary raises."""
    reason = f"Run {run.id}: its result was rejected: {verdict.reason or verdict.rule}"
    error = verdict.stop if isinstance(verdict.stop, GuardError) else None
    rejected = error if isinstance(error, ResultRejected) else ResultRejected(reason, problems=(verdict.reason,))
    end(run, rejected)


def end(run: Run, error: GuardStopped) -> None:
    """The boundary raises *error*: it is the gate's word, and no limit that ON_LIMIT would have an answer to."""
    stop = run.latch(error)
    stop.abort("")
    stop.escalates = False
    run.engine.record_stop(run)


def open_review(run: Run, kind: Any, agent: str, reason: str, shown: dict[str, Any]) -> Review | None:
    """Open a review of this run; `None` where that cannot be done, which the outcome says."""
    desk = run.engine.desk(run.policy)
    try:
        review = desk.open(run, kind, agent, reason, shown, editable=True)
    except Exception as error:  # a store that is down must not take the app's result with it
        run.engine.plugins.errors.report("Opening a review", error)
        run.note(f"a review could not be opened: {type(error).__name__}")
        run.doubts.append(reason)
        return None
    run.engine.event(run, "review", **review.figures())
    return review


def put_answer_to_person(run: Run, agent: str, text: str, reason: str) -> str:
    """An agent's answer that the app itself wants a person to see: what to go on with, once somebody has decided.

    Raises the run's stop where nobody has, or it was rejected.
    """
    record = latest_review(run, "result") if run.resumed else None
    if record is not None and record.review.agent == agent and record.review.shown.get("result") == text:
        review, resolution = record
    else:
        opened = open_review(run, "result", agent, reason, {"result": text, "task": run.task})
        if opened is None:
            return text
        review, resolution = opened, resolution_at_once(run, opened)
    if resolution is not None and resolution.decision != "rejected" and resolution.result is not None:
        return str(resolution.result)
    if not act_on(run, review, resolution):
        raise run.raised()
    return text


def act_on(run: Run, review: Review, resolution: Resolution | None) -> bool:
    """True where the result was approved as it stands; else the boundary raises what was decided, or that it waits."""
    if resolution is None:
        escalate(run, review)
        return False
    if resolution.decision == "approved" and not resolution.edited:
        return True
    what = "rejected" if resolution.decision == "rejected" else "replaced"
    error = ResultRejected(
        f"Run {run.id}: its result was {what} in review {review.id}"
        f"{': ' + resolution.reason if resolution.reason else ''}. mas_guard.reviewed({review.id!r}).result is what "
        "takes its place.",
        problems=(resolution.reason or f"{what} in review",),
        review=review.id,
    )
    end(run, error)
    return False


def resolution_at_once(run: Run, review: Review) -> Resolution | None:
    """What was decided while *review* was opened, or at this terminal; `None` where it waits."""
    desk = run.engine.desk(run.policy)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return desk.ask(review)
    return desk.resolution(review.id)  # nobody waits for a person on an event loop


def escalate(run: Run, review: Review) -> None:
    """A person has to decide: the boundary raises, and names the review."""
    error = EscalationRequired(
        f"Run {run.id} waits for a person: {review.reason} Answer it with `mas-guard reviews show {review.id}`; "
        f"mas_guard.reviewed({review.id!r}) gives what was decided.",
        review=review.id,
    )
    end(run, error)


def escalate_limit(run: Run) -> None:
    """The run was stopped and `escalate` is what follows: a review of what there is is opened."""
    stop = run.stop
    assert stop is not None
    reason = f"{stop.error} {stop.reason}".strip()
    shown = {
        "limit": reason,
        "path": list(run.path),
        "spent": run.spent()._asdict(),
        "answers": {agent: text[:2_000] for agent, text in run.envelopes.texts.items()},
        "task": run.task,
    }
    review = open_review(run, "limit", run.owner, reason, shown)
    if review is None:
        return
    error = EscalationRequired(
        f"{stop.error} A person has to decide: `mas-guard reviews show {review.id}`; mas_guard.reviewed({review.id!r}) "
        "gives what was decided.",
        review=review.id,
    )
    error.__cause__ = stop.error
    error.run = run
    stop.error = error
