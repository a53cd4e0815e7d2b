"""Where reviews are kept. A store is chosen by its URL; all behave the same but for who else can see them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mas_guard.errors import ConfigError
from mas_guard.records import open_records
from mas_guard.records.opening import REDIS_SCHEMES, shown
from mas_guard.records.store import RETENTION
from mas_guard.reviews.record import Resolution, Review, ReviewRecord, expired

if TYPE_CHECKING:
    from mas_guard.config import Policy

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


def store_url(policy: Policy) -> tuple[str, str]:
    """Where the reviews of *policy* are, and the setting that says so: REVIEW__STORE, or STORE where that one is
    `store://` and STORE is a store that has room for reviews."""
    url = policy.review.store
    if not url.lower().startswith("store:"):
        return url, "REVIEW__STORE"
    scheme = policy.store.partition("://")[0].lower()
    return (policy.store if scheme in ("sqlite", *REDIS_SCHEMES) else "memory://"), "STORE"


def store_of(policy: Policy) -> ReviewStore:
    """The store of reviews that *policy* names.

    Raises:
        ConfigError: As `open_store`.
    """
    url, setting = store_url(policy)
    return open_store(url, retention=policy.retention, timeout=policy.store_timeout, setting=setting)


def open_store(
    url: str, *, retention: float = RETENTION, timeout: float = 1.0, setting: str = "REVIEW__STORE"
) -> ReviewStore:
    """The store of reviews at *url*. Nothing is created or connected before the first review.

    Args:
        url: `memory://`, which is one for the whole process; `sqlite:///path`, where a relative path starts where
            `mas-guard run` was started, else in the working directory; or `redis://` and what else names a Redis.
        retention: Seconds that a Redis keeps a review after it was decided.
        timeout: Seconds that a Redis may take to answer.
        setting: Which setting named the URL, for the message.

    Raises:
        ConfigError: Where there is no such store, or what it needs is not installed.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme == "memory":
        return _of_this_process
    if scheme == "sqlite" and rest.startswith("/") and rest.strip("/"):
        from mas_guard._launched import settings_directory
        from mas_guard.reviews.sqlite import SQLiteReviewStore

        return SQLiteReviewStore(Path(settings_directory(os.environ), unquote(rest[1:])))
    if scheme in REDIS_SCHEMES:
        from mas_guard.reviews.records import RecordReviewStore

        return RecordReviewStore(open_records(url, retention=retention, timeout=timeout, setting=setting), retention)
    raise ConfigError(
        f"{setting}={shown(url)!r} is no store for reviews. Use sqlite:///reviews.db for the processes of one machine, "
        "redis://host:6379 for several, or memory:// for this process alone.",
        source=setting,
        key=setting,
    )
