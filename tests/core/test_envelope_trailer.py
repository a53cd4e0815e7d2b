"""The envelope's line is read, held back from streams, and never shown, however it is written and cut up."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from mas_guard.envelopes import Held, read_trailer, repair_request
from mas_guard.types import Envelope
from tests.fuzz import HUGE, SECRET, hostile_text, hostile_value, seeds

MARKER = "<<envelope"
GOOD = '<<envelope {"status": "partial", "confidence": 0.5, "reason": "one source is missing"}>>'
ANSWER = "The harbour was closed for three days."


def streamed(pieces: list[str]) -> str:
    """What of an answer in pieces is shown."""
    held = Held()
    return "".join(map(held.take, pieces)) + held.rest()


def cut_up(text: str, chance: random.Random) -> list[str]:
    """*text* in random pieces, some of them empty."""
    cuts = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(0, 12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


# -- one line, read -----------------------------------------------------------------------------------


def test_the_line_and_the_break_before_it_are_taken_off() -> None:
    said = read_trailer(f"{ANSWER}\n{GOOD}")
    assert said.text == ANSWER
    assert said.envelope == Envelope("partial", None, 0.5, "one source is missing")
    assert said.there and not said.problems


def test_an_answer_without_the_line_stays_as_it_is() -> None:
    for answer in (f"{ANSWER}\n\n", "", "a << b", "1 <<", "<<envelop", "\n"):
        said = read_trailer(answer)
        assert (said.text, said.envelope, said.there) == (answer, None, False)
        assert "missing" in said.problems[0]


def test_an_answer_that_is_nothing_but_the_line_is_empty() -> None:
    assert read_trailer(GOOD).text == ""
    assert read_trailer(f"\n\n{GOOD}\n").text == ""


@pytest.mark.parametrize(
    "line",
    [
        "<<envelope>>",
        "<<envelope",
        "<<envelope {}>>",
        "<<envelope null>>",
        "<<envelope []>>",
        '<<envelope "success">>',
        '<<envelope {"status": "success"',
        '<<envelope {"status": "success"}>',
        '<<envelope {"status": "Success"}>>',
        '<<envelope {"status": ["success"]}>>',
        '<<envelope {"status": {"success": 1}}>>',
        '<<envelope {"status": "success", "confidence": "high"}>>',
        '<<envelope {"status": "success", "confidence": true}>>',
        '<<envelope {"status": "success", "confidence": NaN}>>',
        '<<envelope {"status": "success", "confidence": Infinity}>>',
        '<<envelope {"status": "success", "confidence": 1e400}>>',
        '<<envelope {"status": "success", "confidence": -0.1}>>',
        '<<envelope {"status": "success", "confidence": 90}>>',
        "<<envelope {'status': 'success'}>>",
        "<<envelope " + "[" * 3_000 + ">>",
        "<<envelope " + '{"a":' * 700 + ">>",
        '<<envelope {"status": "success", "reason": "' + "a" * 5_000 + '"}>>',
    ],
    ids=lambda line: line[:60],
)
def test_a_line_that_does_not_hold_is_taken_off_and_said_to_be_wrong(line: str) -> None:
    said = read_trailer(f"{ANSWER}\n{line}")
    assert (said.text, said.envelope, said.there) == (ANSWER, None, True)
    assert said.problems


@pytest.mark.parametrize(
    ("fields", "envelope"),
    [
        ({"status": "success"}, Envelope("success")),
        ({"status": "failed", "confidence": 0, "reason": "no source"}, Envelope("failed", None, 0.0, "no source")),
        ({"status": "success", "confidence": 1}, Envelope("success", None, 1.0)),
        ({"status": "success", "confidence": None, "reason": None}, Envelope("success")),
        ({"status": "success", "reason": {"why": 1}}, Envelope("success")),
        ({"status": "partial", "reason": "a" * 600}, Envelope("partial", None, None, "a" * 500)),
        ({"status": "success", "confidence": 0.9, "notes": [1, 2]}, Envelope("success", None, 0.9)),
    ],
)
def test_what_may_be_left_out_is_left_out(fields: dict[str, Any], envelope: Envelope) -> None:
    assert read_trailer(f"{ANSWER}\n{MARKER} {json.dumps(fields)}>>").envelope == envelope


def test_what_stands_behind_the_line_belongs_to_the_answer() -> None:
    assert read_trailer(f"One.\n{GOOD}\nTwo.").text == "One.\nTwo."


def test_a_confidence_that_no_float_can_hold_is_a_problem_like_any_other() -> None:
    said = read_trailer(f'{ANSWER}\n{MARKER} {{"status": "success", "confidence": 1{"0" * 400}}}>>')
    assert "`confidence`" in said.problems[0]


# -- held back from a stream --------------------------------------------------------------------------


def test_an_answer_passes_as_it_comes_but_for_what_may_begin_the_line() -> None:
    held = Held()
    assert held.take("a << b") == "a << b"
    assert held.take(" <") == " "
    assert held.take("<env") == ""
    assert held.take("ironment") == "<<environment"
    assert held.take("\n\n") == ""
    assert held.take("b") == "\n\nb"
    assert held.rest() == ""


def test_every_cut_of_a_line_in_two_shows_the_answer_alone() -> None:
    whole = f"{ANSWER}\n\n{GOOD}\n"
    for at in range(len(whole) + 1):
        assert streamed([whole[:at], whole[at:]]) == ANSWER


def test_a_stream_that_ends_within_the_marker_shows_what_was_sent() -> None:
    assert streamed(["The answer is <", "<env"]) == "The answer is <<env"


ENDINGS = (
    *(
        "",
        "\n",
        "\r\n",
        " <",
        "<<",
        "<<envelop",
        "\n<<env",
        GOOD,
        f"\n{GOOD}",
        f"\r\n\r\n{GOOD}\n\n",
        f"{GOOD} and more",
    ),
    *(f"\n{MARKER}", f"\n{MARKER}>>", f"\n{MARKER} {{}}>>", f"\n{MARKER} {{", f"\n<{GOOD}", f"\n{GOOD}\n<<envelop"),
)


def test_a_text_in_pieces_shows_what_the_whole_text_shows() -> None:
    def check(chance: random.Random) -> None:
        whole = hostile_text(chance) + chance.choice(ENDINGS)
        shown = streamed(cut_up(whole, chance))
        assert shown == read_trailer(whole).text
        assert MARKER not in shown

    seeds(check)


def test_no_line_crashes_and_no_problem_repeats_what_it_says() -> None:
    def check(chance: random.Random) -> None:
        fields: dict[str, Any] = {
            "status": chance.choice(("success", "failed", hostile_text(chance), SECRET, None, 3)),
            "confidence": chance.choice((0.5, 1, 10**400, SECRET, float("nan"), -1, [], True)),
            "reason": chance.choice(("fine", hostile_text(chance), 5)),
        }
        try:
            body = json.dumps(chance.choice((fields, hostile_value(chance), [fields])))
        except (TypeError, ValueError, RecursionError):
            body = hostile_text(chance)
        if chance.random() < 0.3:
            body = body[: chance.randint(0, len(body))]
        said = read_trailer(f"{ANSWER}\n{MARKER} {body}>>")
        told = repair_request(said.problems)
        assert SECRET not in told
        told.encode("utf-8")

    seeds(check)


def test_millions_of_characters_are_read_and_held_in_time() -> None:
    for unit in ("a", "<", "<<envelope", "\n", ">>", '{"a":', "[", "`", "9", "é", "\ud800"):
        text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
        read_trailer(text)
        read_trailer(f"{MARKER} {text}")
        streamed([text[at : at + 1_000] for at in range(0, len(text), 1_000)] if unit != "\n" else [text])
    huge = "a" * HUGE
    assert read_trailer(f"{huge}\n{GOOD}").text == huge
    assert read_trailer(f"{MARKER} {huge}>>").problems == ("the line is longer than 4000 characters",)
    assert streamed([huge, "\n", GOOD]) == huge


# -- what does not hold yet ---------------------------------------------------------------------------


def lines_run(limit: int, function: Callable[[], Any]) -> int:
    """How many lines of Python *function* runs; an error from *limit* on."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if count >= limit:
                raise AssertionError(f"{limit} lines were run")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_a_line_that_is_given_twice_is_taken_off_twice() -> None:
    whole = f"One.\n{GOOD}\nTwo.\n{GOOD}"
    assert read_trailer(whole).text == "One.\nTwo."
    assert streamed([whole[:20], whole[20:]]) == "One.\nTwo."


def test_a_reason_may_hold_the_signs_that_end_the_line() -> None:
    said = read_trailer(f'{ANSWER}\n{MARKER} {{"status": "partial", "reason": "see >> there"}}>>')
    assert said.text == ANSWER
    assert said.envelope == Envelope("partial", None, None, "see >> there")


def test_a_reason_can_be_sent() -> None:
    said = read_trailer(f'{ANSWER}\n{MARKER} {{"status": "partial", "reason": "half a pair: \\ud800"}}>>')
    assert said.envelope is not None
    said.envelope.reason.encode("utf-8")


def test_breaks_without_end_are_held_in_linear_time() -> None:
    lines_run(200_000, lambda: streamed(["\n"] * 4_000))
