"""The channel `callable`: the app's own function decides, abstains, fails or hangs, and the run goes on."""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar

import pytest

from mas_guard.reviews import Resolution, Review, callables, reviewer
from tests.reviews.conftest import MakeDesk

who = ContextVar("who", default="nobody here")


def ask(desk: object) -> Review:
    return desk.open(None, "limit", "planner", "12 hops", {"context": "…"}, True)  # type: ignore[attr-defined,no-any-return]


def test_the_function_that_was_named_last_decides_at_once(make_desk: MakeDesk) -> None:
    @reviewer
    def first(review: Review) -> Resolution:
        return Resolution("rejected")

    @reviewer
    def second(review: Review) -> Resolution:
        return Resolution("answered", f"{review.kind} by {who.get()}", by="desk app")

    who.set("anna")
    desk = make_desk(channel="callable")
    found = desk.resolution(ask(desk).id)
    assert found is not None
    assert (found.decision, found.result, found.by) == ("answered", "limit by anna", "desk app")
    assert first(ask(desk)).decision == "rejected"


def test_a_function_that_abstains_leaves_it_waiting_and_may_answer_later(make_desk: MakeDesk) -> None:
    seen: list[str] = []
    reviewer(lambda review: seen.append(review.id))
    desk = make_desk(channel="callable")
    review = ask(desk)
    assert seen == [review.id]
    assert desk.resolution(review.id) is None
    assert desk.approve(seen[0], by="anna").decision == "approved"


def test_another_channel_does_not_ask_the_function(make_desk: MakeDesk) -> None:
    reviewer(lambda review: Resolution("approved"))
    desk = make_desk(channel="queue")
    assert desk.resolution(ask(desk).id) is None


def test_a_function_that_fails_is_logged_once_and_breaks_nothing(
    make_desk: MakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    @reviewer
    def broken(review: Review) -> Resolution:
        raise ConnectionError("the chat is down")

    desk = make_desk(channel="callable")
    with caplog.at_level(logging.ERROR, logger="mas_guard"):
        reviews = [ask(desk), ask(desk)]
    assert [desk.resolution(review.id) for review in reviews] == [None, None]
    assert [record.getMessage().split(". ")[0] for record in caplog.records if record.levelno == logging.ERROR] == [
        "The function that reviews are put to raised ConnectionError"
    ]


def test_a_function_that_hangs_does_not_keep_the_run_and_its_late_answer_counts(make_desk: MakeDesk) -> None:
    let_go = threading.Event()

    def slow(review: Review) -> Resolution:
        let_go.wait(30)
        return Resolution("approved", by="late")

    desk = make_desk(channel="queue")
    review = ask(desk)

    def settle(answer: Resolution | None) -> None:
        assert answer is not None
        desk.settle(review.id, answer)

    thread = callables.ask_function(slow, review, settle, lambda error: None, patience=0)
    assert desk.resolution(review.id) is None
    let_go.set()
    thread.join(30)
    found = desk.resolution(review.id)
    assert found is not None and found.by == "late"
    assert thread.daemon
