"""Contracts and consumers are learned from events, which hold shapes and no contents; the file keeps what was accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mas_guard.contracts import (
    Contract,
    ContractFile,
    Entry,
    Learning,
    read_contract_file,
    shape_of,
    write_contract_file,
)
from mas_guard.errors import ConfigError


def envelope(agent: str, output: Any, worth: str = "success", **more: Any) -> dict[str, Any]:
    return {"event": "envelope", "agent": agent, "worth": worth, "shape": shape_of(output), **more}


def handoff(agent: str, target: str, **more: Any) -> dict[str, Any]:
    return {"event": "handoff", "agent": agent, "target": target, "verdict": "allow", "mode": "enforce", **more}


def learned(*events: dict[str, Any]) -> dict[str, Any]:
    learning = Learning()
    assert [problem for event in events if (problem := learning.take(event))] == []
    return learning.result()


def test_what_all_successful_outputs_have_is_required_and_counted() -> None:
    found = learned(
        envelope("extractor", {"number": "1", "amount": 2}),
        envelope("extractor", {"number": "2", "amount": 2.5, "note": "x"}),
        envelope("extractor", {"error": "no invoice"}, worth="failed"),
        envelope("extractor", {"number": "3"}, worth="partial"),
    )["extractor"]
    assert found.outputs == 2
    assert found.contract.required == ("amount", "number")
    assert set(found.contract.schema["properties"]) == {"amount", "note", "number"}


def test_consumers_are_those_that_got_control_or_were_told_the_output() -> None:
    found = learned(
        handoff("extractor", "checker,booker"),
        handoff("extractor", "nobody", verdict="deny"),
        handoff("worker", "manager", kind="return"),
        envelope("worker", "done", consumers=["writer", "worker"]),
        {"event": "call", "agent": "extractor"},
    )
    assert found["extractor"].consumers == ("booker", "checker")
    assert found["extractor"].contract is None
    assert found["worker"].consumers == ("manager", "writer")
    assert found["worker"].contract.is_text


@pytest.mark.parametrize(
    "event",
    [
        {"event": "envelope", "agent": 7},
        {"event": "envelope", "agent": "a", "worth": "success", "shape": {"type": "object", "properties": [1]}},
        {"event": "envelope", "agent": "a", "consumers": 3},
    ],
)
def test_an_event_of_another_form_is_refused_and_not_the_end(event: dict[str, Any]) -> None:
    assert Learning().take(event)


def test_what_was_written_is_read_back_and_written_again_alike(tmp_path: Path) -> None:
    path = tmp_path / "mas-guard.contracts.json"
    schema = {"type": "object", "title": "T", "required": ["b", "a"], "properties": {"b": {"type": "string"}, "a": {}}}
    file = ContractFile(
        {"zoë": Entry(Contract(schema, {"b": ""}, ("y", "x"), "settings"))},
        {"learned": Entry(Contract({}, source="runs"), 7)},
    )
    write_contract_file(file, path)
    first = path.read_text("utf-8")
    again = read_contract_file(path)
    write_contract_file(again, path)
    assert path.read_text("utf-8") == first
    assert again.accepted["zoë"].contract.version == file.accepted["zoë"].contract.version
    assert again.proposals["learned"].outputs == 7
    content = json.loads(first)
    assert content["version"] == 1
    assert content["contracts"]["zoë"]["accepted"] is True
    assert content["proposals"]["learned"]["accepted"] is False
    assert content["contracts"]["zoë"]["schema"]["required"] == ["a", "b"]
    assert "zoë" in first
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_accepts_nothing(tmp_path: Path) -> None:
    assert read_contract_file(tmp_path / "none.json") == ContractFile()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2}', '{"version": 1, "contracts": {"a": {}}}', '{"version": 1, "contracts": []}']
)
def test_a_file_of_another_form_is_refused_with_the_next_step(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mas-guard.contracts.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="Restore it from version control"):
        read_contract_file(path)
