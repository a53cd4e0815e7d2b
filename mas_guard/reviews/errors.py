"""What can go wrong with a review.

    ReviewError
    ├ ReviewNotFound        .review_id
    ├ ReviewAnswered        .review_id .decision .by .at
    ├ ReviewChanged         .review_id .shown .asked
    ├ EditNotAllowed        .review_id
    ├ NotShowable
    ├ WebhookRefused        .problem
    └ ReviewStoreError      .store; the driver's error in __cause__

`.http_status` is what a web endpoint that takes answers may reply with. No message holds what a review shows.
"""

from __future__ import annotations

from mas_guard.errors import GuardError


class ReviewError(GuardError):
    """The root of what goes wrong with a review."""

    http_status: int = 400


class ReviewNotFound(ReviewError):
    """There is no review of that id in this store."""

    http_status = 404
    review_id: str = ""


class ReviewAnswered(ReviewError):
    """The review has its answer already, or its time is over; the first answer counts.

    Attributes:
        decision: The answer that counts.
        by: Who gave it.
        at: When, in seconds since the epoch.
    """

    http_status = 409
    review_id: str = ""
    decision: str = ""
    by: str = ""
    at: float = 0.0


class ReviewChanged(ReviewError):
    """What is to be done is not what the person was shown; it needs a review of its own.

    Attributes:
        shown: The fingerprint of what was shown.
        asked: The fingerprint of what is to be done.
    """

    http_status = 409
    review_id: str = ""
    shown: str = ""
    asked: str = ""


class EditNotAllowed(ReviewError):
    """The review can be approved or rejected as it stands, or the edit is not of the shown kind."""

    http_status = 422
    review_id: str = ""


class NotShowable(ReviewError):
    """Something cannot be shown to a person as data, so nobody could approve it."""


class WebhookRefused(ReviewError):
    """A webhook's message was not taken.

    Attributes:
        problem: `missing`, `wrong`, `old`, `replayed` or `malformed`.
    """

    http_status = 401
    problem: str = ""


class ReviewStoreError(ReviewError):
    """The store of reviews did not work; the driver's error is the cause."""

    http_status = 503
    store: str = ""
