"""What every store of reviews keeps to: one answer wins, whoever else is answering at that moment."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.errors import ConfigError
from mas_guard.ledger.sqlite.file_lock import FileLock
from mas_guard.reviews import (
    Desk,
    MemoryReviewStore,
    Resolution,
    Review,
    ReviewStore,
    ReviewStoreError,
    SQLiteReviewStore,
    open_store,
)
from mas_guard.reviews import store as stores
from mas_guard.reviews.record import expired, new_id
from tests.reviews.conftest import BEGINNING

ANSWERERS = 16


def review_of(number: int = 0, **changes: Any) -> Review:
    """A review that can be answered for 900 s."""
    shown = {"result": f"text {number}"}
    review = Review(new_id(), "run", "result", "writer", "doubtful", shown, created_at=BEGINNING + number)
    return dataclasses.replace(review, **{"expires_at": BEGINNING + 900, **changes})


def test_what_is_added_is_read_back_as_it_was(store: ReviewStore) -> None:
    odd = {"lone": "\ud800 half", "deep": [{"a": [None, True, 1.5, 10**30]}], "": "\x00\x1b[2J"}
    review = review_of(shown=odd, fallback="\udfff", reason="\ud800")
    store.add(review)
    assert store.get(review.id) == (review, None)
    assert store.get("rv_other") is None


def test_all_and_the_waiting_ones_come_oldest_first(store: ReviewStore) -> None:
    reviews = [review_of(number) for number in range(5)]
    for review in reviews:
        store.add(review)
    assert store.settle(reviews[2].id, Resolution("approved", at=BEGINNING + 9))
    assert [record.review for record in store.records(waiting=False)] == reviews
    assert [record.review for record in store.records(waiting=True)] == [*reviews[:2], *reviews[3:]]


def test_of_many_answers_at_once_one_wins(store: ReviewStore) -> None:
    review = review_of()
    store.add(review)
    together = threading.Barrier(ANSWERERS)

    def answer(number: int) -> bool:
        together.wait(30)
        return store.settle(review.id, Resolution("approved", by=str(number), at=BEGINNING + 1))

    with ThreadPoolExecutor(ANSWERERS) as pool:
        won = list(pool.map(answer, range(ANSWERERS)))
    assert won.count(True) == 1
    found = store.get(review.id)
    assert found is not None and found.resolution is not None
    assert found.resolution.by == str(won.index(True))


def test_an_answer_counts_only_before_the_time_and_an_expiry_only_from_then_on(store: ReviewStore) -> None:
    early, late = review_of(), review_of()
    store.add(early)
    store.add(late)
    assert not store.settle(late.id, Resolution("approved", at=BEGINNING + 900))
    assert not store.settle(early.id, Resolution("rejected", at=BEGINNING + 899, expired=True))
    assert store.settle(early.id, Resolution("approved", at=BEGINNING + 899))
    assert store.settle(late.id, expired(late))
    assert not store.settle("rv_other", Resolution("approved", at=BEGINNING))


def test_expiring_says_once_what_was_due(store: ReviewStore) -> None:
    due, later = review_of(), review_of(expires_at=BEGINNING + 9_000)
    store.add(due)
    store.add(later)
    assert store.expire(BEGINNING + 899) == []
    assert store.expire(BEGINNING + 900) == [due]
    assert store.expire(BEGINNING + 900) == []


def test_the_id_of_a_message_is_new_once_until_its_time_is_over(store: ReviewStore) -> None:
    assert store.remember_message("m", BEGINNING + 600, BEGINNING)
    assert not store.remember_message("m", BEGINNING + 600, BEGINNING + 600)
    assert store.remember_message("other", BEGINNING + 600, BEGINNING)
    assert store.remember_message("m", BEGINNING + 2_000, BEGINNING + 601)


def test_memory_keeps_what_waits_and_drops_the_oldest_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "REMEMBERED", 3)
    store = MemoryReviewStore()
    reviews = [review_of(number) for number in range(6)]
    for review in reviews[:3]:
        store.add(review)
    store.settle(reviews[1].id, Resolution("approved", at=BEGINNING + 9))
    for review in reviews[3:]:
        store.add(review)
    assert [record.review for record in store.records(waiting=False)] == [reviews[0], *reviews[2:]]


def test_memory_is_one_store_for_the_whole_process() -> None:
    policy = policy_of(review={"channel": "queue"})
    assert Desk(policy).store is Desk(policy).store is open_store("memory://")
    assert not open_store("memory://").shared


def test_a_path_may_be_relative_or_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("sqlite:///a/b.db").place == str(tmp_path / "a" / "b.db")
    assert open_store(f"sqlite:///{tmp_path}/b.db").place == str(tmp_path / "b.db")
    monkeypatch.setenv("MAS_GUARD_RUN__DIRECTORY", str(tmp_path / "started"))
    assert open_store("sqlite:///b.db").place == str(tmp_path / "started" / "b.db")
    for wrong in ("sqlite://b.db", "sqlite:///", "mystore://host", "redis"):
        with pytest.raises(ConfigError, match="Use sqlite:///reviews.db for"):
            open_store(wrong)


def test_nothing_is_created_before_the_first_review_and_the_file_is_the_owners(tmp_path: Path) -> None:
    path = tmp_path / "new" / "reviews.db"
    store = SQLiteReviewStore(path)
    with pytest.raises(ReviewStoreError, match="There are no reviews at .*the file does not exist"):
        store.get("rv_x")
    assert not path.exists()
    store.add(review_of())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_file_that_another_process_has_just_made_is_empty_and_no_fault(tmp_path: Path) -> None:
    (tmp_path / "reviews.db").touch()
    store = SQLiteReviewStore(tmp_path / "reviews.db")
    assert store.records(waiting=False) == []
    assert store.expire(BEGINNING) == []
    assert store.get("rv_x") is None
    assert store.forget(BEGINNING) == 0


def test_a_file_of_the_apps_own_is_shared_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.executescript("PRAGMA user_version = 7; CREATE TABLE reviews (stars INTEGER);")
    connection.close()
    SQLiteReviewStore(path).add(review_of())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
        assert connection.execute("SELECT * FROM reviews").fetchall() == []
    connection.close()


def test_a_file_that_is_no_database_is_said_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and longer than a header " * 50)
    with pytest.raises(ReviewStoreError, match=r"notes\.txt cannot be read or written") as caught:
        SQLiteReviewStore(path).add(review_of())
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_a_folder_that_cannot_be_made_is_said_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReviewStoreError, match=r"cannot be read or written .* name another file in REVIEW__STORE"):
        SQLiteReviewStore(tmp_path / "file" / "reviews.db").add(review_of())


def test_a_change_keeps_to_the_order_of_the_ledger_whose_file_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mas_guard.reviews.sqlite.BUSY", 0.05)
    store = SQLiteReviewStore(tmp_path / "reviews.db")
    store.add(review_of())
    ledgers = FileLock(str(tmp_path / "reviews.db"))
    thread = threading.Thread(target=lambda: ledgers.acquire(10.0))
    thread.start()
    thread.join()
    with pytest.raises(ReviewStoreError, match="another process has kept it"):
        store.add(review_of())
    assert len(store.records(waiting=True)) == 1
    ledgers.close()
    store.add(review_of())
    assert len(store.records(waiting=True)) == 2


def test_a_review_that_something_else_wrote_is_said(tmp_path: Path) -> None:
    store = SQLiteReviewStore(tmp_path / "reviews.db")
    review = review_of()
    store.add(review)
    with sqlite3.connect(tmp_path / "reviews.db") as connection:
        connection.execute("UPDATE mas_guard_reviews SET review = '{\"new\": 1}'")
    connection.close()
    with pytest.raises(ReviewStoreError, match="cannot be read .*or by a later mas-guard"):
        store.get(review.id)
