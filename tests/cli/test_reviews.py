"""`mas-guard reviews`: answered from another process, while the one that asked goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mas_guard.cli import commands
from mas_guard.config import load_policy
from mas_guard.reviews import Desk, Review, ReviewChanged, fingerprint_of
from tests.cli.conftest import Workspace

SETTINGS = """
[review]
channel = "queue"
store = "sqlite:///reviews.db"
timeout = "15m"
fallback = "We will get back to you."
"""
REFUND = {"tool": "refund", "arguments": {"order_id": "4711", "usd": 80}, "context": "charged twice"}


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAS_GUARD_")]:
        monkeypatch.delenv(name)
    Path("mas-guard.toml").write_text(SETTINGS)


def reviews(*arguments: str) -> Result:
    """Run `mas-guard reviews` in this process."""
    return CliRunner().invoke(commands, ["reviews", *arguments])


@pytest.fixture
def desk() -> Desk:
    """The app's desk, with the settings in force."""
    return Desk(load_policy())


def refund(desk: Desk, **more: Any) -> Review:
    return desk.open(None, "tool", "billing", "refunds over 50 USD need a person", REFUND, **more)


def draft(desk: Desk) -> Review:
    return desk.open(None, "result", "writer", "confidence 0.4 is below 0.7", {"result": "You owe nothing."}, True)


def late_desk(desk: Desk, seconds: float) -> Desk:
    """The same desk, opened so long ago."""
    return Desk(load_policy(), now=lambda: desk.now() - seconds)


def test_a_review_is_answered_from_another_process(workspace: Workspace, desk: Desk) -> None:
    review = refund(desk)
    shown = workspace.mas_guard("reviews", "show", review.id)
    assert shown.code == 0 and '"order_id": "4711"' in shown.out
    done = workspace.mas_guard("reviews", "approve", review.id, "--by", "anna", "--reason", "seen the invoice")
    assert done.code == 0, done.err
    found = desk.resolution(review.id, review.fingerprint)
    assert found is not None
    assert (found.decision, found.by, found.reason) == ("approved", "anna", "seen the invoice")


def test_of_processes_that_answer_at_once_one_wins_and_the_others_hear_who(desk: Desk) -> None:
    review = refund(desk)
    answers = [
        subprocess.Popen(
            [sys.executable, "-m", "mas_guard.cli", "reviews", word, review.id, "--by", f"{word} {number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, word in enumerate(["approve", "reject"] * 2)
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in answers]
    found = desk.resolution(review.id)
    assert found is not None
    assert sorted(code for _, code in ended) == [0, 2, 2, 2]
    assert all(f"by {found.by} at " in (out if code == 0 else error) for (out, error), code in ended)


def test_an_approval_does_not_hold_for_changed_arguments(desk: Desk) -> None:
    review = refund(desk)
    assert reviews("approve", review.id).exit_code == 0
    changed = {**REFUND, "arguments": {"order_id": "4711", "usd": 8_000}}
    with pytest.raises(ReviewChanged):
        desk.resolution(review.id, fingerprint_of("tool", "billing", changed))


def test_an_answer_to_something_else_than_was_seen_is_refused(desk: Desk) -> None:
    review = refund(desk)
    result = reviews("approve", review.id, "--fingerprint", "0" * 64)
    assert result.exit_code == 2 and "showed something else" in result.output
    assert desk.resolution(review.id) is None
    assert reviews("approve", review.id, "--fingerprint", review.fingerprint).exit_code == 0


def test_a_rejected_review_gives_the_fallback_text(desk: Desk) -> None:
    review = draft(desk)
    assert ": rejected by anna at " in reviews("reject", review.id, "--by", "anna").output
    found = desk.resolution(review.id)
    assert found is not None and found.result == "We will get back to you."


def test_nobody_answers_and_the_next_reader_finds_it_rejected(desk: Desk) -> None:
    review = draft(late_desk(desk, 901))
    assert "rejected (expired) by nobody" in reviews("show", review.id).output
    result = reviews("approve", review.id)
    assert result.exit_code == 2 and "when its time ran out" in result.output
    found = desk.resolution(review.id)
    assert found is not None and (found.expired, found.result) == (True, "We will get back to you.")


def test_a_sweep_rejects_what_nobody_answered(desk: Desk) -> None:
    due, waiting = draft(late_desk(desk, 901)), draft(desk)
    swept = reviews("sweep").output
    assert f"{due.id}: rejected (expired)" in swept and "1 rejected, 0 dropped" in swept
    assert waiting.id not in swept
    assert "0 rejected, 0 dropped" in reviews("sweep").output


def test_the_list_holds_what_waits_and_with_all_what_is_decided(desk: Desk) -> None:
    first, second = refund(desk), draft(desk)
    reviews("approve", first.id)
    listed = reviews("list").output.splitlines()
    assert len(listed) == 1 and listed[0].startswith(second.id) and "waits 1" in listed[0] and "writer" in listed[0]
    everything = reviews("list", "--all").output.splitlines()
    assert [line[:15] for line in everything] == [first.id, second.id] and "approved" in everything[0]


def test_lists_as_json_hold_no_contents_and_show_holds_all(desk: Desk) -> None:
    review = refund(desk)
    listed = json.loads(reviews("list", "--format", "json").output)
    assert listed["reviews"][0]["review"]["id"] == review.id and "shown" not in listed["reviews"][0]["review"]
    shown = json.loads(reviews("show", review.id, "--format", "json").output)
    assert shown["review"]["shown"] == REFUND and shown["resolution"] is None
    reviews("reject", review.id)
    shown = json.loads(reviews("show", review.id, "--format", "json").output)
    assert shown["resolution"]["state"] == "rejected"


def test_edits_and_answers_are_taken_where_the_review_allows_them(desk: Desk) -> None:
    fixed, tool, text = refund(desk), refund(desk, editable=True), draft(desk)
    assert "takes no edit" in reviews("approve", fixed.id, "--edit", '{"usd": 5}').output
    assert "takes no edit" in reviews("answer", fixed.id, "not today").output
    assert "one JSON object" in reviews("approve", tool.id, "--edit", "5 USD").output
    assert "approved (edited)" in reviews("approve", tool.id, "--edit", '{"usd": 5}').output
    assert ": answered by" in reviews("answer", text.id, "You owe 80 USD.").output
    tool_found, text_found = desk.resolution(tool.id), desk.resolution(text.id)
    assert tool_found is not None and tool_found.result == {"usd": 5}
    assert text_found is not None and text_found.result == "You owe 80 USD."


def test_before_the_first_review_nothing_is_created_and_the_place_is_said() -> None:
    for command in ("list", "sweep"):
        result = reviews(command)
        assert result.exit_code == 0 and f"{Path.cwd() / 'reviews.db'} (the file is created" in result.output
    result = reviews("show", "rv_x")
    assert result.exit_code == 2 and "the file does not exist" in result.output
    assert not Path("reviews.db").exists()


def test_a_store_in_memory_cannot_be_seen_from_here() -> None:
    result = reviews("--store", "memory://", "list")
    assert result.exit_code == 2 and "MAS_GUARD_REVIEW__STORE=sqlite:///reviews.db" in result.output


def test_another_store_can_be_named(desk: Desk) -> None:
    review = draft(desk)
    Path("mas-guard.toml").unlink()
    assert review.id in reviews("--store", "sqlite:///reviews.db", "list").output


def test_no_text_of_a_model_moves_the_cursor(desk: Desk) -> None:
    review = desk.open(None, "tool", "a\x1b[2Jb", "why\rnot", {"tool": "\x1b[31mrefund"})
    for shown in (reviews("show", review.id).output, reviews("list").output):
        assert "\x1b" not in shown and "\r" not in shown


def test_a_drill_opens_a_review_and_says_whether_somebody_could_answer(desk: Desk) -> None:
    result = reviews("drill")
    (waiting,) = desk.records()
    assert result.exit_code == 0 and f"mas-guard reviews approve {waiting.review.id}" in result.output
    assert reviews("--store", "memory://", "drill").exit_code == 1
    Path("mas-guard.toml").write_text("")
    nobody = reviews("drill")
    assert nobody.exit_code == 1 and "no channel is configured" in nobody.output


def test_a_drill_that_waits_is_answered_from_another_process(workspace: Workspace, desk: Desk) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "mas_guard.cli", "reviews", "drill", "--wait", "60"],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not Path("reviews.db").exists() or not desk.records():
        assert waiting.poll() is None, "it ended before anybody could answer"
    assert workspace.mas_guard("reviews", "approve", desk.records()[0].review.id, "--by", "anna").code == 0
    out, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0 and "it was approved by anna" in out
