"""What is read off an output without asking anybody: what is flagged, and what only looks like it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from mas_guard.envelopes import examine_reply, examine_value
from tests.fuzz import HUGE, SECRET, hostile_text, hostile_value, huge_texts, seeds

FLAGGED = (
    *(("", "empty"), ("   \n\t ", "empty"), ("\u00a0", "empty")),
    *(("null", "null"), ("None", "null"), ("none.", "null"), ("NaN", "null"), ("n/a", "null"), ("N/A.", "null")),
    *(("undefined", "null"), ("nil", "null"), ("{}", "null"), ("[]", "null"), (" '' ", "null"), ('""', "null")),
    *(("unknown", "default"), ("Unknown.", "default"), ("<placeholder>", "default"), ("`TODO`", "default")),
    *(("Not available.", "default"), ("no results", "default"), ("--", "default")),
    *(
        ('{"a": null}', "default"),
        ('{"finding": "unknown", "sources": []}', "default"),
        ('{"a": {"b": ""}}', "default"),
    ),
    *(("TimeoutError: the source did not answer", "error_text"), ("Error: connection refused", "error_text")),
    *(("Traceback (most recent call last):\n  File", "error_text"), ("requests.HTTPError: 404", "error_text")),
    *(("Exception: no route", "error_text"), ("[ERROR] no route", "error_text"), ("ERROR no route", "error_text")),
    ("An error occurred while running the tool. Please try again.", "error_text"),
    ("Error executing tool: no route", "error_text"),
    *(("I'm sorry, but I can't help with that.", "apology"), ("Sorry, I was unable to find it.", "apology")),
    *(("Unfortunately, I could not find any data.", "apology"), ("I cannot help with that.", "apology")),
    ("As an AI language model, I can't browse the web.", "apology"),
    ("I apologize, but I do not have access to the harbour's data.", "apology"),
)

HEALTHY = (
    *("0", "-1", "3.5", "yes", "no", "No.", "Paris", "true", "false", "False", "OK", "A", "ja", "はい", "✓", "5 %"),
    *("None of the ships left", "Nothing was found that speaks against it.", "Not available before the 3rd of May."),
    *("Error rates fell by 3 %", "Errors: 0", "Error handling is described below.", "No errors were found."),
    *("Error-free since May", "Errors occurred while docking", "The error: a missing comma.", "Exceptional weather."),
    *("Exception handling in Python", "KeyError is raised where a key is missing.", "erroneous", "Errorless: yes"),
    *("Unknown to most, the harbour was closed.", "N/A is not an answer here because the tide was measured.",
      "Null Island lies at 0, 0.", "nullable", "Nil desperandum.", "Nancy", "Nan's recipe", "Default: 30 seconds",
      "todo: buy milk", "The default is 30 s.", "Example: 3 + 4 = 7", "String theory", "No data was lost.",
      "No results before noon; then twelve.", "unknown unknowns", "placeholder text is fine here: it is a template"),
    *('{"count": 0}', '{"found": false}', '{"a": null, "b": 0}', "[0]", "[null]", '[""]', '{"a": [1]}', '"none"', "[[]]"),
    *("{not json}", "{", "}", "[1, 2", "[note]", "(none of them)", "<b>", "{{name}}"),
    *("I'm sorry for the delay; your refund of 80 EUR is on its way.", "Unfortunately the flight is late.",
      "I cannot recommend it enough!", "I apologize for the confusion. The answer is 42.", "I am able to help.",
      "I can't wait to see you there; the meeting is at 9.", "Sorry to hear that. 80 EUR go back."),
    *("- one\n- two", "---\ntitle: x\n---", "... and then it was closed.", "? is the sign for a question."),
)  # fmt: skip


@pytest.mark.parametrize(("output", "kind"), FLAGGED)
def test_an_output_that_is_no_result_is_flagged(output: str, kind: str) -> None:
    finding = examine_reply(output)
    assert finding is not None
    assert finding.kind == kind
    assert not finding.proven


@pytest.mark.parametrize("output", HEALTHY)
def test_a_short_or_unusual_result_is_a_result(output: str) -> None:
    assert examine_reply(output) is None
    assert examine_value(output) is None


def test_dots_alone_are_no_result() -> None:
    assert examine_reply("...") is not None


def test_an_answer_that_tells_of_an_error_is_a_result() -> None:
    told = "An error occurred while docking, the captain reported, but the ship left the harbour on time."
    assert examine_reply(told) is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        ([], "empty"),
        ({}, "empty"),
        ((), "empty"),
        ("", "empty"),
        ("null", "null"),
        ({"a": None}, "default"),
        ({"a": {"b": [None, ""]}}, "default"),
        (MappingProxyType({"a": "TBD"}), "default"),
    ],
)
def test_a_value_that_says_nothing_is_flagged(value: Any, kind: str) -> None:
    finding = examine_value(value)
    assert finding is not None
    assert finding.kind == kind
    assert not finding.proven


@pytest.mark.parametrize(
    "value",
    [
        0,
        False,
        0.0,
        float("nan"),
        b"",
        {"count": 0},
        {"ok": False},
        [0],
        [None],
        [[]],
        {"a": 0, "b": None},
        object(),
        set(),
    ],
)
def test_a_value_that_says_something_is_a_result(value: Any) -> None:
    assert examine_value(value) is None


def test_what_the_provider_says_is_proven_whatever_the_text() -> None:
    cut, refused = examine_reply("The harbour was", cut=True), examine_reply("", cut=True, refused=True)
    assert cut is not None and (cut.kind, cut.status, cut.proven) == ("cut", "partial", True)
    assert refused is not None and (refused.kind, refused.status, refused.proven) == ("refused", "failed", True)


# -- hostile outputs ----------------------------------------------------------------------------------


def test_no_output_crashes_and_no_reason_repeats_it() -> None:
    def check(chance: random.Random) -> None:
        value = hostile_value(chance)
        for finding in (examine_value(value), examine_reply(hostile_text(chance)), examine_reply(_written(value))):
            if finding is not None:
                assert SECRET not in finding.reason
                finding.reason.encode("ascii")

    seeds(check)


def _written(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return SECRET


def test_millions_of_characters_are_looked_at_in_time() -> None:
    for text in huge_texts():
        examine_reply(text)
        examine_value({"a": text, "b": [text]})
    for beginning in ("Error", "Error(", "[ERROR]", "a.", "_", "Traceback ", "{", '{"a":'):
        for unit in (" ", "(", "a", "Error", ".", ":", "\ud800"):
            examine_reply(beginning + unit * (1_000_000 // len(unit)))
    assert examine_reply(" " * HUGE) is not None
    assert examine_value([None] * 5_000_000) is None
    assert examine_value(dict.fromkeys(range(500_000))) is None


def test_a_value_that_is_nested_deep_is_looked_at_no_deeper_than_is_safe() -> None:
    value: Any = None
    for _ in range(100_000):
        value = {"a": value}
    assert examine_value(value) is None
    ring: dict[str, Any] = {}
    ring["a"] = ring
    assert examine_value(ring) is None


class Looked(list[Any]):
    """A list that counts how often lists of its kind were looked into."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        Looked.times += 1
        assert Looked.times < 10_000
        return super().__iter__()


def test_a_value_that_is_wide_at_every_level_is_not_looked_through() -> None:
    value: Any = None
    for _ in range(6):
        value = Looked([value] * 10)
    examine_value({"a": value})
