"""Our own events are replayed under today's settings, whatever was in force when they were written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from mas_guard import Guard, GuardStopped
from mas_guard._engine import Engine
from mas_guard._plugins import Plugins
from mas_guard.adapter import guard_call
from mas_guard.config import policy_of
from mas_guard.diagnose import Report, replay
from mas_guard.types import CallOutcome, ModelCall, ToolCall, Usage


def replayed(*events: dict[str, Any], **settings: Any) -> list[Report]:
    lines = "".join(json.dumps(event) + "\n" for event in events)
    return list(replay(io.BytesIO(lines.encode()), policy_of(**settings)))


def event(name: str, run: str = "r", **fields: Any) -> dict[str, Any]:
    return {"v": 1, "event": name, "time": 1.0, "run": run, **fields}


def finished(run: str = "r", **fields: Any) -> dict[str, Any]:
    spent = {"tokens": 10, "model_calls": 1, "tool_calls": 1, "nano_usd": 0}
    return event("run_finished", run, **{"status": "completed", "hops": 0, "seconds": 1.0, "spent": spent, **fields})


def actions(report: Report) -> list[tuple[str, str]]:
    return [(finding.rule, finding.action) for finding in report.findings]


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_a_guarded_run_is_replayed_the_same_from_what_either_mode_recorded(mode: str, tmp_path: Path) -> None:
    guard = Guard(engine=Engine(policy_of(), plugins=Plugins(entry_points=False)))
    path = tmp_path / "events.jsonl"
    try:
        with guard.run("task", owner="clerk", mode=mode, events=str(path)) as plain:
            run: Any = plain._run
            for number in range(7):
                asked = ModelCall("gpt-4o", "clerk", input_bound=100, last_message=str(number))
                guard_call(run, asked, lambda: None, lambda _: CallOutcome(text="x", usage=Usage(1, 1)))
                looked_up = ToolCall("look_up", {"q": 1}, "clerk")
                guard_call(run, looked_up, lambda: "found", lambda _: CallOutcome(text="found"))
    except GuardStopped:
        assert mode == "enforce"
    with path.open("rb") as file:
        (report,) = replay(file, policy_of())
    assert actions(report) == [("repetition", "redirect"), ("repetition", "block"), ("repetition", "stop")]
    assert {finding.mode for finding in report.findings} == {"FM-1.3"}
    with path.open("rb") as file:
        (lenient,) = replay(file, policy_of(repetition={"redirect": 9, "block": 9, "stop": 9}))
    assert not lenient.findings


def test_runs_that_are_mixed_come_out_each_where_it_ends_and_the_unfinished_last() -> None:
    reports = replayed(
        event("run_started", "first"),
        event("run_started", "second"),
        event("run_started", "lost"),
        finished("second"),
        finished("first"),
    )
    assert [report.run for report in reports] == ["second", "first", "lost"]


def test_a_suspended_run_goes_on_until_its_end() -> None:
    reports = replayed(finished(status="suspended"), event("run_resumed"), finished())
    assert [report.run for report in reports] == ["r"]


def test_the_indices_are_those_of_the_runs_own_events() -> None:
    hops = [event("handoff", agent="a", target="b", kind="transfer", hops=number) for number in range(1, 15)]
    (report,) = replayed(event("run_started", "other"), event("run_started"), *hops, finished(), finished("other"))[:1]
    assert [(finding.rule, finding.event) for finding in report.findings] == [("hops", 13)]


def test_a_transfer_that_was_refused_for_its_hops_is_found_unless_the_cap_was_raised() -> None:
    refused = event("verdict", rule="hops", verdict="deny", action="stop", figures={"hops": 12, "limit": 12})
    (same,) = replayed(refused, finished())
    (raised,) = replayed(refused, finished(), max_hops=20)
    assert actions(same) == [("hops", "redirect")]
    assert not raised.findings


def test_returns_are_no_transfers() -> None:
    (report,) = replayed(*[event("handoff", agent="a", target="b", kind="return", hops=20)] * 3, finished())
    assert not report.findings


def test_budgets_and_the_deadline_are_judged_by_todays_limits() -> None:
    calls = [event("call", kind="model", model="m", input_tokens=40, output_tokens=None)] * 4
    settings: dict[str, Any] = {"budget": {"tokens": 100, "model_calls": 3}, "deadline": "1m"}
    (report,) = replayed(*calls, finished(seconds=90.0), **settings)
    assert [(finding.figures["subject"], finding.event) for finding in report.findings] == [
        ("tokens", 2),
        ("model_calls", 3),
        ("deadline", 4),
    ]
    (now,) = replayed(*calls, finished(seconds=90.0))
    assert not now.findings


def test_a_run_that_the_budget_ended_would_be_ended_again_unless_the_limit_was_raised() -> None:
    stop = event("stop", rule="budget", action="owner", reason="60 of 60", figures={"unit": "model_calls", "limit": 60})
    (same,) = replayed(stop, finished(), budget={"model_calls": 60})
    (raised,) = replayed(stop, finished(), budget={"model_calls": 70})
    assert actions(same) == [("budget", "redirect")]
    assert not raised.findings


def test_what_other_rules_said_is_taken_from_the_record() -> None:
    (report,) = replayed(
        event("verdict", rule="house_rule", verdict="warn", action="none", reason="odd"),
        event("verdict", rule="handoff", verdict="deny", action="block", reason="unknown agent"),
        event("would_stop", rule="house_rule", reason="too odd"),
        finished(),
    )
    assert actions(report) == [("house_rule", "warn"), ("handoff", "block"), ("house_rule", "stop")]
    assert {finding.mode for finding in report.findings} == {None}
