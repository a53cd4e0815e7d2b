"""Reviews among the records that processes share, such as those on Redis.

A review is one record. Its resolution replaces the version without one, so that of any number of answers from any
number of machines one wins. It is forgotten by itself, the retention after it was decided or could be answered last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mas_guard.records import RecordStore
from mas_guard.records.store import RETENTION
from mas_guard.reviews.errors import ReviewStoreError
from mas_guard.reviews.record import Resolution, Review, ReviewRecord
from mas_guard.reviews.store import ReviewStore

REVIEWS, MESSAGES = "reviews", "review-messages"

LATE = 60.0
"""Seconds that the id of a message is kept beyond its time: the store's clock may be ahead of the desk's."""


class RecordReviewStore(ReviewStore):
    """Reviews as records of *records*.

    Args:
        records: Where they are kept.
        retention: Seconds that a review is kept after it was decided.
    """

    def __init__(self, records: RecordStore, retention: float = RETENTION) -> None:
        self._records = records
        self._retention = retention
        self.place = records.place
        self.shared = records.shared

    def add(self, review: Review) -> None:
        """Write *review*, durably: a person may be asked before the process ends."""
        keep = max(0.0, review.expires_at - review.created_at) + self._retention
        value = {"review": review.to_json(), "resolution": None}
        with self._telling():
            if self._records.put(REVIEWS, review.id, value, version=0, keep=keep, durable=True) is None:
                raise ReviewStoreError(f"There is a review {review.id} in {self.place} already.", store=self.place)

    def get(self, review_id: str) -> ReviewRecord | None:
        """The review of that id."""
        with self._telling():
            found = self._records.get(REVIEWS, review_id)
        return None if found is None else self._read(found.value)

    def records(self, *, waiting: bool) -> list[ReviewRecord]:
        """Those reviews, the oldest first."""
        with self._telling():
            found = [self._read(record.value) for record in self._records.scan(REVIEWS)]
        kept = [record for record in found if not waiting or record.resolution is None]
        return sorted(kept, key=lambda record: (record.review.created_at, record.review.id))

    def settle(self, review_id: str, resolution: Resolution) -> bool:
        """Replace the version that has no resolution: once, or not at all."""
        with self._telling():
            while True:
                found = self._records.get(REVIEWS, review_id)
                if found is None:
                    return False
                review, already = self._read(found.value)
                if already is not None or (resolution.at >= review.expires_at) is not resolution.expired:
                    return False
                value = {**found.value, "resolution": resolution.to_json()}
                written = self._records.put(
                    REVIEWS, review_id, value, version=found.version, keep=self._retention, durable=True
                )
                if written is not None:
                    return True

    def remember_message(self, message_id: str, until: float, now: float) -> bool:
        """Make a record of that id, which ends by itself; one whose time is over is made anew."""
        keep = max(0.0, until - now) + LATE
        with self._telling():
            while True:
                found = self._records.get(MESSAGES, message_id)
                if found is not None and found.value["until"] >= now:
                    return False
                version = 0 if found is None else found.version
                if self._records.put(MESSAGES, message_id, {"until": until}, version=version, keep=keep) is not None:
                    return True

    def forget(self, before: float) -> int:
        """Delete what was decided before that."""
        with self._telling():
            return sum(
                self._records.delete(REVIEWS, found.key, version=found.version)
                for found in self._records.scan(REVIEWS)
                if (resolution := self._read(found.value).resolution) is not None and resolution.at < before
            )

    def _read(self, value: Mapping[str, Any]) -> ReviewRecord:
        try:
            resolution = value["resolution"]
            return ReviewRecord(Review(**value["review"]), None if resolution is None else Resolution(**resolution))
        except (KeyError, TypeError) as error:
            raise ReviewStoreError(
                f"A review in {self.place} cannot be read ({type(error).__name__}): it was changed by something else, or "
                "by a later mas-guard. Update mas-guard here, or name another store in REVIEW__STORE.",
                store=self.place,
            ) from error

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except self._records.driver_errors as error:
            raise ReviewStoreError(
                f"The reviews in {self.place} cannot be read or written ({type(error).__name__}: {error}). Look whether "
                "that store is there and can be reached, or name another one in REVIEW__STORE.",
                store=self.place,
            ) from error
