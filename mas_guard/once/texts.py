"""What the model is told of a call that is not carried out since its effect may happen only once."""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "unknown whether it happened; do not repeat"


def without_key(tool: str, names: Sequence[str], missing: Sequence[str], unreadable: Sequence[str]) -> str:
    """An argument of the key is missing, or is no data."""
    what = f"{_listed(missing)} is missing" if missing else f"{_listed(unreadable)} is no plain value"
    return (
        f"not executed: {tool} happens at most once for each {_listed(names)}, and {what}. "
        f"Call it again with {_listed(missing or unreadable)}."
    )


def under_way(tool: str, names: Sequence[str]) -> str:
    """An equal call of this process has not ended yet."""
    return (
        f"not executed: {tool} with the same {_listed(names)} is being carried out by another call of this step; do not "
        "repeat it."
    )


def under_way_elsewhere(tool: str, names: Sequence[str]) -> str:
    """An equal call of another process, which still runs, has not ended yet."""
    return (
        f"not executed: {tool} with the same {_listed(names)} is being carried out by another worker of this run, so that "
        f"it is {UNKNOWN} it. Go on with what does not depend on it."
    )


def unknown(tool: str, names: Sequence[str], review: str = "") -> str:
    """It was begun before and never ended, or ended in an error. *review* is the one in which a person looks into it."""
    person = f" A person looks into it (review {review})." if review else ""
    return (
        f"not executed: {tool} with the same {_listed(names)} was called before, and it is {UNKNOWN} it.{person} Go on "
        "with what does not depend on it, and say that it is unknown."
    )


def left_by_person(tool: str, names: Sequence[str], reason: str) -> str:
    """A person has decided that it is not to be carried out again."""
    return (
        f"not executed: {tool} with the same {_listed(names)} was called before, and it is {UNKNOWN} it: a person has "
        f"looked into it and lets it rest{': ' + reason if reason else ''}. Do without it."
    )


def approved_otherwise(tool: str, arguments: object) -> str:
    """A person has approved the call with other arguments than it has now."""
    return f"not executed: a person approves {tool} once more only with these arguments: {arguments}. Call it so."


def waits(review: str) -> str:
    """The app is paused until a person has looked into it."""
    return f"waits for a person (review {review})"


def not_recorded(tool: str, error: str) -> str:
    """The guard could not record it, by a fault of its own."""
    return (
        f"not executed: {tool} must happen at most once, and it could not be recorded that it is carried out ({error}). "
        "Do without it, and say so."
    )


def after_failure(tool: str) -> str:
    """Added to the text that a framework gives in place of the result of a call that failed."""
    return f"[mas-guard] {tool} has failed: it is {UNKNOWN} it."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
