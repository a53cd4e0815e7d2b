"""`mas-guard contracts`: four agents in plain Python, one of them changes its output, and those who take it are named."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import mas_guard
from mas_guard._engine import Engine
from mas_guard._plugins import Plugins
from mas_guard.cli import commands
from mas_guard.config import policy_of
from mas_guard.contracts import shape_of

OUTPUTS = """
from pydantic import BaseModel


class Invoice(BaseModel):
    number: str
    amount: float


class Check(BaseModel):
    valid: bool


class Booking(BaseModel):
    reference: str


class Mail(BaseModel):
    subject: str
    body: str = ""


AGENTS = {"extractor": Invoice, "checker": Check, "booker": Booking, "mailer": Mail}
"""
SETTINGS = """
[agents.extractor]
contract = "outputs:Invoice"
[agents.checker]
contract = "outputs:Check"
failure_output = { valid = false }
[agents.booker]
contract = "booking.json"
[agents.mailer]
contract = { type = "object", properties = { subject = { type = "string" } }, required = ["subject"] }
"""
BOOKING = '{"type": "object", "properties": {"reference": {"type": "string"}}, "required": ["reference"]}'


@pytest.fixture(autouse=True)
def _app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four agents: an invoice is checked and booked, or booked at once, and a mail is written of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    for name in [name for name in os.environ if name.startswith("MAS_GUARD_")]:
        monkeypatch.delenv(name)
    Path("outputs.py").write_text(OUTPUTS)
    Path("booking.json").write_text(BOOKING)
    Path("mas-guard.toml").write_text(SETTINGS)
    guard = mas_guard.Guard(engine=Engine(policy_of(), plugins=Plugins(entry_points=False)))
    for path in (("extractor", "checker", "booker", "mailer"), ("extractor", "booker", "mailer")):
        with guard.run("invoice 4711", owner="extractor", events="events.jsonl") as run:
            for agent in path:
                with run.step(agent):
                    pass


def contracts(*arguments: str) -> Result:
    """Run `mas-guard contracts` as a new process would: with the app's modules imported anew."""
    sys.modules.pop("outputs", None)
    return CliRunner().invoke(commands, ["contracts", *arguments])


def envelope(agent: str, output: Any) -> str:
    event = {"v": 1, "event": "envelope", "time": 1.0, "run": "r", "agent": agent, "worth": "success"}
    return json.dumps({**event, "shape": shape_of(output)}) + "\n"


def rename(before: str, after: str) -> None:
    # Another size as well, since a compiled module is recognised by time and size.
    Path("outputs.py").write_text(Path("outputs.py").read_text().replace(before, after) + "\n")


def accepted() -> None:
    assert contracts("learn", "events.jsonl", "--write").exit_code == 0
    assert contracts("accept").exit_code == 0
    assert contracts("check").exit_code == 0


def test_a_renamed_field_names_exactly_the_agents_that_take_it() -> None:
    accepted()
    rename("amount: float", "total: float")
    done = contracts("check")
    assert done.exit_code == 1
    assert "extractor: `amount` was renamed to `total` (a number); taken by booker, checker →" in done.output
    assert "as accepted: booker, checker, mailer" in done.output
    report = json.loads(contracts("check", "--format", "json").output)
    assert [(drift["agent"], drift["consumers"]) for drift in report["drift"]] == [("extractor", ["booker", "checker"])]
    assert contracts("accept", "extractor").exit_code == 0
    assert contracts("check").exit_code == 0


@pytest.mark.parametrize(
    ("before", "after", "agent", "consumers"),
    [
        ("valid: bool", "correct: bool", "checker", ["booker"]),
        ("number: str", "number: int", "extractor", ["booker", "checker"]),
    ],
)
def test_another_change_names_other_agents(before: str, after: str, agent: str, consumers: list[str]) -> None:
    accepted()
    rename(before, after)
    report = json.loads(contracts("check", "--format", "json").output)
    assert [(drift["agent"], drift["consumers"]) for drift in report["drift"]] == [(agent, consumers)]


def test_contracts_in_files_and_tables_drift_as_well() -> None:
    accepted()
    Path("booking.json").write_text(BOOKING.replace("reference", "booking"))
    Path("mas-guard.toml").write_text(SETTINGS.replace("valid = false", "valid = true").replace("subject", "title"))
    report = json.loads(contracts("check", "--format", "json").output)
    assert [(drift["agent"], drift["consumers"]) for drift in report["drift"]] == [
        ("booker", ["mailer"]),
        ("checker", ["booker"]),
        ("mailer", []),
    ]
    assert report["drift"][1]["changes"] == [
        {"kind": "failure_output", "field": "", "text": "the failure output changed"}
    ]


def test_nothing_is_written_unless_asked_and_nothing_accepted_but_by_a_person() -> None:
    assert "Nothing is written" in contracts("learn", "events.jsonl").output
    assert not Path("mas-guard.contracts.json").exists()
    contracts("learn", "events.jsonl", "--write")
    content = json.loads(Path("mas-guard.contracts.json").read_text())
    assert content["contracts"] == {}
    assert {entry["accepted"] for entry in content["proposals"].values()} == {False}
    assert content["proposals"]["extractor"]["consumers"] == ["booker", "checker"]
    done = contracts("check")
    assert done.exit_code == 1
    assert (
        "extractor: its contract is not accepted yet (requires amount, number); taken by booker, checker" in done.output
    )
    assert contracts("accept", "extractor", "checker").exit_code == 0
    content = json.loads(Path("mas-guard.contracts.json").read_text())
    assert sorted(content["contracts"]) == ["checker", "extractor"]
    assert sorted(content["proposals"]) == ["booker", "mailer"]


def test_the_app_object_declares_what_the_settings_do_not() -> None:
    Path("mas-guard.toml").write_text("")
    assert contracts("accept", "--app", "outputs:AGENTS").exit_code == 0
    assert contracts("check", "--app", "outputs:AGENTS").exit_code == 0
    without = contracts("check")
    assert without.exit_code == 0
    assert "not checked: booker, checker, extractor, mailer" in without.output
    rename("amount: float", "total: float")
    done = contracts("check", "--app", "outputs:AGENTS", "events.jsonl")
    assert done.exit_code == 1
    assert "`amount` was renamed to `total` (a number); taken by booker, checker" in done.output


def test_contracts_are_learned_where_none_are_declared() -> None:
    Path("mas-guard.toml").write_text("")
    with open("events.jsonl", "a", encoding="utf-8") as events:
        events.write(envelope("extractor", {"number": "1", "amount": 2.5}) + envelope("mailer", "Dear Ana"))
        events.write("broken\n")
    done = contracts("learn", "events.jsonl", "--write")
    assert (
        "+ extractor: requires amount, number; learned from 1 successful output; taken by booker, checker"
        in done.output
    )
    assert "+ mailer: answers in words" in done.output
    assert "no shapes of outputs are recorded for booker, checker" in done.output
    assert "left out 1 broken lines" in done.output
    assert contracts("accept").exit_code == 0
    assert contracts("check", "events.jsonl").exit_code == 0
    Path("later.jsonl").write_text(envelope("extractor", {"number": "1", "total": 2.5}))
    done = contracts("check", "later.jsonl")
    assert done.exit_code == 1
    assert "`amount` was renamed to `total` (a number); taken by booker, checker" in done.output
    done = contracts("learn", "later.jsonl")
    assert "~ extractor: `amount` was renamed to `total` (a number)" in done.output
    assert "= mailer" not in done.output


def test_a_contract_that_is_no_longer_declared_is_accepted_by_everybody_s_accept() -> None:
    accepted()
    Path("mas-guard.toml").write_text(SETTINGS.partition("[agents.mailer]")[0])
    assert "mailer: its accepted contract is no longer declared" in contracts("check").output
    assert "accepted that mailer has no contract any more" in contracts("accept").output
    assert contracts("check").exit_code == 0


def test_show_lists_what_is_accepted_and_what_is_proposed() -> None:
    assert "accepts nothing yet" in contracts("show").output
    contracts("learn", "events.jsonl", "--write")
    contracts("accept", "extractor")
    shown = contracts("show").output
    assert "extractor  accepted" in shown
    assert "booker  proposed" in shown
    report = json.loads(contracts("show", "extractor", "--format", "json").output)
    assert report["contracts"]["extractor"]["required"] == ["amount", "number"]


def test_a_new_consumer_is_proposed_though_the_contract_is_as_accepted() -> None:
    accepted()
    with open("events.jsonl", "a", encoding="utf-8") as events:
        events.write(
            '{"v": 1, "event": "handoff", "time": 1.0, "run": "r", "agent": "extractor", "target": "mailer"}\n'
        )
    done = contracts("learn", "events.jsonl", "--write")
    assert "~ extractor: now taken by mailer" in done.output
    assert "= booker: as accepted" in done.output
    assert contracts("accept").output.startswith("accepted extractor: ")
    assert "now taken" not in contracts("learn", "events.jsonl").output


def test_accepting_twice_changes_nothing() -> None:
    accepted()
    before = Path("mas-guard.contracts.json").read_text()
    assert contracts("accept").output == "There is nothing to accept.\n"
    assert Path("mas-guard.contracts.json").read_text() == before


@pytest.mark.parametrize(
    ("settings", "arguments", "told"),
    [
        (SETTINGS, ("accept", "nobody"), "There is no contract to accept of nobody"),
        (SETTINGS, ("show", "nobody"), "has no nobody"),
        (SETTINGS, ("check", "none.jsonl"), "none.jsonl cannot be read"),
        ("", ("check",), "There is nothing to check"),
        ('[agents.a]\ncontract = "outputs:Nothing"', ("check",), "The contract of agent 'a' (outputs:Nothing) cannot be read"),
        ('[agents.a]\ncontract = "none.json"', ("check",), "FileNotFoundError"),
        ('[agents.a]\ncontract = "nonsense"', ("check",), "it must be module:Name"),
        ("", ("check", "--app", "outputs:Nothing"), "has no 'Nothing'"),
    ],
)  # fmt: skip
def test_wrong_usage_says_what_to_do_and_ends_with_two(settings: str, arguments: tuple[str, ...], told: str) -> None:
    Path("mas-guard.toml").write_text(settings)
    done = contracts(*arguments)
    assert done.exit_code == 2, done.output
    assert told in done.output
