"""Reviews in one SQLite file, shared by the processes of one machine.

Every change is one guarded statement, so that two answers cannot both win whatever happens between them. A connection
is opened for each: reviews are rare, and nothing has to be carried over a fork or between threads.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mas_guard.ledger.sqlite.file_lock import FileLock
from mas_guard.reviews.errors import ReviewStoreError
from mas_guard.reviews.record import Resolution, Review, ReviewRecord
from mas_guard.reviews.store import ReviewStore

BUSY = 2.0  # seconds that a statement waits for another process's

# Names of our own: the file may be the app's, or hold other records of ours.
_SCHEMA = """
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS mas_guard_reviews (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, expires_at REAL NOT NULL, review TEXT NOT NULL,
        settled_at REAL, resolution TEXT
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS mas_guard_reviews_waiting ON mas_guard_reviews (created_at) WHERE resolution IS NULL;
    CREATE TABLE IF NOT EXISTS mas_guard_review_messages (id TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
    COMMIT;
"""
_IS_THERE = "SELECT 1 FROM sqlite_master WHERE name = 'mas_guard_review_messages'"


class SQLiteReviewStore(ReviewStore):
    """Reviews in the SQLite file at *path*, in write-ahead mode.

    The file holds what the persons must see. It is created for its owner alone; one that exists keeps its mode.

    Args:
        path: The file. It and its folder are created with the first review.
    """

    shared = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(os.path.abspath(path))
        self.place = str(self._path)

    def add(self, review: Review) -> None:
        """Write *review*; the first one makes the file."""
        self._create()
        self._change(
            "INSERT INTO mas_guard_reviews (id, created_at, expires_at, review) VALUES (?, ?, ?, ?)",
            (review.id, review.created_at, review.expires_at, _written(review.to_json())),
        )

    def get(self, review_id: str) -> ReviewRecord | None:
        """The review of that id."""
        found = self._rows("SELECT review, resolution FROM mas_guard_reviews WHERE id = ?", (review_id,))
        return self._record(found[0]) if found else None

    def records(self, *, waiting: bool) -> list[ReviewRecord]:
        """Those reviews, the oldest first."""
        only = "WHERE resolution IS NULL" if waiting else ""
        found = self._rows(f"SELECT review, resolution FROM mas_guard_reviews {only} ORDER BY created_at, id")
        return [self._record(row) for row in found]

    def settle(self, review_id: str, resolution: Resolution) -> bool:
        """One guarded `UPDATE`: it changes a row once, or none."""
        return bool(
            self._change(
                "UPDATE mas_guard_reviews SET settled_at = ?, resolution = ? "
                "WHERE id = ? AND resolution IS NULL AND (expires_at <= ?) = ?",
                (
                    resolution.at,
                    _written(resolution.to_json()),
                    review_id,
                    resolution.at,
                    int(resolution.expired),
                ),
            )
        )

    def remember_message(self, message_id: str, until: float, now: float) -> bool:
        """One `INSERT` that a known id makes void."""
        self._create()
        self._change("DELETE FROM mas_guard_review_messages WHERE until < ?", (now,))
        return bool(
            self._change(
                "INSERT OR IGNORE INTO mas_guard_review_messages (id, until) VALUES (?, ?)", (message_id, until)
            )
        )

    def forget(self, before: float) -> int:
        """Delete what was decided before that."""
        return self._change("DELETE FROM mas_guard_reviews WHERE settled_at < ?", (before,))

    def exists(self) -> bool:
        """True where the file is there already."""
        return self._path.exists()

    def _create(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Before SQLite does it: what is in there is for whoever runs the app. Only where it is not there yet: to open and
            # close a database beside SQLite drops the locks that this process holds on it.
            if not self._path.is_file():
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise self._fault(error) from error
        with self._connected() as connection:
            if connection.execute(_IS_THERE).fetchone() is not None:
                return
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                pass  # another process is just doing it, or the file system cannot: it works without as well
            with self._in_order():
                connection.executescript(_SCHEMA)

    def _rows(self, question: str, values: tuple[Any, ...] = ()) -> list[tuple[str, str | None]]:
        with self._connected() as connection:
            # Another process may just have made the file and not yet what is in it.
            is_there = connection.execute(_IS_THERE).fetchone() is not None
            return connection.execute(question, values).fetchall() if is_there else []

    def _change(self, statement: str, values: tuple[Any, ...]) -> int:
        with self._connected() as connection, self._in_order():
            is_there = connection.execute(_IS_THERE).fetchone() is not None
            return connection.execute(statement, values).rowcount if is_there else 0

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise ReviewStoreError(
                f"There are no reviews at {self.place}: the file does not exist. It is created with the first review; "
                "start where the app was started, or give REVIEW__STORE an absolute path (sqlite:////…).",
                store=self.place,
            )
        try:
            address = f"{self._path.as_uri()}?mode=rw"
            with closing(sqlite3.connect(address, timeout=BUSY, isolation_level=None, uri=True)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise self._fault(error) from error

    @contextmanager
    def _in_order(self) -> Iterator[None]:
        """Keep to the order of the ledger, whose file this may be: beside a busy one SQLite's own waiting starves."""
        lock = FileLock(str(self._path))
        try:
            if not lock.acquire(BUSY):
                raise sqlite3.OperationalError(f"database is locked: another process has kept it for {BUSY:g} s")
        except OSError:
            pass  # where no file can be made beside it, SQLite's locks hold all the same
        try:
            yield
        finally:
            lock.release()
            lock.close()

    def _fault(self, error: Exception) -> ReviewStoreError:
        return ReviewStoreError(
            f"The reviews in {self.place} cannot be read or written ({type(error).__name__}: {error}). Make the file "
            "and its folder readable and writable for this user, or name another file in REVIEW__STORE.",
            store=self.place,
        )

    def _record(self, row: tuple[str, str | None]) -> ReviewRecord:
        try:
            review = Review(**json.loads(row[0]))
            return ReviewRecord(review, None if row[1] is None else Resolution(**json.loads(row[1])))
        except (TypeError, ValueError) as error:
            raise ReviewStoreError(
                f"A review in {self.place} cannot be read ({type(error).__name__}): the file was changed by something "
                "else, or by a later mas-guard. Name another file in REVIEW__STORE.",
                store=self.place,
            ) from error


def _written(data: dict[str, Any]) -> str:
    """As ASCII: an answer of a model may hold characters that no database takes, such as half a surrogate pair."""
    return json.dumps(data, ensure_ascii=True)
