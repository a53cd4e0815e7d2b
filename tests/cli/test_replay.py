"""`mas-guard replay`: a line per run, the exit code, and files that are broken."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mas_guard.cli import commands


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAS_GUARD_")]:
        monkeypatch.delenv(name)


def replay(*arguments: str, given: str | bytes | None = None) -> Result:
    """Run `mas-guard replay`."""
    return CliRunner().invoke(commands, ["replay", *arguments], input=given)


def looping(run: str, times: int = 4) -> str:
    """A line of a run that makes the same call again and again."""
    call = {"agent": "clerk", "kind": "tool_call", "tool": "look_up", "args": '{"q": 1}', "text": ""}
    return trace(run, *[call, {"agent": "tool", "kind": "tool_result", "text": "nothing"}] * times)


def trace(run: str, *events: dict[str, Any]) -> str:
    return json.dumps({"id": run, "events": [{"i": index, **event} for index, event in enumerate(events)]}) + "\n"


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_run_has_a_line_in_order_also_where_nothing_was_found() -> None:
    Path("runs.jsonl").write_text(trace("well") + looping("loop") + trace("empty"))
    result = replay("runs.jsonl", "--format", "jsonl")
    assert result.exit_code == 1
    well, loop, empty = lines_of(result)
    assert well == {"run": "well", "findings": []}
    assert empty == {"run": "empty", "findings": []}
    first, second = loop["findings"]
    assert set(first) == {"mode", "rule", "event", "verdict", "action", "evidence"}
    assert (first["mode"], first["rule"], first["event"], first["action"]) == ("FM-1.3", "repetition", 4, "redirect")
    assert (second["event"], second["action"], second["evidence"]["times"]) == (6, "block", 4)


def test_without_findings_it_exits_with_zero() -> None:
    Path("runs.jsonl").write_text(trace("well") + looping("short", times=2))
    result = replay("runs.jsonl")
    assert result.exit_code == 0
    assert "2 runs, 0 with findings" in result.stdout


def test_the_text_names_run_event_action_rule_and_mode() -> None:
    Path("runs.jsonl").write_text(looping("loop"))
    result = replay("runs.jsonl")
    assert "runs.jsonl: run loop: 2 findings" in result.stdout
    assert "event 4: would have been redirected by repetition (FM-1.3 step repetition)" in result.stdout
    assert "1 run, 1 with findings: 0 warned of, 1 redirected, 1 blocked, 0 stopped" in result.stdout
    assert "need a judge: FM-1.1, FM-2.3, FM-2.6, FM-3.3" in result.stdout


def test_the_settings_in_force_decide() -> None:
    Path("runs.jsonl").write_text(looping("loop"))
    Path("mas-guard.toml").write_text("[repetition]\nredirect = 2\nblock = 3\nstop = 4\n")
    (report,) = lines_of(replay("runs.jsonl", "--format", "jsonl"))
    assert [finding["action"] for finding in report["findings"]] == ["redirect", "block", "stop"]


def test_packed_files_are_known_by_their_content() -> None:
    Path("runs").write_bytes(gzip.compress(looping("loop").encode()))
    Path("more").write_text(trace("plain"))
    assert [line["run"] for line in lines_of(replay("runs", "more", "--format", "jsonl"))] == ["loop", "plain"]
    assert replay("-", given=gzip.compress(trace("piped").encode())).exit_code == 0


def test_a_run_may_go_on_in_the_next_file() -> None:
    event = {"v": 1, "time": 1.0, "run": "r"}
    end = {"status": "completed", "hops": 0, "seconds": 1.0, "spent": {}}
    Path("monday.jsonl").write_text(json.dumps({**event, "event": "run_started"}) + "\n")
    Path("tuesday.jsonl").write_text(json.dumps({**event, "event": "run_finished", **end}) + "\n")
    assert len(lines_of(replay("monday.jsonl", "tuesday.jsonl", "--format", "jsonl"))) == 1


@pytest.mark.parametrize(
    "broken",
    [
        '{"id": "cut off", "events": [{"i": 0,',
        "no JSON at all",
        '{"neither": "this nor that"}',
        '{"id": "odd", "events": [17]}',
        '{"v": 99, "event": "call", "run": "r"}',
        '{"v": 1, "event": "call", "run": 17}',
        '{"traceId": "t", "spanId": "s", "startTimeUnixNano": "soon"}',
        "[" * 100_000,
    ],
)
def test_broken_lines_are_counted_and_named_and_never_the_end(broken: str) -> None:
    Path("runs.jsonl").write_text(trace("before") + broken + "\n" + looping("after"))
    result = replay("runs.jsonl", "--format", "jsonl")
    assert result.exit_code == 1
    assert [line["run"] for line in lines_of(result)] == ["before", "after"]
    assert "left out 1 broken record" in result.stderr
    assert "runs.jsonl:2: " in result.stderr


def test_a_packed_file_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    packed = gzip.compress("".join(trace(f"run-{number}") for number in range(20_000)).encode())
    Path("runs.gz").write_bytes(packed[: len(packed) // 2])
    result = replay("runs.gz", "--format", "jsonl")
    assert result.exit_code == 0
    assert 1 < len(lines_of(result)) < 20_000
    assert "cut off" in result.stderr


def test_documents_over_several_lines_and_arrays_are_read_value_by_value() -> None:
    runs = [json.loads(trace("one")), json.loads(looping("two"))]
    for written in (
        json.dumps(runs),
        json.dumps(runs, indent=2),
        "\n".join(json.dumps(run, indent=2) for run in runs),
        "[\n" + ",\n".join(json.dumps(run) for run in runs) + "\n]\n",
    ):
        assert [line["run"] for line in lines_of(replay("-", "--format", "jsonl", given=written))] == ["one", "two"]


def test_nothing_readable_and_wrong_usage_exit_with_two() -> None:
    Path("none.jsonl").write_text("nothing\n\n")
    result = replay("none.jsonl")
    assert result.exit_code == 2
    assert "none.jsonl:1: no JSON" in result.stderr and "MAS_GUARD_EVENTS" in result.stderr
    assert replay("missing.jsonl").exit_code == 2
    assert replay(".").exit_code == 2
    assert replay().exit_code == 2


def test_memory_holds_no_run_that_has_ended() -> None:
    from mas_guard.config import policy_of
    from mas_guard.diagnose import Replay

    event = {"v": 1, "time": 1.0}
    end = {"status": "completed", "hops": 0, "seconds": 1.0, "spent": {}}
    with Path("events.jsonl").open("w") as file:
        for number in range(50):
            run = {**event, "run": f"r{number}"}
            file.write(json.dumps({**run, "event": "run_started"}) + "\n")
            file.write(json.dumps({**run, "event": "run_finished", **end}) + "\n")
    replaying = Replay(policy_of())
    with Path("events.jsonl").open("rb") as stream:
        assert len(list(replaying.read(stream, lambda line, problem: None))) == 50
    assert list(replaying.unfinished()) == []
