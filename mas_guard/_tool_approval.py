"""A tool call that a rule wants a person to see first: it is answered with the review's id, and goes through once it is
approved as it stands. An approval is for exactly what was shown, and for one call.

Where the framework can pause (`REVIEW__CHANNEL=interrupt`), the app waits in that pause instead, and what it is resumed
with is the answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mas_guard._gate import open_review, resolution_at_once
from mas_guard._resuming import APPROVALS
from mas_guard.types import ToolCall, Verdict

if TYPE_CHECKING:
    from mas_guard._run import Run
    from mas_guard.reviews import Resolution


def put_to_person(run: Run, call: ToolCall, verdict: Verdict) -> Verdict | None:
    """`None` where the call may be made; else what answers it for now."""
    if run.policy.review.channel is None:
        return None
    from mas_guard.reviews import fingerprint_of
    from mas_guard.reviews.shown import as_data

    shown = {"tool": call.tool, "arguments": dict(call.arguments)}
    used: set[str] = run.rule_state.setdefault(APPROVALS, set())
    try:
        fingerprint = fingerprint_of("tool", call.agent, as_data(shown))
        record = _waiting_or_decided(run, fingerprint, used)
    except Exception as error:  # what cannot be shown cannot be approved
        run.engine.plugins.errors.report("Putting a tool call to a person", error)
        return _denied(
            verdict, f"not executed: a person has to approve it, and could not be asked ({type(error).__name__})"
        )
    review, resolution = record if record is not None else (None, None)
    if review is None:
        review = open_review(run, "tool", call.agent, verdict.reason, shown)
        if review is None:
            return _denied(verdict, "not executed: a person has to approve it, and could not be asked")
        resolution = resolution_at_once(run, review)
    if call.pauses and run.policy.review.channel == "interrupt":
        # Also where it is decided already: a task that runs again must pass the same pauses in the same order.
        call.waits_for = review.id
        return _denied(verdict, f"waits for a person (review {review.id})")
    if resolution is None:
        text = f"not executed: it waits for a person (review {review.id}). Go on with what does not need it."
        return _denied(verdict, text)
    used.add(review.id)
    if resolution.decision == "approved" and not resolution.edited:
        return None
    return _denied(verdict, _decided(call, resolution))


def settle_pause(run: Run, call: ToolCall, answer: Any) -> str:
    """Take what the app was resumed with as the answer to the review that *call* waits for.

    Returns what is wrong with it; empty where it was taken, or the review had its answer already.
    """
    from mas_guard.reviews import ReviewAnswered, ReviewError
    from mas_guard.reviews.payload import from_payload

    desk = run.engine.desk(run.policy)
    try:
        desk.settle(call.waits_for, from_payload(answer))
    except ReviewAnswered:
        pass  # from another terminal, or its time is over: the first answer counts
    except ReviewError as error:
        return str(error)
    call.pauses, call.waits_for = False, ""
    return ""


def pause_payload(run: Run, call: ToolCall, problem: str = "") -> dict[str, Any]:
    """What the pause shows: the review that *call* waits for, and what was wrong with the answer before."""
    from mas_guard.reviews.payload import to_payload

    review, _ = run.engine.desk(run.policy).record(call.waits_for)
    return {**to_payload(review), "problem": problem} if problem else to_payload(review)


def _waiting_or_decided(run: Run, fingerprint: str, used: set[str]) -> Any:
    records = run.engine.desk(run.policy).of_run(run.id)
    same = [record for record in records if record.review.kind == "tool" and record.review.fingerprint == fingerprint]
    return next((record for record in reversed(same) if record.review.id not in used), None)


def _decided(call: ToolCall, resolution: Resolution) -> str:
    if resolution.decision == "approved":
        return (
            f"not executed: a person approves {call.tool} only with these arguments: {resolution.result}. Call it so."
        )
    if resolution.decision == "answered":
        return str(resolution.result)
    return f"not executed: a person rejected it{': ' + resolution.reason if resolution.reason else ''}. Do without it."


def _denied(verdict: Verdict, text: str) -> Verdict:
    return replace(verdict, kind="deny", action="block", message=text)
