"""Who may decide a review, until when, and for what."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest

import mas_guard
from mas_guard._plugins import Plugins
from mas_guard.config import policy_of
from mas_guard.errors import ConfigError
from mas_guard.reviews import (
    Desk,
    EditNotAllowed,
    Resolution,
    Review,
    ReviewAnswered,
    ReviewChanged,
    ReviewError,
    ReviewNotFound,
    ReviewStore,
    fingerprint_of,
    reviewer,
)
from tests.clock import Clock
from tests.reviews.conftest import BEGINNING, FALLBACK, MakeDesk

RUN = SimpleNamespace(id="run-1")
REFUND = {"tool": "refund", "arguments": {"order_id": "4711", "usd": 80}, "context": "The customer was charged twice."}


def refund(desk: Desk, **more: Any) -> Review:
    """A review of a refund."""
    return desk.open(RUN, "tool", "billing", "refunds over 50 USD need a person", REFUND, **more)


def draft(desk: Desk) -> Review:
    """A review of a doubtful answer, which may be edited."""
    return desk.open(RUN, "result", "writer", "confidence 0.4 is below 0.7", {"result": "You owe nothing."}, True)


def test_a_review_waits_and_is_then_what_the_person_said(desk: Desk, clock: Clock) -> None:
    review = refund(desk)
    assert desk.resolution(review.id) is None
    clock.advance(60)
    desk.approve(review.id, by="anna", reason="seen the invoice")
    assert desk.resolution(review.id) == Resolution(
        "approved", None, by="anna", at=BEGINNING + 60, reason="seen the invoice"
    )


def test_what_is_opened_says_all_that_the_person_must_know(desk: Desk) -> None:
    review = refund(desk)
    assert (review.run_id, review.kind, review.agent, review.shown) == ("run-1", "tool", "billing", REFUND)
    assert (review.created_at, review.expires_at, review.fallback) == (BEGINNING, BEGINNING + 900, FALLBACK)
    assert review.fingerprint == fingerprint_of("tool", "billing", REFUND)
    assert review.id.startswith("rv_") and len(review.id) == 15
    assert desk.of_run("run-1") == [(review, None)]
    assert desk.of_run("run-2") == []


def test_an_id_may_be_typed_in_capitals_and_without_its_beginning(desk: Desk) -> None:
    review = refund(desk)
    assert desk.record(review.id.upper()).review == review
    assert desk.record(f" {review.id.removeprefix('rv_')} ").review == review
    with pytest.raises(ReviewNotFound, match="There is no review rv_other"):
        desk.resolution("rv_other")


def test_a_rejected_review_gives_the_fallback_text(desk: Desk) -> None:
    review = draft(desk)
    settled = desk.reject(review.id, by="anna", reason="wrong")
    assert (settled.decision, settled.result, str(settled)) == ("rejected", FALLBACK, "rejected")


def test_the_first_answer_counts_and_the_second_hears_who_and_when(desk: Desk, make_desk: MakeDesk) -> None:
    review = refund(desk)
    desk.reject(review.id, by="anna")
    with pytest.raises(ReviewAnswered, match=r"was rejected by anna at 2027-01-15 08:00:00 UTC") as caught:
        make_desk().approve(review.id, by="bob")
    assert (caught.value.decision, caught.value.by, caught.value.at) == ("rejected", "anna", BEGINNING)
    found = desk.resolution(review.id)
    assert found is not None and (found.decision, found.by) == ("rejected", "anna")


def test_nobody_answers_and_the_next_reader_finds_it_rejected(desk: Desk, make_desk: MakeDesk, clock: Clock) -> None:
    review = draft(desk)
    clock.advance(899.9)
    assert desk.resolution(review.id) is None
    clock.advance(0.1)
    found = make_desk(timeout="99h").resolution(review.id)
    assert found is not None
    assert (str(found), found.result, found.by, found.at) == ("rejected (expired)", FALLBACK, "nobody", BEGINNING + 900)


def test_nothing_is_approved_after_its_time(desk: Desk, clock: Clock) -> None:
    review = refund(desk)
    clock.advance(900)
    with pytest.raises(ReviewAnswered, match="rejected when its time ran out at .*nobody answered within 900 s"):
        desk.approve(review.id, by="anna")
    clock.advance(-800)
    found = desk.resolution(review.id)
    assert found is not None and found.expired, "a clock that is set back brings nothing back"


def test_no_answer_can_claim_to_be_from_another_time(desk: Desk, clock: Clock) -> None:
    review = refund(desk)
    settled = desk.settle(review.id, Resolution("approved", at=BEGINNING - 500, by="anna"))
    assert settled.at == BEGINNING
    late = refund(desk)
    clock.advance(900)
    with pytest.raises(ReviewAnswered):
        desk.settle(late.id, Resolution("approved", at=BEGINNING, by="anna"))


def test_a_sweep_decides_what_is_due_and_drops_what_is_past_retention(desk: Desk, clock: Clock) -> None:
    old = draft(desk)
    desk.approve(old.id, by="anna")
    clock.advance(7 * 86_400)
    due = draft(desk)
    clock.advance(900)
    waiting = draft(desk)
    rejected, dropped = desk.sweep()
    assert ([review.id for review in rejected], dropped) == ([due.id], 1)
    assert [record.review.id for record in desk.records()] == [waiting.id]
    assert {record.review.id for record in desk.records(waiting=False)} == {due.id, waiting.id}
    assert desk.sweep() == ([], 0)


def test_the_app_drops_what_is_past_retention_by_itself(desk: Desk, clock: Clock) -> None:
    old = draft(desk)
    desk.approve(old.id, by="anna")
    clock.advance(8 * 86_400)
    new = draft(desk)
    assert [record.review.id for record in desk.records(waiting=False)] == [new.id]


CHANGED = [
    ("tool", "billing", {**REFUND, "arguments": {"order_id": "4711", "usd": 8_000}}),
    ("tool", "billing", {**REFUND, "arguments": {"order_id": "4711"}}),
    ("tool", "billing", {**REFUND, "tool": "refund_all"}),
    ("tool", "billing", {**REFUND, "context": "Nothing special."}),
    ("tool", "triage", REFUND),
    ("result", "billing", REFUND),
]


@pytest.mark.parametrize("changed", CHANGED, ids=["argument", "missing", "tool", "context", "agent", "kind"])
def test_an_approval_of_something_else_is_refused(desk: Desk, changed: Any) -> None:
    review = refund(desk)
    desk.approve(review.id, by="anna")
    asked = fingerprint_of(*changed)
    with pytest.raises(ReviewChanged, match="showed something else .* open a new review") as caught:
        desk.resolution(review.id, asked)
    assert (caught.value.shown, caught.value.asked) == (review.fingerprint, asked)
    assert "8000" not in str(caught.value)


def test_an_approval_of_the_same_is_carried_out(desk: Desk) -> None:
    review = refund(desk)
    desk.approve(review.id, by="anna")
    same = {"context": REFUND["context"], "arguments": {"usd": 80, "order_id": "4711"}, "tool": "refund"}
    found = desk.resolution(review.id, fingerprint_of("tool", "billing", same))
    assert found is not None and found.decision == "approved"


def test_an_answer_to_something_else_than_was_shown_is_refused_and_the_review_waits_on(desk: Desk) -> None:
    review = refund(desk)
    with pytest.raises(ReviewChanged):
        desk.approve(review.id, by="anna", fingerprint=fingerprint_of("tool", "billing", {}))
    assert desk.resolution(review.id) is None
    desk.approve(review.id, by="anna", fingerprint=review.fingerprint)


def test_only_what_may_be_edited_is_edited(desk: Desk) -> None:
    review = refund(desk)
    with pytest.raises(EditNotAllowed, match="takes no edit"):
        desk.approve(review.id, edited={"order_id": "4711", "usd": 5}, by="anna")
    with pytest.raises(EditNotAllowed, match="no answer of its own"):
        desk.answer(review.id, "answered", result="not today", by="anna")
    assert desk.resolution(review.id) is None


def test_an_edit_is_what_is_carried_out(desk: Desk) -> None:
    arguments = {"order_id": "4711", "usd": 5}
    settled = desk.approve(refund(desk, editable=True).id, edited=arguments, by="anna")
    assert (settled.decision, settled.edited, settled.result) == ("approved", True, arguments)
    settled = desk.answer(draft(desk).id, "answered", result="You owe 80 USD.", by="anna")
    assert (settled.decision, settled.result) == ("answered", "You owe 80 USD.")


def test_the_edit_of_a_tool_call_is_all_its_arguments(desk: Desk) -> None:
    review = refund(desk, editable=True)
    with pytest.raises(EditNotAllowed, match="all its arguments as one JSON object"):
        desk.approve(review.id, edited="5 USD", by="anna")


def test_an_approval_as_it_stands_smuggles_nothing_in(desk: Desk) -> None:
    settled = desk.settle(refund(desk).id, Resolution("approved", result={"usd": 9_999}, by="anna"))
    assert settled.result is None


@pytest.mark.parametrize("resolution", [Resolution("maybe"), Resolution("approved", expired=True)])  # type: ignore[arg-type]  # that is the test
def test_what_is_no_decision_decides_nothing(desk: Desk, resolution: Resolution) -> None:
    review = refund(desk)
    with pytest.raises(ReviewError, match="one of approved, rejected, answered"):
        desk.settle(review.id, resolution)
    assert desk.resolution(review.id) is None


def test_without_a_channel_nobody_is_asked(store: ReviewStore) -> None:
    desk = Desk(policy_of(), store=store)
    assert not desk.configured
    with pytest.raises(ConfigError, match="Add MAS_GUARD_REVIEW__CHANNEL=queue"):
        refund(desk)


def test_a_waiting_review_is_said_with_its_id_and_without_its_contents(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="mas_guard"):
        review = refund(desk)
    assert review.id in caplog.text and "until 2027-01-15 08:15:00 UTC" in caplog.text
    assert ("mas-guard reviews show" in caplog.text) is desk.store.shared
    assert ("only this process can answer it" in caplog.text) is not desk.store.shared
    assert "4711" not in caplog.text
    assert "4711" not in repr(review) + str(review.figures())


class Colleague:
    """A plugin that decides, or abstains with None."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    @mas_guard.hookimpl
    def mas_guard_escalate(self, review: Any, run: Any) -> Any:
        self.asked.append((review.id, run.id))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_plugins_are_asked_first_and_their_answer_counts(make_desk: MakeDesk) -> None:
    colleague = Colleague(Resolution("approved", by="policy bot"))
    reviewer(lambda review: Resolution("rejected"))
    desk = make_desk(Plugins([colleague], entry_points=False), channel="callable")
    review = refund(desk)
    assert colleague.asked == [(review.id, "run-1")]
    found = desk.resolution(review.id)
    assert found is not None and (found.decision, found.by) == ("approved", "policy bot")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, ""),
        (ValueError("no"), "Hook mas_guard_escalate failed with ValueError"),
        ("approved", "with a str, which is no Resolution"),
        (Resolution("answered", result="x"), "An answer to a review was not taken: .* takes no edit"),
        (Resolution("approved", fingerprint="f" * 64), "was not taken: .* showed something else"),
    ],
    ids=["abstains", "raises", "no resolution", "no edit allowed", "something else"],
)
def test_a_plugin_that_does_not_decide_leaves_the_review_waiting(
    make_desk: MakeDesk, caplog: pytest.LogCaptureFixture, answer: Any, said: str
) -> None:
    desk = make_desk(Plugins([Colleague(answer)], entry_points=False))
    with caplog.at_level(logging.ERROR, logger="mas_guard"):
        reviews = [refund(desk), refund(desk)]
    assert [desk.resolution(review.id) for review in reviews] == [None, None]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    if said:
        assert re.search(said, errors[0])
    assert len(errors) <= 2
