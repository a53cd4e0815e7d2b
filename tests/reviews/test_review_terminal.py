"""The prompt: only where a person sits, never for longer than the review, and no trick of a model's text works."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mas_guard.reviews import Desk, Review, terminal
from mas_guard.reviews.text import described, duration, visible
from tests.clock import Clock
from tests.reviews.conftest import FALLBACK, MakeDesk


def typing(*lines: str | None, then: Callable[[], object] = lambda: None) -> terminal.ReadLine:
    """A person who types *lines*; `None` is a second in which nothing comes, in which *then* happens."""
    coming = iter(lines)

    def read(seconds: float) -> str | None:
        line = next(coming)
        if line is None:
            then()
        return line

    return read


def asked(desk: Desk, review: Review, read: terminal.ReadLine) -> str:
    """What the person is told."""
    said: list[str] = []
    terminal.prompt(desk, review, read=read, say=said.append)
    return "\n".join(said)


def draft(desk: Desk, *, editable: bool = True, **shown: Any) -> Review:
    return desk.open(None, "result", "writer", "doubtful", {"result": "You owe nothing.", **shown}, editable)


def test_a_person_sees_everything_and_approves(desk: Desk) -> None:
    review = draft(desk, context={"invoice": 4711})
    said = asked(desk, review, typing("a\n"))
    for part in (review.id, "doubtful", "│ You owe nothing.", '│   "invoice": 4711', review.fingerprint):
        assert part in said
    found = desk.resolution(review.id)
    assert found is not None and (found.decision, found.by) == ("approved", terminal.user_name())


@pytest.mark.parametrize(
    ("typed", "decided", "result"),
    [
        (["reject\n"], "rejected", FALLBACK),
        (["e\n", "You owe 80 USD.\n"], "approved (edited)", "You owe 80 USD."),
        (["n\n", "Ask me tomorrow.\n"], "answered", "Ask me tomorrow."),
        (["answer\n", "Ask me tomorrow.\n"], "answered", "Ask me tomorrow."),
        (["maybe\n", "\n", "A\n"], "approved", None),
    ],
)
def test_what_is_typed_is_what_counts(desk: Desk, typed: list[str], decided: str, result: Any) -> None:
    review = draft(desk)
    asked(desk, review, typing(*typed))
    found = desk.resolution(review.id)
    assert found is not None and (str(found), found.result) == (decided, result)


def test_a_bad_edit_is_asked_for_again(desk: Desk) -> None:
    review = desk.open(None, "tool", "billing", "dear", {"tool": "refund", "arguments": {"usd": 80}}, True)
    said = asked(desk, review, typing("e\n", "5 USD\n", "e\n", '{"usd": 5}\n'))
    assert "all its arguments as one JSON object" in said
    found = desk.resolution(review.id)
    assert found is not None and found.result == {"usd": 5}


def test_what_may_not_be_edited_is_not_offered_and_not_taken(desk: Desk) -> None:
    review = draft(desk, editable=False)
    said = asked(desk, review, typing("e\n", "l\n"))
    assert "[e]dit" not in said and "That is none of them." in said
    assert desk.resolution(review.id) is None


@pytest.mark.parametrize("line", ["later\n", "l\n", ""], ids=["later", "l", "end of input"])
def test_a_person_may_leave_it_for_later(desk: Desk, line: str) -> None:
    review = draft(desk)
    asked(desk, review, typing(line))
    assert desk.resolution(review.id) is None


def test_a_person_who_went_to_lunch_is_not_waited_for(desk: Desk, clock: Clock) -> None:
    review = draft(desk)
    said = asked(desk, review, typing(None, None, None, then=lambda: clock.advance(300)))
    assert "rejected (expired)" in said


def test_an_answer_from_elsewhere_ends_the_prompt(desk: Desk, make_desk: MakeDesk) -> None:
    review = draft(desk)
    said = asked(desk, review, typing(None, then=lambda: make_desk().approve(review.id, by="anna")))
    assert "approved by anna" in said


def test_an_answer_from_elsewhere_at_the_same_moment_wins_or_is_said(desk: Desk, make_desk: MakeDesk) -> None:
    review = draft(desk)

    def read(seconds: float) -> str:
        make_desk().reject(review.id, by="anna")
        return "a\n"

    assert "was rejected by anna" in asked(desk, review, read)


def test_without_a_terminal_nobody_is_prompted_and_nothing_waits(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(channel="terminal")
    review = draft(desk)
    for stdin in (io.StringIO("a\n"), None):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert not terminal.is_there()
        assert desk.ask(review) is None


def test_another_channel_never_prompts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: True)
    monkeypatch.setattr(terminal, "prompt", lambda *_: pytest.fail("it prompted"))
    assert desk.ask(draft(desk)) is None


AT_A_TERMINAL = """
import sys
from mas_guard.config import policy_of
from mas_guard.reviews import Desk
desk = Desk(policy_of(review={"channel": "terminal", "timeout": sys.argv[1]}))
review = desk.open(None, "result", "writer", "doubtful", {"result": "You owe nothing."})
print(desk.ask(review))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("timeout", "typed", "ends"), [("1m", b"a\n", "approved"), ("10ms", b"", "rejected (expired)")]
)
def test_at_a_real_terminal_it_is_asked_and_does_not_hang(
    timeout: str, typed: bytes, ends: str, tmp_path: Path
) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        done = subprocess.run(
            [sys.executable, "-c", AT_A_TERMINAL, timeout],
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.stdout.strip() == ends


def test_no_text_of_a_model_can_hide_what_is_shown(desk: Desk) -> None:
    tricky = "Pay 5 USD\x1b[1A\x1b[2K\rPay nothing\u202e txet\nfingerprint  0000"
    review = draft(desk, result=tricky, editable=False)
    lines = list(described(review, None, desk.now()))
    assert "  │ Pay 5 USD\\x1b[1A\\x1b[2K\\x0dPay nothing\\u202e txet" in lines
    assert "  │ fingerprint  0000" in lines
    assert [line for line in lines if line.startswith("fingerprint")] == [f"fingerprint  {review.fingerprint}"]


def test_ordinary_text_is_shown_as_it_is() -> None:
    text = "Grüße, 世界 🎉\n\tand so on"
    assert visible(text) == text
    assert visible("\ud800\x9b\U000e0001") == "\\ud800\\x9b\\U000e0001"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (0.4, "0s"), (59, "59s"), (60, "1m"), (899, "14m59s"), (90_000, "1d1h")]
)
def test_durations_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text
