"""An effect of which nobody knows whether it happened is put to a person, and what they decide counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mas_guard._engine import Engine
from mas_guard.records import MemoryRecordStore
from mas_guard.reviews import Desk, Review
from tests.core.once_calls import UNKNOWN, Bank, called, engine_with, failing, run_in, tool_call
from tests.fixtures import unguarded_process

__all__ = ["unguarded_process"]


@pytest.fixture
def records() -> MemoryRecordStore:
    return MemoryRecordStore()


@pytest.fixture
def engine(records: MemoryRecordStore, tmp_path: Path) -> Engine:
    return engine_with(records, review={"channel": "queue", "store": f"sqlite:///{tmp_path}/reviews.db"})


@pytest.fixture
def bank() -> Bank:
    return Bank()


def desk_of(engine: Engine) -> Desk:
    return engine.desk(engine.policy)


def reviews(engine: Engine) -> list[Review]:
    return [record.review for record in desk_of(engine).of_run("r1")]


def fail_once(engine: Engine, **more: Any) -> Review:
    """A refund that ends in an error, and the review that it opens."""
    with run_in(engine, "r1") as run, pytest.raises(TimeoutError):
        called(run, tool_call(order_id=17, **more), failing(TimeoutError()))
    (review,) = reviews(engine)
    return review


def asked_again(engine: Engine, bank: Bank, **more: Any) -> Any:
    """What the resumed run's model gets when it calls the tool again."""
    with run_in(engine, "r1") as run:
        return called(run, tool_call(order_id=17, **more), bank.refund)


def test_an_error_opens_a_review_that_says_what_to_decide(engine: Engine) -> None:
    review = fail_once(engine, note="as agreed")
    assert review.run_id == "r1" and review.agent == "desk"
    assert review.shown["tool"] == "refund"
    assert review.shown["arguments"] == {"order_id": 17, "note": "as agreed"}
    assert review.shown["unknown"] == "it ended in TimeoutError"
    assert "unknown whether refund happened" in review.reason


def test_there_is_one_review_however_often_it_is_asked_for(engine: Engine, bank: Bank) -> None:
    review = fail_once(engine)
    for _ in range(3):
        answer = asked_again(engine, bank)
        assert UNKNOWN in answer and review.id in answer
    assert len(reviews(engine)) == 1
    assert not bank.paid


def test_without_a_channel_nobody_is_asked(records: MemoryRecordStore, bank: Bank) -> None:
    engine = engine_with(records)
    with run_in(engine, "r1") as run, pytest.raises(TimeoutError):
        called(run, tool_call(), failing(TimeoutError()))
    assert UNKNOWN in asked_again(engine, bank)
    (record,) = records.scan("once")
    assert "review" not in record.value


def test_a_channel_that_was_configured_later_is_used(records: MemoryRecordStore, engine: Engine, bank: Bank) -> None:
    with run_in(engine_with(records), "r1") as run, pytest.raises(TimeoutError):
        called(run, tool_call(), failing(TimeoutError()))
    answer = asked_again(engine, bank)
    (review,) = reviews(engine)
    assert review.id in answer


def test_approved_it_is_carried_out_once_more_and_never_again(engine: Engine, bank: Bank) -> None:
    desk_of(engine).approve(fail_once(engine).id, by="anna")
    assert asked_again(engine, bank) == "refund 1 of order 17"
    assert asked_again(engine, bank) == "refund 1 of order 17"
    assert bank.paid == [17]


def test_an_approval_that_ends_in_an_error_again_needs_another(engine: Engine, bank: Bank) -> None:
    first = fail_once(engine)
    desk_of(engine).approve(first.id, by="anna")
    with run_in(engine, "r1") as run, pytest.raises(TimeoutError):
        called(run, tool_call(), failing(TimeoutError(), bank.refund))
    second = [review for review in reviews(engine) if review.id != first.id]
    assert len(second) == 1
    assert second[0].id in asked_again(engine, bank)
    assert bank.paid == [17]


def test_an_approval_is_for_the_arguments_that_were_shown(engine: Engine, bank: Bank) -> None:
    desk_of(engine).approve(fail_once(engine, usd=80).id, by="anna")
    answer = asked_again(engine, bank, usd=800)
    assert "only with these arguments: {'order_id': 17, 'usd': 80}" in answer
    assert not bank.paid
    assert asked_again(engine, bank, usd=80) == "refund 1 of order 17"


def test_what_a_person_says_it_has_given_is_its_result(engine: Engine, bank: Bank) -> None:
    desk_of(engine).answer(fail_once(engine).id, "answered", result="refund re_1 of 80 EUR", by="anna")
    for _ in range(2):
        assert asked_again(engine, bank) == "refund re_1 of 80 EUR"
    assert not bank.paid


def test_rejected_it_rests(engine: Engine, bank: Bank) -> None:
    desk_of(engine).reject(fail_once(engine).id, by="anna", reason="the bank is asked by telephone")
    answer = asked_again(engine, bank)
    assert UNKNOWN in answer and "the bank is asked by telephone" in answer
    assert not bank.paid


def test_a_review_that_is_gone_decides_nothing(engine: Engine, bank: Bank, tmp_path: Path) -> None:
    fail_once(engine)
    elsewhere = engine_with(engine.records(engine.policy), review={"channel": "queue", "store": "memory://"})
    assert UNKNOWN in asked_again(elsewhere, bank)
    assert not bank.paid


def test_observing_asks_nobody(records: MemoryRecordStore, tmp_path: Path) -> None:
    review = {"channel": "queue", "store": f"sqlite:///{tmp_path}/reviews.db"}
    engine = engine_with(records, mode="observe", review=review)
    with run_in(engine, "r1") as run, pytest.raises(TimeoutError):
        called(run, tool_call(), failing(TimeoutError()))
    assert not reviews(engine)
