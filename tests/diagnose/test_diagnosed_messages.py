"""What agents say to each other: repeated, stalled, unchanging and begun anew; what differs is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.diagnose import NEEDS_A_JUDGE, Finding
from mas_guard.diagnose._traces import report_of_trace

PLAN = "To mend the parcel tracker we first read how the label is parsed, then we correct the parser and run its tests."
REPORT = "The parser splits each label at its first dash, so that labels with two dashes lose their last part entirely."
FILLER = (
    "I looked through the folder of carriers and found nothing about dashes there.",
    "Somebody ought to ask the warehouse which printers they use for returned goods.",
    "Our fixtures cover domestic shipping alone; foreign customers were never considered.",
    "Documentation says little; reading the changelog brought up an unrelated migration.",
    "Perhaps caching hides it: clearing the store made another error message appear.",
    "Nobody owns that module since spring, which explains its missing reviewers.",
)


def findings(*lines: tuple[str, str] | tuple[str, str, str], **settings: Any) -> list[Finding]:
    """What is found in a run of messages; a third part names another kind of event."""
    events = [
        {"i": index, "agent": line[0], "kind": line[2] if len(line) == 3 else "msg", "text": line[1]}
        for index, line in enumerate(lines)
    ]
    return list(report_of_trace({"id": "run", "events": events}, policy_of(**settings)).findings)


def rules(*lines: Any, **settings: Any) -> list[str]:
    return [finding.rule for finding in findings(*lines, **settings)]


def test_the_fourth_nearly_equal_message_is_warned_of() -> None:
    lines = [("planner", filler) for filler in FILLER]
    copies = (REPORT, REPORT + " Indeed.", REPORT.replace("entirely", "always"), REPORT)
    for place, copy in zip((5, 3, 2, 1), copies, strict=True):
        lines.insert(place, ("reader", copy))
    found = findings(("opener", PLAN), *lines)
    assert [(finding.rule, finding.mode, finding.action) for finding in found] == [
        ("similar_messages", "FM-1.3", "warn")
    ]
    assert found[0].figures["times"] == 4
    assert found[0].event == max(index for index, line in enumerate(lines, 1) if line[0] == "reader")


def test_three_rounds_of_a_review_are_left_alone() -> None:
    lines = [line for filler in FILLER[:3] for line in (("reviewer", filler), ("coder", REPORT))]
    assert rules(("opener", PLAN), *lines) == []


@pytest.mark.parametrize(
    "change", ["{} labels were read so far.", "Next come the labels of {}."], ids=["figures", "names"]
)
def test_a_message_whose_figures_or_names_change_is_progress(change: str) -> None:
    news = ("11", "12", "13", "14", "15") if change.startswith("{") else ("Anna", "Bo", "Cleo", "Dana", "Eve")
    lines = [line for new in news for line in (("reader", f"{REPORT} {change.format(new)}"), ("planner", "Go on."))]
    assert rules(("opener", PLAN), *lines) == []


def test_short_routing_lines_are_not_counted() -> None:
    assert rules(("opener", PLAN), *[("router", "Over to the reader."), ("reader", "Yes.")] * 6) == []


def test_an_exchange_in_which_both_say_the_same_again_is_warned_of_at_once() -> None:
    found = findings(("opener", PLAN), ("tester", REPORT), ("reviewer", ""), ("tester", REPORT), ("reviewer", ""))
    assert [(finding.rule, finding.mode, finding.event) for finding in found] == [("stalled_exchange", "FM-1.3", 4)]


def test_an_exchange_goes_on_where_one_side_says_something_new() -> None:
    assert rules(("tester", REPORT), ("reviewer", FILLER[0]), ("tester", REPORT), ("reviewer", FILLER[1])) == []


def test_a_conclusion_that_the_app_declared_begins_a_new_exchange() -> None:
    done = ("SYSTEM", "done", "conclusion")
    assert rules(("tester", REPORT), ("reviewer", ""), done, ("tester", REPORT), ("reviewer", ""), done) == []


def test_rounds_that_the_app_declared_may_have_equal_results() -> None:
    round_ = [("reviewer", "Finished."), ("coder", REPORT), ("SYSTEM", REPORT, "conclusion")]
    assert rules(*round_ * 3) == []


def test_the_same_request_whatever_is_answered_shows_that_nobody_sees_the_end() -> None:
    push = "Continue. Please go on with the work until you have the answer that was asked for."
    lines = [line for filler in FILLER[:4] for line in (("asker", push), ("worker", filler))]
    found = findings(("asker", PLAN), *lines)
    assert [(finding.rule, finding.mode, finding.event) for finding in found] == [("unchanged_request", "FM-1.5", 7)]


BEGUN = [("planner", PLAN), ("reader", FILLER[0]), ("planner", FILLER[1]), ("reader", FILLER[2])]


def test_an_agent_that_opens_the_run_again_has_reset_it() -> None:
    again = PLAN.replace("correct the parser", "mend it")
    found = findings(*BEGUN, ("planner", again), *BEGUN[1:])
    assert [(finding.rule, finding.mode, finding.event) for finding in found] == [("restart", "FM-2.1", 4)]


def test_a_second_attempt_at_the_first_message_is_no_reset() -> None:
    assert rules(("planner", PLAN), ("planner", FILLER[0]), ("planner", PLAN)) == []


def test_an_agent_that_never_said_anything_else_repeats_a_step_and_resets_nothing() -> None:
    lines = [line for filler in FILLER[:3] for line in (("coder", PLAN), ("reviewer", filler))]
    assert rules(*lines) == []


def test_another_agent_that_quotes_the_task_has_not_reset_the_run() -> None:
    assert rules(*BEGUN, ("manager", PLAN)) == []


def test_a_message_about_the_same_things_that_begins_otherwise_is_no_reset() -> None:
    first, turned = f"{PLAN} {REPORT}", f"{REPORT} {PLAN}"
    assert rules(("planner", first), *BEGUN[1:], ("planner", turned)) == []


def test_lines_that_a_log_holds_twice_are_one_message() -> None:
    twice = [line for filler in FILLER[:3] for line in [("reader", filler)] * 3]
    assert rules(("planner", PLAN), ("planner", PLAN), *twice) == []


def test_a_user_who_asks_again_begins_a_new_run() -> None:
    asked = [("user", "And now?"), ("assistant", REPORT)]
    assert rules(*asked * 6) == []


def test_the_same_answer_to_the_same_message_is_judged_as_the_live_rule_judges_the_call() -> None:
    round_ = [("tester", REPORT), ("coder", PLAN)]
    found = [finding for finding in findings(*round_ * 7) if finding.rule == "repetition"]
    coder = [(finding.action, finding.event) for finding in found if finding.figures["subject"] == "coder"]
    assert coder == [("redirect", 5), ("block", 7), ("stop", 11)]


def test_no_finding_claims_a_mode_that_needs_a_judge() -> None:
    round_ = [("planner", PLAN), *[("reader", filler) for filler in FILLER], ("reader", PLAN)]
    assert not {finding.mode for finding in findings(*round_ * 8)} & NEEDS_A_JUDGE


def test_a_rule_that_is_off_finds_nothing() -> None:
    lines = [("tester", REPORT), ("coder", PLAN)] * 7
    assert "repetition" not in rules(*lines, rules={"repetition": {"mode": "off"}})
