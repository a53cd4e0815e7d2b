"""What is no setting, not a setting yet, or makes no sense is refused with the key, the source and the next step."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import load_policy, policy_of
from mas_guard.errors import ConfigError

UNKNOWN_VARIABLES = [
    ("MAS_GUARD_MAX_HOP", "5", "did you mean MAX_HOPS"),
    ("MAS_GUARD_BUGDET__USD", "5", "did you mean BUDGET__USD"),
    ("MAS_GUARD_BUDGET_USD", "5", "did you mean BUDGET__USD"),
    ("MAS_GUARD_Mode", "off", "did you mean MODE"),
    ("MAS_GUARD_RULES__REPETITION__MODES", "off", "did you mean mode?"),
    ("MAS_GUARD_XYZZY", "1", "is no setting: remove it"),
    ("MAS_GUARD_BUDGET", "5", "is a group of settings, not one: set BUDGET__TOKENS or"),
    ("MAS_GUARD_TOOLS", "get_status", """give JSON, MAS_GUARD_TOOLS='{"get_status": {"repeat": 50}}'"""),
    ("MAS_GUARD_TOOLS", "{broken", "it is no JSON"),
    ("MAS_GUARD_TOOLS__get_status__REPEAT", "5", "Give JSON: MAS_GUARD_TOOLS="),
    ("MAS_GUARD_TOOLS", '{"get_status": {"repeats": 5}}', "did you mean repeat?"),
    ("MAS_GUARD_WINDOWS", "day", """give JSON, MAS_GUARD_WINDOWS='{"tenant-day": {"per": "tenant","""),
    ("MAS_GUARD_WINDOWS__day__USD", "5", "Give JSON: MAS_GUARD_WINDOWS="),
    ("MAS_GUARD_WINDOWS", '{"day": {"evry": "day"}}', "did you mean every?"),
    (
        "MAS_GUARD_TOOLS",
        '{"get_status": 5}',
        "tools.get_status from environment variable MAS_GUARD_TOOLS must be a",
    ),
]

UNKNOWN_IN_CODE: list[tuple[dict[str, Any], str]] = [
    ({"max_hop": 3}, "did you mean max_hops?"),
    ({"budget": {"usdd": 3}}, "did you mean budget.usd?"),
    ({"agents": {"a": {"budget": {"token": 3}}}}, "did you mean budget__tokens?"),
    ({"budget": 3}, "is a group of settings"),
    ({"models": {"m": {"prize": 3}}}, "'prize' in models.m from code is no setting"),
]

NOT_YET: list[tuple[dict[str, Any], str, str]] = [
    ({"on_internal_error": "closed"}, "ON_INTERNAL_ERROR", "use open"),
]

SENSELESS: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    (
        {"repetition": {"redirect": 9}},
        "REPETITION__REDIRECT",
        ("9", "4", "Set REPETITION__REDIRECT to at most 4"),
    ),
    ({"repetition": {"stop": 3}}, "REPETITION__STOP", ("4", "3", "raise REPETITION__STOP to at least 4")),
    ({"repetition": {"redirect": 7, "block": None}}, "REPETITION__REDIRECT", ("7", "6", "at most 6")),
    ({"on_limit": "abort,owner"}, "ON_LIMIT", ("abort,owner", "Put abort last")),
    ({"models": {"m": {"input_price": 1}}}, "MODELS__m__INPUT_PRICE", ("= 1", "Add output_price")),
    ({"models": {"m": {"cached_price": 1}}}, "MODELS__m__CACHED_PRICE", ("= 1", "Add input_price")),
    (
        {"models": {"a": {"base": "b"}, "b": {"base": "a"}}},
        "MODELS__a__BASE",
        ("a -> b -> a", "published model"),
    ),
    ({"models": {"a": {"base": "a"}}}, "MODELS__a__BASE", ("a -> a", "published model")),
    ({"store": "sqlite://runs.db"}, "STORE", ("names no file", "sqlite:///mas-guard.db")),
    ({"store": "redis:host"}, "STORE", ("names no server", "redis://host:port")),
]


@pytest.mark.parametrize(("variable", "value", "said"), UNKNOWN_VARIABLES)
def test_an_unknown_variable_is_refused_with_what_was_meant(variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_policy(environ={variable: value})
    assert said in str(caught.value)
    assert variable in str(caught.value)
    assert caught.value.source == f"environment variable {variable}"
    assert caught.value.key


@pytest.mark.parametrize(("overrides", "said"), UNKNOWN_IN_CODE)
def test_an_unknown_name_in_code_is_refused_with_what_was_meant(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(**overrides)
    assert said in str(caught.value)
    assert caught.value.source == "code"


@pytest.mark.parametrize(("overrides", "key", "instead"), NOT_YET)
def test_what_this_version_lacks_is_refused_with_what_to_use_instead(
    overrides: dict[str, Any], key: str, instead: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(**overrides)
    message = str(caught.value)
    assert "this version does not have" in message
    assert instead in message
    assert message.startswith(key)
    assert (caught.value.key, caught.value.source) == (key, "code")


def test_what_this_version_lacks_is_refused_in_a_lenient_environment_too() -> None:
    environ = {"MAS_GUARD_STRICT_CONFIG": "false", "MAS_GUARD_ON_INTERNAL_ERROR": "closed"}
    with pytest.raises(ConfigError, match="ON_INTERNAL_ERROR = 'closed' from environment variable"):
        load_policy(environ=environ)


@pytest.mark.parametrize(("overrides", "key", "said"), SENSELESS)
def test_a_combination_without_sense_is_refused_with_figures_and_fix(
    overrides: dict[str, Any], key: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(**overrides)
    assert [part for part in said if part not in str(caught.value)] == []
    assert (caught.value.key, caught.value.source) == (key, "code")


def test_a_broken_file_is_refused_with_name_line_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "mas-guard.toml"
    path.write_text("max_hops = 5\nowner = planner\n")
    with pytest.raises(ConfigError) as caught:
        load_policy(environ={}, directory=tmp_path)
    assert str(path) in str(caught.value)
    assert "line 2" in str(caught.value)
    assert 'text stands in quotes: owner = "planner"' in str(caught.value)
    assert caught.value.source == f"file {path}"


def test_a_broken_pyproject_with_our_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.mas-guard]\nmax_hops = = 5\n")
    with pytest.raises(ConfigError, match=r"pyproject\.toml is no valid TOML.*line 2"):
        load_policy(environ={}, directory=tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mas-guard.toml").write_bytes(b'owner = "M\xfcller"')
    with pytest.raises(ConfigError, match=r"mas-guard\.toml is not UTF-8 .*Save it as UTF-8"):
        load_policy(environ={}, directory=tmp_path)


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MAS_GUARD_CONFIG names 'gone\.toml'.*Correct the path, or unset") as caught:
        load_policy(environ={"MAS_GUARD_CONFIG": "gone.toml"}, directory=tmp_path)
    assert caught.value.key == "CONFIG"


def test_a_lenient_environment_turns_unknown_settings_into_warnings_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mas-guard.toml").write_text("strict_config = false\nmax_hob = 3\n")
    environ = {"MAS_GUARD_MAX_HOP_ONCE": "5"}
    with caplog.at_level(logging.WARNING, logger="mas_guard"):
        for _ in range(2):
            policy = load_policy(environ=environ, directory=tmp_path)
    assert [("MAX_HOP_ONCE" in text or "max_hob" in text) for text in policy.warnings] == [True, True]
    assert sum("MAX_HOP_ONCE" in record.getMessage() for record in caplog.records) == 1
    assert policy.max_hops == 12


def test_code_is_never_read_leniently() -> None:
    with pytest.raises(ConfigError, match="did you mean max_hops"):
        policy_of(strict_config=False, max_hop=3)


def test_a_rule_that_nobody_brings_is_warned_of_where_a_built_in_one_is_near() -> None:
    policy = policy_of(rules={"repetion": {"mode": "observe"}, "my_company_rule": {"mode": "off"}})
    assert len(policy.warnings) == 1
    assert "did you mean repetition?" in policy.warnings[0]
