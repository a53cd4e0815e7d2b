"""The drill and `doctor` say whether somebody could answer, and do not claim what they have not tried."""

from __future__ import annotations

from typing import Any

import pytest

import mas_guard
from mas_guard._plugins import Plugins
from mas_guard.config import policy_of
from mas_guard.reviews import (
    Drill,
    MemoryReviewStore,
    Resolution,
    ReviewStore,
    SQLiteReviewStore,
    drill,
    remarks,
    reviewer,
    terminal,
)
from tests.clock import Clock


def said(done: Drill) -> dict[str, str]:
    """The findings as text, by mark; the last of each counts."""
    return {mark: "\n".join(text for other, text, _ in done.findings if other == mark) for mark, _, _ in done.findings}


def play(channel: str | None, store: ReviewStore, clock: Clock, plugins: Any = None, **options: Any) -> Drill:
    policy = policy_of(review={"channel": channel} if channel else {})
    return drill(policy, plugins, store=store, now=clock, sleep=options.pop("sleep", clock.advance), **options)


@pytest.fixture
def file(tmp_path: Any) -> SQLiteReviewStore:
    return SQLiteReviewStore(tmp_path / "reviews.db")


def test_without_a_channel_nobody_could_answer(file: SQLiteReviewStore, clock: Clock) -> None:
    done = play(None, file, clock)
    assert not done.passed and done.review is None
    assert "no channel is configured" in said(done)["error"]


def test_a_queue_in_a_file_can_be_answered_and_nothing_is_waited_for(file: SQLiteReviewStore, clock: Clock) -> None:
    before = clock()
    done = play("queue", file, clock)
    assert done.passed and done.review is not None and clock() == before
    assert f"other processes can answer it: mas-guard reviews approve {done.review.id}" in said(done)["ok"]
    assert done.review.kind == "drill"
    assert file.get(done.review.id) == (done.review, None)


def test_a_store_that_cannot_be_written_is_found(tmp_path: Any, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    done = play("queue", SQLiteReviewStore(tmp_path / "file" / "reviews.db"), clock)
    assert not done.passed
    assert "cannot be read or written" in said(done)["error"]


@pytest.mark.parametrize("channel", ["queue", "interrupt", "terminal", "callable"])
def test_in_memory_nobody_could_answer_from_elsewhere(channel: str, clock: Clock) -> None:
    done = play(channel, MemoryReviewStore(), clock)
    assert not done.passed
    assert "MAS_GUARD_REVIEW__STORE=sqlite:///reviews.db" in [finding.fix for finding in done.findings]


@pytest.mark.parametrize("channel", ["interrupt", "terminal", "callable"])
def test_what_cannot_be_tried_from_here_is_a_warning_where_the_file_can_be_used(
    channel: str, file: SQLiteReviewStore, clock: Clock
) -> None:
    done = play(channel, file, clock)
    assert done.passed
    assert said(done)["warning"]


def test_a_terminal_that_is_there_will_do(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: True)
    done = play("terminal", MemoryReviewStore(), clock)
    assert done.passed and "there is a terminal" in said(done)["ok"]


def test_a_function_that_answers_will_do(clock: Clock) -> None:
    reviewer(lambda review: Resolution("approved", by="desk app"))
    done = play("callable", MemoryReviewStore(), clock)
    assert done.passed and "it was approved by desk app" in said(done)["ok"]


class Colleague:
    @mas_guard.hookimpl
    def mas_guard_escalate(self, review: Any, run: Any) -> Any:
        return Resolution("rejected", by="a colleague")


def test_a_plugin_that_answers_is_named(clock: Clock, file: SQLiteReviewStore) -> None:
    done = play("queue", file, clock, Plugins([Colleague()], entry_points=False))
    assert done.passed and "it was rejected by a colleague" in said(done)["ok"]


def test_with_a_wait_nobody_answering_is_a_failure_after_that_time(file: SQLiteReviewStore, clock: Clock) -> None:
    before = clock()
    done = play("queue", file, clock, wait=30)
    assert not done.passed and clock() - before == pytest.approx(30)
    assert "nobody answered within 30 s" in said(done)["error"]


def test_with_a_wait_an_answer_ends_it(file: SQLiteReviewStore, clock: Clock) -> None:
    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        (waiting,) = file.records(waiting=True)
        file.settle(waiting.review.id, Resolution("approved", by="anna", at=clock()))

    done = play("queue", file, clock, wait=30, sleep=sleep)
    assert done.passed and "it was approved by anna" in said(done)["ok"]


def test_a_wait_at_a_terminal_ends_with_the_wait(
    file: SQLiteReviewStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr(terminal, "is_there", lambda: True)
    prompt = terminal.prompt
    monkeypatch.setattr(terminal, "prompt", lambda desk, review: prompt(desk, review, read=read, say=lambda _: None))
    before = clock()
    assert not play("terminal", file, clock, wait=30).passed
    assert clock() - before == pytest.approx(30)


REMARKS: list[tuple[dict[str, Any], list[str], str]] = [
    ({}, ["ok"], "no person is ever asked"),
    ({"channel": "queue"}, ["ok", "warning"], "kept in memory"),
    ({"channel": "queue", "store": "sqlite:///r.db"}, ["ok"], "through the channel queue"),
    ({"channel": "terminal", "store": "sqlite:///r.db"}, ["ok", "warning"], "has no terminal"),
    ({"channel": "callable", "store": "sqlite:///r.db"}, ["ok", "warning"], "no function is named in this process"),
    (
        {"channel": "webhook", "store": "sqlite:///r.db", "webhook_url": "https://x.org", "webhook_secret": "short"},
        ["ok", "warning"],
        "fewer than 16 characters",
    ),
    (
        {"channel": "queue", "store": "sqlite:///r.db", "webhook_url": "https://x.org"},
        ["ok", "warning"],
        "nothing is sent there",
    ),
]


@pytest.mark.parametrize(("settings", "marks", "text"), REMARKS)
def test_doctor_hears_of_what_would_keep_an_answer_away(settings: dict[str, Any], marks: list[str], text: str) -> None:
    found = list(remarks(policy_of(review=settings)))
    assert [remark.mark for remark in found] == marks
    assert text in found[-1].text
    assert all(remark.fix for remark in found if remark.mark != "ok")
    assert "short" not in found[-1].text
