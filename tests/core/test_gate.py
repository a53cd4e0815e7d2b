"""What is asked of a result before it leaves, in runs of plain Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mas_guard
from mas_guard.config import load_policy
from mas_guard.reviews import Desk, Resolution, Review, callables, reviewer
from tests.clock import Clock
from tests.fixtures import unguarded_process

__all__ = ["unguarded_process"]

RESULT = "The harbour was closed for 14 days."


@pytest.fixture
def judged_by() -> Iterator[Callable[[Any], Any]]:
    """Registers a validator for the length of a test."""
    known: list[Any] = []

    def register(check: Any) -> Any:
        known.append(check)
        return mas_guard.validator(check)

    yield register
    for check in known:
        mas_guard.unregister(check)


def finish(result: Any = RESULT, **settings: Any) -> mas_guard.Outcome:
    """A run that ends with *result*."""
    with mas_guard.run("report", **settings) as run:
        run.result = result
    assert run.outcome is not None
    return run.outcome


# -- validators ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, True, mas_guard.Verdict("allow", "mine")], ids=["nothing", "true", "allow"])
def test_a_validator_that_has_nothing_against_it_lets_the_result_leave(said: Any, judged_by: Any) -> None:
    judged_by(lambda envelope, run: said)
    assert finish().status == "completed"


@pytest.mark.parametrize(
    ("said", "reason"), [("no source is named", "no source is named"), (False, "the validator check said no")]
)
def test_a_validator_that_says_no_keeps_the_result_back(said: Any, reason: str, judged_by: Any) -> None:
    def check(envelope: mas_guard.Envelope, run: Any) -> Any:
        return said if envelope.result == RESULT else None

    judged_by(check)
    with pytest.raises(mas_guard.ResultRejected, match=reason) as caught:
        finish()
    assert caught.value.problems == (reason,)
    assert (caught.value.outcome.status, caught.value.outcome.rule) == ("aborted", "result")
    assert RESULT not in str(caught.value)


def test_a_validator_may_give_a_verdict_of_its_own(judged_by: Any) -> None:
    denied = mas_guard.Verdict("deny", "sources", "stop", "two sources are needed")
    judged_by(lambda envelope, run: denied)
    with pytest.raises(mas_guard.ResultRejected, match="two sources are needed"):
        finish()


def test_a_warning_is_said_in_the_outcome_and_the_result_leaves(judged_by: Any) -> None:
    judged_by(lambda envelope, run: mas_guard.Verdict("warn", "sources", reason="only one source is named"))
    outcome = finish()
    assert (outcome.status, outcome.rule) == ("partial", "result")
    assert "only one source" in outcome.reason


def test_a_validator_with_a_fault_of_its_own_leaves_the_app_running(judged_by: Any) -> None:
    def check(envelope: mas_guard.Envelope, run: Any) -> Any:
        raise ZeroDivisionError("a bug in a validator")

    judged_by(check)
    before = mas_guard.status()["internal_errors"]
    assert finish().status == "completed"
    assert mas_guard.status()["internal_errors"] > before


def test_a_validator_that_answers_nonsense_is_a_fault_and_rejects_nothing(judged_by: Any) -> None:
    judged_by(lambda envelope, run: 42)
    assert finish().status == "completed"


def test_a_validator_that_was_taken_back_is_asked_no_more(judged_by: Any) -> None:
    check = judged_by(lambda envelope, run: False)
    mas_guard.unregister(check)
    assert finish().status == "completed"


def test_a_result_that_comes_with_an_error_is_not_judged(judged_by: Any) -> None:
    asked: list[Any] = []
    judged_by(lambda envelope, run: asked.append(envelope))
    with pytest.raises(KeyError), mas_guard.run("report") as run:
        run.result = RESULT
        raise KeyError("the app's own")
    assert not asked


def test_in_observe_mode_a_rejection_is_recorded_and_nothing_else(judged_by: Any, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    judged_by(lambda envelope, run: "no source is named")
    assert finish(mode="observe", events=str(events)).status == "completed"
    lines = list(map(json.loads, events.read_text().splitlines()))
    verdict = next(line for line in lines if line["event"] == "verdict")
    assert (verdict["rule"], verdict["verdict"], verdict["action"]) == ("result", "deny", "none")
    assert [line["rule"] for line in lines if line["event"] == "would_stop"] == ["result"]


def test_a_rule_that_is_observed_alone_rejects_nothing(judged_by: Any) -> None:
    judged_by(lambda envelope, run: False)
    assert finish(rules={"result": {"mode": "observe"}}).status == "completed"


# -- evidence -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "unsupported"),
    [
        ((), 0),
        (("It was closed from the 3rd to the 17th, which is 14 days.",), 0),
        (("It was closed for 41 days.",), 1),
        (("It was closed for two weeks.", "14 days"), 0),
        (("",), 1),
    ],
)
def test_figures_must_stand_in_what_was_declared_as_evidence(texts: tuple[str, ...], unsupported: int) -> None:
    with mas_guard.run("report") as run:
        if texts:
            mas_guard.evidence(*texts)
        run.result = RESULT
    assert run.outcome is not None
    assert run.outcome.status == ("partial" if unsupported else "completed")
    assert ("1 figures of the result stand in none" in run.outcome.reason) == bool(unsupported)


def test_separators_of_thousands_make_no_other_figure() -> None:
    with mas_guard.run("report") as run:
        mas_guard.evidence("Revenue: 1,250,000 EUR in 2024.")
        run.result = "In 2024 it was 1250000 EUR."
    assert run.outcome is not None and run.outcome.status == "completed"


def test_evidence_outside_of_a_run_is_nobodys() -> None:
    mas_guard.evidence("It was closed for 41 days.")
    assert finish().status == "completed"


# -- confidence and reviews ---------------------------------------------------------------------------


def test_unknown_confidence_passes_by_default_and_cannot_be_reviewed_where_nobody_can_be_asked() -> None:
    assert finish().status == "completed"
    with pytest.raises(mas_guard.ConfigError, match="no review channel is configured"):
        finish(unknown_confidence="review")


def queue(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """The settings of a queue that other processes see."""
    store = f"sqlite:///{tmp_path / 'reviews.db'}"
    return {"channel": "queue", "store": store, "fallback": "We will come back to you.", **more}


def test_with_a_channel_an_unknown_confidence_is_put_to_a_person(tmp_path: Path) -> None:
    settings = queue(tmp_path)
    with pytest.raises(mas_guard.EscalationRequired) as caught:
        finish(unknown_confidence="review", review=settings)
    stop = caught.value
    assert (stop.outcome.status, stop.outcome.rule) == ("escalated", "review")
    assert mas_guard.reviewed(stop.review, review=settings) is None
    review = Desk(load_policy({"review": settings})).record(stop.review).review
    assert review.shown["result"] == RESULT


def test_one_doubt_opens_one_review(tmp_path: Path) -> None:
    settings = queue(tmp_path)
    with pytest.raises(mas_guard.EscalationRequired):
        finish(unknown_confidence="review", review=settings, on_limit="abort")
    assert len(Desk(load_policy({"review": settings})).records()) == 1


def test_one_doubt_opens_one_review_also_where_limits_escalate(tmp_path: Path) -> None:
    settings = queue(tmp_path)
    with pytest.raises(mas_guard.EscalationRequired) as caught:
        finish(unknown_confidence="review", review=settings, on_limit="escalate,abort")
    (record,) = Desk(load_policy({"review": settings})).records()
    assert (record.review.id, record.review.kind) == (caught.value.review, "result")


def test_a_rejection_is_no_limit_and_is_not_escalated(judged_by: Any, tmp_path: Path) -> None:
    judged_by(lambda envelope, run: "no source is named")
    with pytest.raises(mas_guard.ResultRejected):
        finish(review=queue(tmp_path), on_limit="escalate,abort")


def test_nobody_answers_and_the_next_reader_rejects(tmp_path: Path) -> None:
    settings = queue(tmp_path, timeout="15m")
    with pytest.raises(mas_guard.EscalationRequired) as caught:
        finish(unknown_confidence="review", review=settings)
    review = caught.value.review
    later = Clock()
    desk = Desk(load_policy({"review": settings}), now=later)
    later.advance(desk.record(review).review.expires_at)
    found = desk.resolution(review)
    assert found is not None and (found.decision, found.expired) == ("rejected", True)
    told = mas_guard.reviewed(review, review=settings)
    assert (told.decision, told.by, told.result) == ("rejected", "nobody", "We will come back to you.")


@pytest.mark.parametrize(
    ("answer", "leaves"),
    [
        (Resolution("approved"), True),
        (Resolution("approved", "Another text.", edited=True), False),
        (Resolution("answered", "Another text."), False),
        (Resolution("rejected"), False),
    ],
    ids=["approved", "edited", "answered", "rejected"],
)
def test_a_function_that_answers_at_once_decides(
    answer: Resolution, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callables, "_registered", [])
    asked: list[Review] = []

    @reviewer
    def ask(review: Review) -> Resolution:
        asked.append(review)
        return answer

    settings = {"channel": "callable", "fallback": "We will come back to you."}
    if leaves:
        assert finish(unknown_confidence="review", review=settings).status == "completed"
    else:
        with pytest.raises(mas_guard.ResultRejected) as caught:
            finish(unknown_confidence="review", review=settings)
        resolution = mas_guard.reviewed(caught.value.review, review=settings)
        expected = "We will come back to you." if answer.decision == "rejected" else answer.result
        assert (resolution.decision, resolution.result) == (answer.decision, expected)
    assert [review.kind for review in asked] == ["result"]


def test_in_observe_mode_nobody_is_asked(tmp_path: Path) -> None:
    settings = queue(tmp_path)
    assert finish(mode="observe", unknown_confidence="review", review=settings).status == "completed"
    assert not (tmp_path / "reviews.db").exists()


# -- plain runs ---------------------------------------------------------------------------------------


def test_the_result_of_a_plain_run_is_what_is_judged_whatever_its_steps_said(judged_by: Any) -> None:
    seen: list[Any] = []
    judged_by(lambda envelope, run: seen.append(envelope.result))
    with mas_guard.run("report") as run:
        with run.step("researcher"):
            pass
        with run.step("writer"):
            run.result = RESULT
    assert seen == [RESULT]


def test_a_plain_run_counts_its_hops_whatever_its_handoffs_must_carry() -> None:
    with pytest.raises(mas_guard.HopLimitExceeded):
        walk()


def test_a_plain_run_counts_its_hops_where_packets_are_required() -> None:
    with pytest.raises(mas_guard.HopLimitExceeded):
        walk(handoffs="require")


def walk(**settings: Any) -> None:
    """Five steps of two agents in turn, with room for two hops."""
    with mas_guard.run("walk", max_hops=2, **settings) as run:
        for agent in ("one", "two", "one", "two", "one"):
            with run.step(agent):
                pass
