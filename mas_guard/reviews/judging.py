"""Whether an answer is one for this review: of what was shown, and changing nothing that may not be changed."""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Mapping
from typing import Any

from mas_guard.reviews.errors import EditNotAllowed, ReviewAnswered, ReviewChanged, ReviewError
from mas_guard.reviews.record import DECISIONS, Resolution, Review
from mas_guard.reviews.shown import as_data
from mas_guard.reviews.text import moment


def check_fingerprint(review: Review, fingerprint: str) -> None:
    """Raise a `ReviewChanged` where *fingerprint* is given and is not of what *review* shows."""
    if fingerprint and not hmac.compare_digest(fingerprint.encode(), review.fingerprint.encode()):
        raise ReviewChanged(
            f"Review {review.id} showed something else (fingerprint {review.fingerprint[:12]}…) than what is to be "
            f"decided on (fingerprint {fingerprint[:12]}…). An answer holds for exactly what was shown; open a new "
            "review for what has changed.",
            review_id=review.id,
            shown=review.fingerprint,
            asked=fingerprint,
        )


def judged(review: Review, resolution: Resolution) -> Resolution:
    """*resolution* as it may be stored for *review*.

    Raises:
        ReviewChanged: Where it is about something else than what was shown.
        EditNotAllowed: Where it changes what may only be approved or rejected, or changes it into another kind.
        ReviewError: Where it is no decision.
        NotShowable: Where its result is no data.
    """
    if resolution.decision not in DECISIONS or resolution.expired:
        raise ReviewError(
            f"Review {review.id} cannot be {'expired' if resolution.expired else repr(resolution.decision)} by an "
            f"answer; a decision is one of {', '.join(DECISIONS)}."
        )
    check_fingerprint(review, resolution.fingerprint)
    if resolution.decision == "rejected":
        return dataclasses.replace(resolution, result=review.fallback, edited=False)
    if resolution.decision == "approved" and not resolution.edited:
        return dataclasses.replace(resolution, result=None)
    if not review.editable:
        raise EditNotAllowed(
            f"Review {review.id} can be approved or rejected as it stands; it takes no edit and no answer of its own. "
            "Reject it with a reason that says what should change.",
            review_id=review.id,
        )
    result = as_data(resolution.result)
    if resolution.edited and review.kind == "tool" and not isinstance(result, Mapping):
        raise _no_arguments(review)
    return dataclasses.replace(resolution, result=result)


def read_edit(review: Review, text: str) -> Any:
    """What a person typed in place of what *review* shows: a tool's arguments as a JSON object, a text as it stands,
    a result of another kind as JSON.

    Raises:
        EditNotAllowed: Where JSON is called for and it is none.
    """
    if review.kind != "tool" and isinstance(review.shown.get("result", ""), str | None):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if review.kind == "tool":
            raise _no_arguments(review) from error
        raise EditNotAllowed(
            f"Review {review.id} shows a result that is no text, so its replacement must be JSON, and this is none. "
            "Texts in JSON stand in double quotes.",
            review_id=review.id,
        ) from error
    if review.kind == "tool" and not isinstance(value, dict):
        raise _no_arguments(review)
    return value


def answered_already(review: Review, resolution: Resolution | None) -> ReviewAnswered:
    """The error for an answer that came second, or too late: who was first, and when."""
    assert resolution is not None  # whoever lost has lost to somebody
    when = moment(resolution.at)
    if resolution.expired:
        what = f"was rejected when its time ran out at {when}: {resolution.reason}. Nothing can be approved after that"
    else:
        what = f"was {resolution} by {resolution.by or 'somebody'} at {when}, and the first answer counts"
    return ReviewAnswered(
        f"Review {review.id} {what}. Nothing was changed; a new decision needs a new review.",
        review_id=review.id,
        decision=resolution.decision,
        by=resolution.by,
        at=resolution.at,
    )


def _no_arguments(review: Review) -> EditNotAllowed:
    return EditNotAllowed(
        f"Review {review.id} is about a tool call: an edit is all its arguments as one JSON object, such as "
        '{"order_id": "4711"}.',
        review_id=review.id,
    )
