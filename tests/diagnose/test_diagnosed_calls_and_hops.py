"""Recorded calls under the live rules' settings, and hops where a record does not count them."""

from __future__ import annotations

import json
from typing import Any

from mas_guard.config import policy_of
from mas_guard.diagnose import Finding
from mas_guard.diagnose._traces import report_of_trace


def findings(events: list[dict[str, Any]], **settings: Any) -> list[Finding]:
    return list(report_of_trace({"id": "run", "events": events}, policy_of(**settings)).findings)


def called(times: int, result: str = "nothing", **arguments: Any) -> list[dict[str, Any]]:
    """The same call, made and answered *times* times."""
    call = {"agent": "clerk", "kind": "tool_call", "tool": "look_up", "args": json.dumps(arguments), "text": ""}
    return [call, {"agent": "tool", "kind": "tool_result", "text": result}] * times


def said(*agents: str) -> list[dict[str, Any]]:
    return [{"agent": agent, "kind": "msg", "text": f"{agent} {number}"} for number, agent in enumerate(agents)]


def actions(found: list[Finding], rule: str) -> list[tuple[str, int]]:
    return [(finding.action, finding.event) for finding in found if finding.rule == rule]


def test_an_equal_call_with_an_equal_result_is_redirected_blocked_and_stopped_as_the_settings_say() -> None:
    assert actions(findings(called(7, q=1)), "repetition") == [("redirect", 4), ("block", 6), ("stop", 10)]
    assert actions(findings(called(3, q=1), repetition={"redirect": 2, "block": 4, "stop": 6}), "repetition") == [
        ("redirect", 2)
    ]


def test_a_call_is_no_repeat_where_arguments_results_or_the_asking_differ() -> None:
    assert not findings([event for number in range(7) for event in called(1, q=number)])
    assert not findings([event for number in range(7) for event in called(1, str(number), q=1)])
    asked_at_once = called(1, q=1)[:1] * 7 + called(1, q=1)[1:] * 7
    assert not findings(asked_at_once)


def test_calls_that_one_reply_asked_for_together_are_one_attempt() -> None:
    pair = called(1, q=1)[:1] * 2 + called(1, q=1)[1:] * 2
    assert actions(findings(pair * 3), "repetition") == [("redirect", 8)]


def test_a_polling_tool_has_its_allowance() -> None:
    assert not findings(called(7, q=1), poll_tools="look_up")


def test_a_user_turn_gives_new_limits() -> None:
    user = [{"agent": "user", "kind": "msg", "text": "again, please"}]
    assert not findings((called(2, q=1) + user) * 4)


def test_arguments_that_are_no_json_are_compared_as_they_are() -> None:
    events = called(3)
    assert actions(findings([{**event, "args": "q=1"} for event in events]), "repetition") == [("redirect", 4)]


def test_the_hop_past_the_cap_gives_control_to_the_owner() -> None:
    found = findings(said(*("abc"[number % 3] for number in range(20))))
    assert actions(found, "hops") == [("redirect", 13)]
    assert found[0].mode is None
    assert found[0].figures["limit"] == 12


def test_without_an_owner_on_limit_the_run_would_have_ended() -> None:
    found = findings(said(*("abc"[number % 3] for number in range(20))), on_limit="abort")
    assert actions(found, "hops") == [("stop", 13)]


def test_control_that_goes_back_to_whoever_passed_it_on_is_no_hop() -> None:
    assert not findings(said(*"ab" * 12))
    assert actions(findings(said(*"ab" * 14)), "hops") == [("redirect", 25)]


def test_user_turns_are_no_hops() -> None:
    assert not findings(said(*["user", "assistant"] * 30))


def test_more_calls_than_the_budget_allows_are_found() -> None:
    calls = [event for number in range(5) for event in called(1, q=number)]
    found = findings(calls, budget={"tool_calls": 3})
    assert actions(found, "budget") == [("redirect", 6)]
    assert found[0].figures == {"subject": "tool_calls", "unit": "tool_calls", "used": 4, "limit": 3}
