"""The owner's concluding turn: the brief it gets, and how its answer is read."""

from __future__ import annotations

from mas_guard._run import Run
from mas_guard.types import Brief, CallOutcome

ABORT = "ABORT:"
ESCALATE = "ESCALATE:"
DIRECTIVES = (ABORT, ESCALATE)


def asks_people(run: Run) -> bool:
    """True where a person can be asked."""
    return run.policy.review.channel is not None


def brief_for(run: Run) -> Brief:
    """What the owner is told: which limit, the figures, the path so far, and what it may answer."""
    stop = run.stop
    assert stop is not None
    path = tuple(run.path)
    text = (
        f"[mas-guard] This run was stopped and control is back with you, its owner. {stop.error}\n"
        f"Path so far: {' -> '.join(path) or 'none'}. Hops: {run.hops}.\n"
        "This is your concluding turn: no tool can be called and control cannot be handed on. Answer now with "
        "the best result that what is known so far supports, and say what is missing. If nothing useful can be "
        f"said, answer with a first line '{ABORT} <reason>'"
        + (f", or with '{ESCALATE} <reason>' where a person has to decide." if asks_people(run) else ".")
    )
    return Brief(
        rule=stop.error.rule,
        reason=str(stop.error),
        path=path,
        spent=run.spent(),
        left=run.unspent(),
        text=text,
    )


def take_conclusion(run: Run, outcome: CallOutcome) -> None:
    """Read the owner's answer; what is no answer leads to the next action and raises."""
    stop = run.stop
    assert stop is not None
    if outcome.error is not None:
        stop.next_action(f"the owner's concluding call failed with {type(outcome.error).__name__}")
        return
    if outcome.tool_calls:
        stop.next_action(
            f"the owner called {', '.join(outcome.tool_calls)} in its concluding turn instead of answering"
        )
        raise run.raised()
    text = outcome.text.strip()
    if not text:
        stop.next_action("the owner's concluding answer was empty")
        raise run.raised()
    for word in DIRECTIVES:
        if text.startswith(word):
            reason = text[len(word) :].split("\n", 1)[0].strip()
            if word == ESCALATE and asks_people(run):
                stop.escalate(f"the owner asked for a person: {reason}")
                raise run.raised()
            stop.abort(f"the owner decided to abort: {reason}")
            raise run.raised()
    stop.conclude(outcome.text)
