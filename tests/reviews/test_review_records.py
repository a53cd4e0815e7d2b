"""Reviews among the records that processes share, and which store follows from the settings."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mas_guard.cli import commands
from mas_guard.config import load_policy, policy_of
from mas_guard.errors import ConfigError
from mas_guard.records import MemoryRecordStore
from mas_guard.reviews import (
    Desk,
    MemoryReviewStore,
    RecordReviewStore,
    Resolution,
    ReviewStoreError,
    SQLiteReviewStore,
    open_store,
    remarks,
    store_of,
)
from mas_guard.reviews.records import REVIEWS
from tests.clock import Clock
from tests.ledger.redis_server import RedisServer
from tests.reviews.conftest import BEGINNING
from tests.reviews.test_review_stores import review_of

DAY = 86_400.0

redis = pytest.importorskip("redis", reason="the Redis store needs redis-py")


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    """Where a test has reviews of its own."""
    return f"{redis_server.url}?prefix={os.urandom(8).hex()}"


# One record a review


def test_a_review_is_forgotten_by_itself_after_its_retention(clock: Clock) -> None:
    store = RecordReviewStore(MemoryRecordStore(clock=clock), retention=DAY)
    answered, waiting = review_of(), review_of()
    store.add(answered)
    store.add(waiting)
    clock.advance(800)
    assert store.settle(answered.id, Resolution("approved", at=BEGINNING + 800))
    clock.advance(DAY - 1)
    assert [found.review for found in store.records(waiting=False)] == sorted(
        (answered, waiting), key=lambda review: review.id
    )
    clock.advance(1)
    assert [found.review for found in store.records(waiting=False)] == [waiting]
    clock.advance(100)
    assert store.records(waiting=False) == []


def test_a_review_is_on_the_disk_before_anybody_is_asked_and_so_is_the_answer() -> None:
    durable: list[bool] = []

    class Noting(MemoryRecordStore):
        def put(self, *arguments: Any, **more: Any) -> Any:
            durable.append(more["durable"])
            return super().put(*arguments, **more)

    store, review = RecordReviewStore(Noting()), review_of()
    store.add(review)
    store.settle(review.id, Resolution("approved", at=BEGINNING + 1))
    assert durable == [True, True]


def test_an_id_that_is_taken_is_no_place_for_another_review() -> None:
    store, review = RecordReviewStore(MemoryRecordStore()), review_of()
    store.add(review)
    with pytest.raises(ReviewStoreError, match=f"a review {review.id} in memory of this process already"):
        store.add(review)


def test_an_answer_that_comes_between_reading_and_writing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    records = MemoryRecordStore()
    store, review = RecordReviewStore(records), review_of()
    store.add(review)
    get = records.get

    def get_and_answer(kind: str, key: str) -> Any:
        found = get(kind, key)
        monkeypatch.undo()
        assert store.settle(review.id, Resolution("rejected", by="first", at=BEGINNING + 1))
        return found

    monkeypatch.setattr(records, "get", get_and_answer)
    assert not store.settle(review.id, Resolution("approved", by="second", at=BEGINNING + 1))
    kept = store.get(review.id)
    assert kept is not None and kept.resolution is not None and kept.resolution.by == "first"


def test_a_review_that_something_else_wrote_is_said() -> None:
    records = MemoryRecordStore()
    store, review = RecordReviewStore(records), review_of()
    store.add(review)
    records.change(REVIEWS, review.id, lambda value: {**value, "review": {"new": 1}})
    with pytest.raises(ReviewStoreError, match="cannot be read .*or by a later mas-guard"):
        store.get(review.id)


def test_a_lost_server_is_said_with_its_place_and_without_its_password() -> None:
    with RedisServer() as server:
        store = open_store(f"redis://:@127.0.0.1:{server.port}", timeout=0.2)
        store.add(review_of())
        server.kill()
        for act in (
            lambda: store.add(review_of()),
            lambda: store.get("rv_x"),
            lambda: store.records(waiting=True),
            lambda: store.settle("rv_x", Resolution("approved", at=BEGINNING)),
            lambda: store.remember_message("m", BEGINNING, BEGINNING),
            lambda: store.forget(BEGINNING),
        ):
            with pytest.raises(ReviewStoreError, match=f"redis://127.0.0.1:{server.port} cannot be read") as caught:
                act()
            assert isinstance(caught.value.__cause__, redis.RedisError)


def test_of_many_stores_that_answer_at_once_one_wins(url: str) -> None:
    stores = [open_store(url) for _ in range(8)]
    reviews = [review_of(number) for number in range(20)]
    for review in reviews:
        stores[0].add(review)

    def answer_all(number: int) -> list[bool]:
        resolution = Resolution("approved", by=str(number), at=BEGINNING + 30)
        return [stores[number].settle(review.id, resolution) for review in reviews]

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(answer_all, range(8)))
    for at, review in enumerate(reviews):
        winners = [number for number in range(8) if won[number][at]]
        found = stores[0].get(review.id)
        assert found is not None and found.resolution is not None
        assert [found.resolution.by] == [str(number) for number in winners]


# Which store


def test_reviews_are_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(store_of(policy_of()), MemoryReviewStore)
    file = store_of(policy_of(store="sqlite:///with%20space.db"))
    assert isinstance(file, SQLiteReviewStore)
    assert file.place == str(tmp_path / "with space.db")
    server = store_of(policy_of(store="redis://localhost:6379/3"))
    assert isinstance(server, RecordReviewStore)
    assert server.place == "redis://localhost:6379/3"
    own = policy_of(store="redis://localhost", review={"store": "sqlite:///reviews.db"})
    assert store_of(own).place == str(tmp_path / "reviews.db")
    own = policy_of(store="sqlite:///store.db", review={"store": "redis+cluster://localhost"})
    assert store_of(own).place == "redis+cluster://localhost"
    assert isinstance(store_of(policy_of(store="redis://localhost", review={"store": "memory://"})), MemoryReviewStore)


def test_what_cannot_be_used_is_refused_by_the_name_of_the_setting_that_says_it() -> None:
    for policy, setting in (
        (policy_of(store="redis+sentinel://me:secret@localhost"), "STORE"),
        (policy_of(review={"store": "redis+sentinel://me:secret@localhost"}), "REVIEW__STORE"),
    ):
        with pytest.raises(ConfigError, match="names no server") as caught:
            store_of(policy)
        assert caught.value.key == setting
        assert "secret" not in str(caught.value)


def test_only_reviews_in_memory_are_warned_of() -> None:
    def warned(**settings: Any) -> bool:
        found = remarks(policy_of(review={"channel": "queue", **settings.pop("review", {})}, **settings))
        return any("kept in memory" in remark.text for remark in found)

    assert warned()
    assert warned(store="sqlite:///store.db", review={"store": "memory://"})
    assert not warned(store="sqlite:///store.db")
    assert not warned(store="redis://localhost")
    assert not warned(review={"store": "redis://localhost"})


@pytest.mark.parametrize("shared", ["redis", "sqlite"])
def test_the_command_answers_a_review_of_a_running_fleet(
    shared: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAS_GUARD_STORE", url if shared == "redis" else "sqlite:///store.db")
    monkeypatch.setenv("MAS_GUARD_REVIEW__CHANNEL", "queue")
    worker, other = Desk(load_policy()), Desk(load_policy(), store=store_of(load_policy()))
    review = worker.open(None, "tool", "billing", "over 50 USD", {"tool": "refund", "arguments": {"usd": 80}})
    assert review.id in command("list").output
    assert "refund" in command("show", review.id).output
    assert command("approve", review.id, "--by", "ann").exit_code == 0
    for desk in (worker, other):
        found = desk.resolution(review.id)
        assert found is not None and (found.decision, found.by) == ("approved", "ann")
    assert "by ann" in command("reject", review.id).output
    assert command("sweep").output.startswith("0 rejected, 0 dropped in ")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["reviews", *arguments])
