"""Where reviews are kept. A store is chosen by its URL; all behave the same but for who else can see them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path

from mas_guard.errors import ConfigError
from mas_guard.reviews.record import Resolution, Review, ReviewRecord, expired

REMEMBERED = 10_000  # answered reviews that stay in memory at most; those that wait are never dropped


class ReviewStore(ABC):
    """Keeps reviews and their resolutions.

    Every method may be called from any thread. A store does not read a clock: times are given, in seconds since the
    epoch, so that what it decides is the same wherever it is asked.

    Attributes:
        place: Where it keeps them, for people.
        shared: True where other processes see the same reviews, and they outlive this one.
    """

    place: str = ""
    shared: bool = False

    @abstractmethod
    def add(self, review: Review) -> None:
        """Keep *review*, which waits for its answer."""

    @abstractmethod
    def get(self, review_id: str) -> ReviewRecord | None:
        """The review of that id as it is stored; `None` where there is none. Decides no expiry: see `current`."""

    @abstractmethod
    def records(self, *, waiting: bool) -> list[ReviewRecord]:
        """All reviews, or only those without a resolution; the oldest first."""

    @abstractmethod
    def settle(self, review_id: str, resolution: Resolution) -> bool:
        """Give a review its resolution; False where it has one already, or where its time says otherwise.

        One guarded step: of any number of answers from any number of processes one wins. An answer counts only
        before the review's `expires_at`, an expiry only from then on, judged by `resolution.at`.
        """

    @abstractmethod
    def remember_message(self, message_id: str, until: float, now: float) -> bool:
        """Remember the id of a signed message; False where it was seen before. Ids past their *until* are dropped."""

    @abstractmethod
    def forget(self, before: float) -> int:
        """Drop reviews whose resolution is older than *before*; return how many."""

    def exists(self) -> bool:
        """False where no review was ever opened in it."""
        return True

    def current(self, review_id: str, now: float) -> ReviewRecord | None:
        """The review of that id as it stands at *now*: this is the reader who decides an expiry."""
        found = self.get(review_id)
        if found is None or found.resolution is not None or now < found.review.expires_at:
            return found
        self.settle(review_id, expired(found.review))
        return self.get(review_id)

    def expire(self, now: float) -> list[Review]:
        """Decide every review whose time is over at *now*; return those that this call decided."""
        due = [found.review for found in self.records(waiting=True) if now >= found.review.expires_at]
        return [review for review in due if self.settle(review.id, expired(review))]


class MemoryReviewStore(ReviewStore):
    """Reviews of this process, gone with it."""

    place = "memory of this process"
    shared = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, ReviewRecord] = {}
        self._messages: dict[str, float] = {}

    def add(self, review: Review) -> None:
        """Keep *review* while the process lives."""
        with self._lock:
            self._records[review.id] = ReviewRecord(review)
            if len(self._records) > REMEMBERED:
                self._drop_oldest_answered()

    def get(self, review_id: str) -> ReviewRecord | None:
        """The review of that id."""
        return self._records.get(review_id)

    def records(self, *, waiting: bool) -> list[ReviewRecord]:
        """Those reviews, the oldest first."""
        with self._lock:
            found = list(self._records.values())
        return [record for record in found if not waiting or record.resolution is None]

    def settle(self, review_id: str, resolution: Resolution) -> bool:
        """Under the lock, once."""
        with self._lock:
            found = self._records.get(review_id)
            if found is None or found.resolution is not None:
                return False
            if (resolution.at >= found.review.expires_at) is not resolution.expired:
                return False
            self._records[review_id] = ReviewRecord(found.review, resolution)
            return True

    def remember_message(self, message_id: str, until: float, now: float) -> bool:
        """Remember that id, and drop those past their time."""
        with self._lock:
            for past in [known for known, kept in self._messages.items() if kept < now]:
                del self._messages[past]
            if message_id in self._messages:
                return False
            self._messages[message_id] = until
            return True

    def forget(self, before: float) -> int:
        """Drop what was decided before that."""
        with self._lock:
            old = [
                review_id
                for review_id, (_, resolution) in self._records.items()
                if resolution is not None and resolution.at < before
            ]
            for review_id in old:
                del self._records[review_id]
            return len(old)

    def _drop_oldest_answered(self) -> None:
        for review_id, (_, resolution) in self._records.items():
            if resolution is not None:
                del self._records[review_id]
                return


_of_this_process = MemoryReviewStore()


def open_store(url: str) -> ReviewStore:
    """The store of reviews at *url*: `memory://`, which is one for the whole process, or `sqlite:///path`.

    A relative path starts where `mas-guard run` was started, else in the working directory. Nothing is created
    before the first review.

    Raises:
        ConfigError: Where there is no such store.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "memory":
        return _of_this_process
    if scheme.lower() == "sqlite" and rest.startswith("/") and rest.strip("/"):
        from mas_guard._launched import settings_directory
        from mas_guard.reviews.sqlite import SQLiteReviewStore

        return SQLiteReviewStore(Path(settings_directory(os.environ), rest[1:]))
    raise ConfigError(
        f"REVIEW__STORE={url!r} is no store for reviews. Use sqlite:///reviews.db or memory://.",
        source="REVIEW__STORE",
        key="REVIEW__STORE",
    )
