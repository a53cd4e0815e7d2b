"""`mas-guard config`: what is set, and why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mas_guard.cli import commands


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAS_GUARD_")]:
        monkeypatch.delenv(name)


def config(*arguments: str) -> Result:
    """Run `mas-guard config`."""
    return CliRunner().invoke(commands, ["config", *arguments])


def test_show_names_the_source_of_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mas-guard.toml").write_text("deadline = '5m'")
    monkeypatch.setenv("MAS_GUARD_MAX_HOPS", "7")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in config("show").output.splitlines()}
    assert rows["MAX_HOPS"] == ["7", "environment variable MAS_GUARD_MAX_HOPS"]
    assert rows["DEADLINE"] == ["5m", "file mas-guard.toml"]
    assert rows["BUDGET__USD"] == ["none", "default"]


def test_show_as_json_holds_the_same() -> None:
    shown = json.loads(config("show", "--json").output)
    assert shown["settings"]["MAX_HOPS"] == {"value": "12", "source": "default"}


@pytest.mark.parametrize("key", ["max_hops", "MAX_HOPS", "MAS_GUARD_MAX_HOPS"])
def test_explain_says_meaning_value_source_and_what_was_beaten(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    Path("mas-guard.toml").write_text("max_hops = 9")
    monkeypatch.setenv("MAS_GUARD_MAX_HOPS", "7")
    said = config("explain", key).output
    assert "MAX_HOPS = 7    from environment variable MAS_GUARD_MAX_HOPS" in said
    assert "beats 9 from file mas-guard.toml" in said
    assert "beats 12 from default" in said
    assert "How often control may pass" in said and "hops" in said


def test_explain_of_an_unknown_key_says_which_was_meant() -> None:
    result = config("explain", "max_hop")
    assert result.exit_code == 2
    assert "did you mean max_hops" in result.output


def test_check_finds_what_is_wrong_in_the_settings_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config("check").exit_code == 0
    monkeypatch.setenv("MAS_GUARD_BUGDET__USD", "2")
    result = config("check")
    assert result.exit_code == 2
    assert "did you mean BUDGET__USD" in result.output


def test_check_of_a_file_judges_that_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mas-guard.toml").write_text("broken = = 1")
    monkeypatch.setenv("MAS_GUARD_MAX_HOP", "5")
    Path("other.toml").write_text("max_hops = 3")
    result = config("check", "other.toml")
    assert result.exit_code == 0
    assert "1 are not at their default" in result.output
    assert config("check", "mas-guard.toml").exit_code == 2
    assert "There is no file 'gone.toml'" in config("check", "gone.toml").output


def test_schema_is_json_that_knows_every_setting() -> None:
    schema = json.loads(config("schema").output)
    assert schema["properties"]["max_hops"]["default"] == "12"
