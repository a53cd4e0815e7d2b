"""A review as the payload of a framework's own interrupt, and what comes back as a resolution.

Only the translation: where a framework pauses and how it is resumed is its adapter's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mas_guard.reviews.errors import ReviewError
from mas_guard.reviews.record import Decision, Resolution, Review

PAYLOAD_TYPE = "mas_guard.review"

_WORDS: dict[str, Decision] = {
    "approve": "approved",
    "approved": "approved",
    "accept": "approved",
    "edit": "approved",
    "reject": "rejected",
    "rejected": "rejected",
    "ignore": "rejected",
    "answer": "answered",
    "answered": "answered",
    "response": "answered",
}


def to_payload(review: Review) -> dict[str, Any]:
    """*review* as JSON data for whoever handles the interrupt, with the answers that it takes."""
    answers = ["approve", "reject", *(["edit", "answer"] if review.editable else [])]
    shown = {name: value for name, value in review.to_json().items() if name not in ("id", "fallback")}
    return {"type": PAYLOAD_TYPE, "review": review.id, **shown, "answers": answers}


def from_payload(answer: Any) -> Resolution:
    """What an interrupt was resumed with, as a resolution for `Desk.settle`.

    Taken are `True` and `False`, the words `approve` and `reject`, and a mapping with `decision` (approve, edit,
    reject, answer), and where they apply `result`, `by`, `reason`, and the `fingerprint` of the payload. An approval
    with a `result` is an edit. Who answered may be claimed here; when is the desk's to say.

    Raises:
        ReviewError: For anything else: a text that may mean anything is never read as an approval.
    """
    if isinstance(answer, bool):
        return Resolution("approved" if answer else "rejected")
    if isinstance(answer, str) and answer.strip().lower() in ("approve", "approved", "reject", "rejected"):
        return Resolution(_WORDS[answer.strip().lower()])
    if not isinstance(answer, Mapping) or not isinstance(answer.get("decision"), str):
        raise _unreadable("it has no `decision`")
    word = answer["decision"].strip().lower()
    if word not in _WORDS:
        raise _unreadable("its `decision` is none of these")
    if word in ("edit", "answer", "answered", "response") and "result" not in answer:
        raise _unreadable(f"it says {word} and holds no `result`")
    decision = _WORDS[word]
    return Resolution(
        decision,
        None if decision == "rejected" else answer.get("result"),
        by=_text(answer, "by"),
        reason=_text(answer, "reason"),
        edited=decision == "approved" and (word == "edit" or answer.get("result") is not None),
        fingerprint=_text(answer, "fingerprint"),
    )


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise _unreadable(f"its `{name}` is no text")


def _unreadable(problem: str) -> ReviewError:
    return ReviewError(
        f"This is no answer to a review: {problem}. Answer with true, false, or an object such as "
        '{"decision": "approve", "by": "anna"}; the decisions are approve, edit, reject and answer.'
    )
