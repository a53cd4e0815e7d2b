"""What an operator does from a terminal reaches a run wherever it is at work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mas_guard
from mas_guard.testing import ModelServer
from tests.fleet.conftest import Worker
from tests.fleet.test_one_budget import ask, carried

Start = Callable[..., Worker]
Command = Callable[..., Any]


@pytest.fixture
def command(variables: dict[str, str], tmp_path: Path) -> Command:
    """`mas-guard …`, in a process of its own; JSON is read, other text comes as it is."""

    def run(*words: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "mas_guard.cli", *words],
            cwd=tmp_path,
            env={"PATH": "", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout + done.stderr

    return run


def test_a_run_is_listed_while_it_goes_on_and_with_its_end(guarded: mas_guard.Guard, command: Command) -> None:
    with mas_guard.run("invoices", owner="desk") as run:
        ask()
        listed = command("runs", "list", "--format", "json")["runs"]
        assert [(one["id"], one["name"], one["status"]) for one in listed] == [(run.id, "invoices", "running")]
        assert command("runs", "show", run.id[:12], "--format", "json")["spent"]["model_calls"] == 1
    assert command("runs", "list", "--format", "json")["runs"] == []
    ended = command("runs", "list", "--all", "--format", "json")["runs"]
    assert [(one["name"], one["status"], one["spent"][1]) for one in ended] == [("invoices", "completed", 1)]


def test_a_stop_from_a_terminal_refuses_the_next_call_in_every_process(
    guarded: mas_guard.Guard, start: Start, command: Command, model_server: ModelServer
) -> None:
    other = start("asks_when_told.py")
    with pytest.raises(mas_guard.GuardStopped) as raised, mas_guard.run("invoices") as run:
        other.tell(carried()).hear()
        ask()
        assert other.tell("ask").hear() == "answered"
        assert "stopped" in command("runs", "stop", run.id[:12], "--reason", "wrong customer", "--by", "kim")
        assert other.tell("ask").hear() == "GuardStopped"
        ask()
    assert model_server.count == 2
    assert "by kim (wrong customer)" in str(raised.value)
    assert raised.value.rule == "operator"


def test_a_stop_from_a_terminal_reaches_a_run_that_nobody_shares(
    guarded: mas_guard.Guard, command: Command, model_server: ModelServer
) -> None:
    with pytest.raises(mas_guard.GuardStopped, match="stopped from outside"), mas_guard.run("invoices") as run:
        ask()
        command("runs", "stop", run.id)
        assert command("runs", "list", "--format", "json")["runs"][0]["status"] == "stopping"
        ask()
    assert model_server.count == 1


def test_a_top_up_from_a_terminal_is_there_at_once(
    guarded: mas_guard.Guard, command: Command, model_server: ModelServer
) -> None:
    with mas_guard.run("invoices", budget={"model_calls": 1}) as run:
        ask()
        command("runs", "top-up", run.id, "--model-calls", "2")
        ask()
        ask()
    assert model_server.count == 3
    with pytest.raises(mas_guard.HopLimitExceeded), mas_guard.run("handing on", max_hops=1) as run:
        for number in range(4):
            if number == 2:
                command("runs", "top-up", run.id, "--hops", "1")
            with run.step(str(number)):
                ask()
    assert raised_hops(run) == 2


def raised_hops(run: Any) -> int:
    return int(run.outcome.hops)


def test_a_run_whose_process_died_reads_as_lost(
    guarded: mas_guard.Guard, start: Start, command: Command, model_server: ModelServer
) -> None:
    worker = start("runs_until_killed.py")
    run_id = worker.hear()
    assert command("runs", "list", "--format", "json")["runs"][0]["status"] == "running"
    worker.kill()
    found = command("runs", "list", "--all", "--format", "json")["runs"]
    assert [(one["id"], one["status"]) for one in found] == [(run_id, "aborted (worker lost)")]
    assert command("runs", "list", "--format", "json")["runs"] == []


def test_what_is_not_there_is_said_with_the_next_step(command: Command, guarded: mas_guard.Guard) -> None:
    assert "No run 'nobody' is known" in command("runs", "show", "nobody", code=2)
    assert "runs list" in command("runs", "stop", "nobody", code=2)
    with mas_guard.run("done") as run:
        pass
    assert "has ended: completed" in command("runs", "stop", run.id, code=2)
    assert "no crashed call" in command("ledger", "reconcile", "nobody", "--unsent", code=2)


def test_the_books_are_shown_account_by_account(guarded: mas_guard.Guard, command: Command) -> None:
    with mas_guard.group("nightly", usd=40), mas_guard.run("invoices", budget={"model_calls": 8}) as run:
        ask()
        books = {row["account"]: row for row in command("ledger", "show", "--format", "json")["accounts"]}
        mine = books[f"run:{run.id}"]
        assert (mine["limits"]["model_calls"], mine["spent"]["model_calls"]) == (8, 1)
        assert next(row for name, row in books.items() if name.startswith("group:"))["limits"]["usd"] == "40"
        assert "1 of 8" in command("ledger", "show", "run:")


def test_a_store_in_memory_cannot_be_looked_at(command: Command, variables: dict[str, str]) -> None:
    variables["MAS_GUARD_STORE"] = "memory://"
    assert "no other process sees them" in command("runs", "list", code=2)


def test_a_store_that_does_not_answer_is_said_without_a_traceback(command: Command, variables: dict[str, str]) -> None:
    variables["MAS_GUARD_STORE"] = "redis://127.0.0.1:1/0"
    for words in (("runs", "list"), ("runs", "stop", "x"), ("ledger", "show"), ("ledger", "reconcile")):
        said = command(*words, code=2)
        assert "Traceback" not in said and "127.0.0.1" in said
