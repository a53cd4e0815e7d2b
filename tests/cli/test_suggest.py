"""`mas-guard suggest`: limits that would have ended none of the recorded runs."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mas_guard import Guard, Outcome
from mas_guard._engine import Engine
from mas_guard._plugins import Plugins
from mas_guard.adapter import guard_call
from mas_guard.cli import commands
from mas_guard.cli._suggestion import percentile, round_up
from mas_guard.config import load_policy, policy_of
from mas_guard.types import CallOutcome, ModelCall, ToolCall, Usage


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAS_GUARD_")]:
        monkeypatch.delenv(name)


def suggest(*arguments: str, given: str | None = None) -> Result:
    """Run `mas-guard suggest`."""
    return CliRunner().invoke(commands, ["suggest", *arguments], input=given)


def finished(run: str, **changes: Any) -> str:
    """A line of a run that ended."""
    spent = {"tokens": 1000, "model_calls": 4, "tool_calls": 3, "nano_usd": 2_000_000}
    spent |= {name: changes.pop(name) for name in list(changes) if name in spent}
    event = {"v": 1, "event": "run_finished", "time": 1.0, "run": run, "status": "completed", "rule": ""}
    return json.dumps(event | {"hops": 2, "seconds": 3.0, "repeats": 1, "spent": spent} | changes) + "\n"


def play(guard: Guard, seed: int, **settings: Any) -> tuple[Outcome, list[int | None]]:
    """One run of a made-up app, the same for the same seed; returns its outcome and the caps that were sent."""
    chance = random.Random(seed)
    caps: list[int | None] = []
    with guard.run(f"task {seed}", owner="planner", **settings) as plain:
        run: Any = plain._run
        read = chance.randint(50, 3_000)
        for hop in range(chance.randint(1, 15)):
            with plain.step(f"agent {hop % 3}"):
                written = chance.randint(1, 4_000)
                # The bound counts bytes: up to four a token, and what surrounds the messages.
                call = ModelCall(
                    "gpt-4o-mini", f"agent {hop % 3}", input_bound=4 * read + 500, last_message=f"{seed} {hop}"
                )
                usage = Usage(read, written)
                guard_call(run, call, lambda: None, lambda _, usage=usage: CallOutcome(text="x", usage=usage))
                caps.append(call.output_cap)
                read += written
                for number in range(chance.randint(0, 3)):
                    tool = ToolCall("look_up", {"number": number, "hop": hop}, f"agent {hop % 3}")
                    guard_call(run, tool, lambda: "found", lambda _: CallOutcome(text="found"))
    assert plain.outcome is not None
    return plain.outcome, caps


def test_the_suggested_settings_would_have_ended_none_of_200_recorded_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(engine=Engine(policy_of(), plugins=Plugins(entry_points=False)))
    events = tmp_path / "events.jsonl"
    for seed in range(200):
        play(guard, seed, mode="observe", events=str(events))
    report = json.loads(suggest(str(events), "--format", "json").output)
    assert report["runs"]["finished"] == 200
    assert report["runs"]["would_stop"]["hops"] == report["limits"]["hops"]["ended_by_default"] > 0
    for line in report["settings"]["env"]:
        monkeypatch.setenv(*line.split("="))
    policy = load_policy()
    assert policy.budget.usd is not None and policy.budget.tokens is not None
    again = [play(guard, seed) for seed in range(200)]
    assert {(outcome.status, outcome.rule) for outcome, _ in again} == {("completed", "")}
    assert {cap for _, caps in again for cap in caps} == {None}
    assert policy.budget.tokens < 20 * max(outcome.spent.tokens for outcome, _ in again)


def test_a_long_answer_to_a_short_question_is_not_cut_under_the_suggested_settings() -> None:
    def ask(**settings: Any) -> int | None:
        call = ModelCall("gpt-4o-mini", input_bound=100)
        usage = Usage(20, 8_000)
        with guard.run("question", **settings) as plain:
            run: Any = plain._run
            guard_call(run, call, lambda: None, lambda _: CallOutcome(text="long", usage=usage))
        return call.output_cap

    guard = Guard(engine=Engine(policy_of(), plugins=Plugins(entry_points=False)))
    ask(mode="observe", events="events.jsonl")
    limits = json.loads(suggest("events.jsonl", "--format", "json").output)["limits"]
    cap = ask(budget={"tokens": limits["tokens"]["suggested"], "usd": limits["usd"]["suggested"]})
    assert cap is None or cap >= 8_000


def test_the_lines_to_paste_say_the_same_in_a_file_and_in_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("events.jsonl").write_text(finished("a", hops=14, repeats=9, seconds=700.0))
    settings = json.loads(suggest("events.jsonl", "--format", "json").output)["settings"]
    Path("mas-guard.toml").write_text(settings["toml"])
    from_file = load_policy()
    Path("mas-guard.toml").unlink()
    for line in settings["env"]:
        monkeypatch.setenv(*line.split("="))
    assert dict(load_policy().values) == dict(from_file.values)
    assert from_file.max_hops == 18 and from_file.repetition.stop == 11


def test_percentiles_and_what_each_default_would_have_ended() -> None:
    Path("events.jsonl").write_text("".join(finished(str(hops), hops=hops) for hops in range(1, 101)))
    limits = json.loads(suggest("events.jsonl", "--format", "json").output)["limits"]
    hops = limits["hops"]
    assert (hops["p50"], hops["p95"], hops["p99"], hops["max"], hops["ended_by_default"]) == (50, 95, 99, 100, 88)
    assert limits["model_calls"]["ended_by_default"] == 0


def test_broken_lines_are_counted_and_named_and_never_the_end() -> None:
    Path("events.jsonl").write_bytes(
        finished("a").encode()
        + b'{"v": 1, "event": "call"\n'
        + b"\xff\xfe\n\n[1, 2]\n"
        + b'{"v": 9, "event": "call"}\n'
        + b'{"v": 1, "event": "run_finished", "run": "b", "spent": {}}\n'
        + b"[" * 100_000
        + b"\n"
        + finished("c").encode()
    )
    result = suggest("events.jsonl")
    assert result.exit_code == 0
    assert "2 finished runs" in result.output and "6 broken lines" in result.output
    assert "events.jsonl:2: no JSON" in result.output
    assert "schema version 9, this mas-guard reads 1" in result.output
    assert "events.jsonl:7: a run_finished whose figures cannot be read" in result.output


def test_nothing_to_read_is_said_with_how_to_record() -> None:
    Path("empty.jsonl").write_text("")
    empty, gone = suggest("empty.jsonl"), suggest("gone.jsonl")
    assert (empty.exit_code, gone.exit_code) == (2, 2)
    assert "MAS_GUARD_MODE=observe MAS_GUARD_EVENTS=events.jsonl mas-guard run app.py" in empty.output
    assert "gone.jsonl cannot be read" in gone.output


def test_a_run_that_the_guard_ended_is_no_basis_for_a_limit() -> None:
    stopped = finished("b", status="partial", rule="hops", hops=12, tokens=900_000)
    result = suggest("-", given=finished("a") + stopped)
    assert "the guard ended 1 run by hops" in result.output
    assert "max_hops = 3" in result.output
    alone = suggest("-", given=stopped)
    assert "No settings can be suggested" in alone.output


def test_a_run_that_went_on_after_a_stop_counts_once_with_its_end() -> None:
    stopped = finished("a", status="aborted", rule="hops", hops=12)
    limits = json.loads(suggest("-", "--format", "json", given=stopped + finished("a", hops=20)).output)
    assert limits["runs"]["finished"] == 1
    assert limits["limits"]["hops"]["max"] == 20


def test_a_run_that_waits_for_a_human_is_not_finished() -> None:
    waits = finished("a", status="suspended")
    assert suggest("-", given=waits).exit_code == 2
    assert "left out 1 run waiting for a human" in suggest("-", given=waits + finished("b")).output
    assert "waiting" not in suggest("-", given=waits + finished("a")).output


def test_no_limit_in_usd_is_suggested_where_a_price_is_unknown() -> None:
    call = {"v": 1, "event": "call", "run": "a", "kind": "model", "model": "home-made"}
    line = json.dumps(call | {"input_tokens": 10, "output_tokens": 5}) + "\n"
    result = suggest("-", given=line + finished("a"))
    assert "no price is known for home-made" in result.output
    assert "usd =" not in result.output


def test_a_github_step_gets_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    suggest("-", given=finished("a"))
    assert "| hops | 2 | 2 | 2 | 2 | 12 | 0 | 3 |" in Path("summary.md").read_text()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/null/summary.md")
    assert suggest("-", given=finished("a")).exit_code == 0


@pytest.mark.parametrize(
    ("value", "rounded"), [(0, 0), (7, 7), (123, 130), (120, 120), (98_765, 99_000), (0.0171, 0.018)]
)
def test_rounding_goes_up_to_two_digits(value: float, rounded: float) -> None:
    assert round_up(value) == pytest.approx(rounded)


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0, 50, 51, 99, 100)] == [1, 2, 3, 4, 4]
