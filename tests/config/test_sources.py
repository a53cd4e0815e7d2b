"""Which source wins, and that each value knows where it came from."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from mas_guard.config import load_policy, policy_of
from mas_guard.errors import ConfigError


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def every_source(directory: Path) -> dict[str, str]:
    named = write(directory, "named.toml", "max_hops = 4")
    write(directory, "mas-guard.toml", "max_hops = 5")
    write(directory, "pyproject.toml", "[tool.mas-guard]\nmax_hops = 6")
    return {"MAS_GUARD_CONFIG": str(named), "MAS_GUARD_MAX_HOPS": "3"}


def test_code_beats_command_line_beats_environment_beats_files_beats_defaults(tmp_path: Path) -> None:
    environ = every_source(tmp_path)
    policy = load_policy({"max_hops": 1}, command_line={"MAX_HOPS": "2"}, environ=environ, directory=tmp_path)
    found = policy.explain("MAX_HOPS")
    assert policy.max_hops == 1
    assert (found.value, found.source) == ("1", "code")
    assert found.beaten == (
        ("command line", "2"),
        ("environment variable MAS_GUARD_MAX_HOPS", "3"),
        (f"file {tmp_path / 'named.toml'}", "4"),
        (f"file {tmp_path / 'mas-guard.toml'}", "5"),
        (f"[tool.mas-guard] in {tmp_path / 'pyproject.toml'}", "6"),
        ("default", "12"),
    )


def test_each_source_wins_when_the_stronger_ones_are_silent(tmp_path: Path) -> None:
    environ = every_source(tmp_path)
    assert load_policy(command_line={"max_hops": 2}, environ=environ, directory=tmp_path).max_hops == 2
    assert load_policy(environ=environ, directory=tmp_path).max_hops == 3
    del environ["MAS_GUARD_MAX_HOPS"]
    assert load_policy(environ=environ, directory=tmp_path).max_hops == 4
    assert load_policy(environ={}, directory=tmp_path).max_hops == 5
    (tmp_path / "mas-guard.toml").unlink()
    assert load_policy(environ={}, directory=tmp_path).max_hops == 6
    (tmp_path / "pyproject.toml").unlink()
    assert load_policy(environ={}, directory=tmp_path).max_hops == 12


def test_sources_mix_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, "mas-guard.toml", "[budget]\nusd = 9\ntokens = 700\n[agents.researcher]\nbudget = {usd = 1}")
    environ = {"MAS_GUARD_BUDGET__USD": "2", "MAS_GUARD_AGENTS": '{"researcher": {"step_timeout": "5m"}}'}
    policy = load_policy({"budget": {"model_calls": 3}}, environ=environ, directory=tmp_path)
    assert (policy.budget.usd, policy.budget.tokens, policy.budget.model_calls) == (Decimal(2), 700, 3)
    assert policy.agents["researcher"].budget.usd == Decimal(1)
    assert policy.agents["researcher"].step_timeout == 300.0
    assert policy.explain("agents.researcher.budget.usd").source == f"file {tmp_path / 'mas-guard.toml'}"


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_the_person_on_call_beats_even_code(mode: str, tmp_path: Path) -> None:
    environ = {"MAS_GUARD_MODE": mode}
    policy = load_policy({"mode": "enforce"}, command_line={"mode": "enforce"}, environ=environ, directory=tmp_path)
    assert policy.mode == mode
    assert policy.explain("MODE").source == "environment variable MAS_GUARD_MODE"
    assert ("code", "enforce") in policy.explain("MODE").beaten


def test_enforce_in_the_environment_does_not_beat_code(tmp_path: Path) -> None:
    policy = load_policy({"mode": "observe"}, environ={"MAS_GUARD_MODE": "enforce"}, directory=tmp_path)
    assert policy.mode == "observe"


def test_a_misspelt_mode_of_the_person_on_call_is_refused_even_under_code(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'obsrve' from environment variable MAS_GUARD_MODE"):
        load_policy({"mode": "enforce"}, environ={"MAS_GUARD_MODE": "obsrve"}, directory=tmp_path)


def test_policy_of_reads_no_file_and_no_variable_but_the_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mas-guard.toml", "max_hops = 5")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAS_GUARD_MAX_HOPS", "3")
    monkeypatch.setenv("MAS_GUARD_MODE", "off")
    policy = policy_of(budget={"usd": 2})
    assert (policy.max_hops, policy.mode, policy.budget.usd) == (12, "off", Decimal(2))


def test_tables_by_name_come_from_json_in_a_variable(tmp_path: Path) -> None:
    environ = {
        "MAS_GUARD_TOOLS": '{"get_status": {"repeat": 50}}',
        "MAS_GUARD_AGENTS": '{"Triage": {"targets": ["billing"], "is_agent": true, "budget": {"usd": "0.5"}}}',
        "MAS_GUARD_BUDGETS": '{"nightly": {"usd": 40}}',
        "MAS_GUARD_BUDGET": '{"usd": 3}',
        "MAS_GUARD_MODELS": '{"our-deployment": {"base": "gpt-4o", "max_output": 4096}}',
    }
    policy = load_policy(environ=environ, directory=tmp_path)
    assert policy.repeat_allowance("get_status") == 50
    assert policy.agents["Triage"].targets == ("billing",)
    assert policy.agents["Triage"].is_agent is True
    assert policy.agent_limits("Triage").nano_usd == 500_000_000
    assert policy.group_limits("nightly").nano_usd == 40_000_000_000
    assert policy.budget.usd == Decimal(3)
    assert policy.models["our-deployment"].base == "gpt-4o"


def test_one_rule_is_observed_by_a_variable(tmp_path: Path) -> None:
    policy = load_policy(environ={"MAS_GUARD_RULES__REPETITION__MODE": "observe"}, directory=tmp_path)
    assert policy.rule_mode("repetition") == "observe"
    assert policy.rule_mode("hops") == "enforce"


def test_names_with_dots_and_underscores_stay_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, "mas-guard.toml", '[models."gpt-4.1__eu"]\nmax_output = 9\n[tools."a.b"]\nrepeat = 7')
    policy = load_policy(environ={}, directory=tmp_path)
    assert policy.models["gpt-4.1__eu"].max_output == 9
    assert policy.repeat_allowance("a.b") == 7


def test_files_take_both_cases_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "mas-guard.toml").write_bytes(b"\xef\xbb\xbfMAX_HOPS = 5\r\n[BUDGET]\r\nUSD = 1\r\n")
    policy = load_policy(environ={}, directory=tmp_path)
    assert (policy.max_hops, policy.budget.usd) == (5, Decimal(1))


def test_a_broken_pyproject_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[tool.other\n")
    assert load_policy(environ={}, directory=tmp_path).max_hops == 12


def test_the_same_key_twice_in_one_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "mas-guard.toml", "max_hops = 5\nMAX_HOPS = 6")
    with pytest.raises(ConfigError, match="MAX_HOPS from file .* given twice .* Keep one"):
        load_policy(environ={}, directory=tmp_path)


KUBERNETES = {
    "MAS_GUARD_SERVICE_HOST": "10.0.0.1",
    "MAS_GUARD_SERVICE_PORT": "80",
    "MAS_GUARD_SERVICE_PORT_HTTP": "80",
    "MAS_GUARD_PORT": "tcp://10.0.0.1:80",
    "MAS_GUARD_PORT_80_TCP": "tcp://10.0.0.1:80",
    "MAS_GUARD_PORT_80_TCP_PROTO": "tcp",
    "MAS_GUARD_PORT_80_TCP_PORT": "80",
    "MAS_GUARD_PORT_80_TCP_ADDR": "10.0.0.1",
    "MAS_GUARD_PORT_53_UDP_ADDR": "10.0.0.1",
    "MAS_GUARD_STORE_SERVICE_HOST": "10.0.0.2",
    "MAS_GUARD_STORE_PORT_6379_TCP": "tcp://10.0.0.2:6379",
}


@pytest.mark.parametrize("variable", [*KUBERNETES, "MAS_GUARD_RUN__COMMAND", "MAS_GUARD_TEST_SEEDS"])
def test_variables_of_kubernetes_the_launcher_and_tests_are_ignored(variable: str, tmp_path: Path) -> None:
    policy = load_policy(environ={variable: KUBERNETES.get(variable, "x")}, directory=tmp_path)
    assert json.dumps(dict(policy.values), default=str) == json.dumps(dict(policy_of().values), default=str)
