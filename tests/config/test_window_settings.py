"""Windows as settings: how they are given, what is refused, and how an inner run's policy narrows them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import load_policy, policy_of
from mas_guard.errors import ConfigError

DAY = {"per": "tenant", "every": "day", "usd": 50, "tz": "Europe/Berlin", "start_if_left": 0.5}

REFUSED: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    (
        {"every": "day"},
        "WINDOWS__w__EVERY",
        ("limits nothing", "Add at least one of tokens, model_calls, tool_calls and usd to [windows.w]"),
    ),
    ({"usd": 5}, "WINDOWS__w__USD", ("how long the window 'w' lasts", 'Add every = "day" to [windows.w]')),
    ({"usd": 5, "every": "fortnight"}, "WINDOWS__w__EVERY", ("hour, day, week or month",)),
    ({"usd": 5, "every": "day", "per": "user"}, "WINDOWS__w__PER", ("tenant or all",)),
    (
        {"usd": 5, "every": "day", "tz": "Europe/Berlni"},
        "WINDOWS__w__TZ",
        ("'Europe/Berlni'", "Did you mean Europe/Berlin?"),
    ),
    ({"usd": 5, "every": "day", "tz": "../../etc/passwd"}, "WINDOWS__w__TZ", ("there is no time zone",)),
    ({"usd": 5, "every": "day", "tz": "Europe"}, "WINDOWS__w__TZ", ("there is no time zone 'Europe'",)),
    ({"usd": -1, "every": "day"}, "WINDOWS__w__USD", ("at least 0",)),
    (
        {"tokens": 5, "model_calls": 5, "every": "day", "start_if_left": 1},
        "WINDOWS__w__START_IF_LEFT",
        ("limits in tokens and model_calls and none in USD", "Add a limit in usd"),
    ),
    (
        {"model_calls": 5, "every": "day", "start_if_left": 0.5},
        "WINDOWS__w__START_IF_LEFT",
        ("0.5 is no whole number of model_calls",),
    ),
    (
        {"usd": 5, "every": "day", "start_if_left": 6},
        "WINDOWS__w__START_IF_LEFT",
        ("6 is more than the window's usd = 5", "no run would ever begin"),
    ),
]


def test_a_window_is_read_as_it_is_meant() -> None:
    window = policy_of(windows={"tenant-day": DAY}).windows["tenant-day"]
    assert (window.name, window.per, window.every, window.tz) == ("tenant-day", "tenant", "day", "Europe/Berlin")
    assert window.budget.usd == Decimal(50)
    assert window.budget.limits == (None, None, None, 50_000_000_000)
    assert window.start_if_left == ("nano_usd", 500_000_000)


def test_a_window_over_all_runs_in_utc_is_what_stands_where_nothing_else_is_said() -> None:
    window = policy_of(windows={"hour": {"every": "hour", "model_calls": 9}}).windows["hour"]
    assert (window.per, window.tz, window.start_if_left) == ("all", "UTC", None)


def test_what_must_be_left_is_read_in_usd_else_in_the_windows_one_unit() -> None:
    def left(**given: Any) -> Any:
        return policy_of(windows={"w": {"every": "day", **given}}).windows["w"].start_if_left

    assert left(usd=5, tokens=9, start_if_left="0.5") == ("nano_usd", 500_000_000)
    assert left(model_calls=5, start_if_left=2) == ("model_calls", 2)
    assert left(tokens=5_000, usd="none", start_if_left=2_000) == ("tokens", 2_000)
    assert left(usd=5, start_if_left=0) is None


def test_windows_come_from_a_file_and_from_json_in_a_variable(tmp_path: Path) -> None:
    (tmp_path / "mas-guard.toml").write_text(
        '[windows.tenant-day]\nper = "tenant"\nevery = "day"\nusd = 50\ntz = "UTC"\nstart_if_left = 0.5\n'
    )
    environ = {"MAS_GUARD_WINDOWS": '{"tenant-day": {"usd": 20}, "all-month": {"every": "month", "usd": "900"}}'}
    policy = load_policy(environ=environ, directory=tmp_path)
    assert set(policy.windows) == {"tenant-day", "all-month"}
    assert (policy.windows["tenant-day"].budget.usd, policy.windows["tenant-day"].per) == (Decimal(20), "tenant")
    assert policy.explain("windows.tenant-day.usd").source == "environment variable MAS_GUARD_WINDOWS"
    assert policy.explain("windows.tenant-day.every").source == f"file {tmp_path / 'mas-guard.toml'}"
    assert policy.explain("windows.all-month.tz").value == "UTC"


def test_a_window_whose_every_limit_is_lifted_is_none_and_listed(tmp_path: Path) -> None:
    (tmp_path / "mas-guard.toml").write_text('[windows.day]\nevery = "day"\nusd = 50\n')
    policy = load_policy(environ={"MAS_GUARD_WINDOWS": '{"day": {"usd": "none"}}'}, directory=tmp_path)
    assert policy.windows == {}
    assert policy.unlimited == ("WINDOWS__day__USD",)


@pytest.mark.parametrize(("given", "key", "said"), REFUSED)
def test_a_window_that_could_not_be_kept_is_refused_with_the_line_to_add(
    given: dict[str, Any], key: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(windows={"w": given})
    assert [part for part in said if part not in str(caught.value)] == []
    assert (caught.value.key, caught.value.source) == (key, "code")


def test_the_ledger_keeps_what_it_has_longer_than_the_longest_window() -> None:
    day = 86_400.0
    assert policy_of().ledger_retention == 7 * day
    assert policy_of(retention="1h").ledger_retention == 3_600.0
    assert policy_of(windows={"d": {"every": "day", "usd": 1}}, retention="1h").ledger_retention == day + 25 * 3_600
    month = policy_of(windows={"d": {"every": "day", "usd": 1}, "m": {"every": "month", "usd": 1}})
    assert month.ledger_retention == 32 * day + 3_600
    assert policy_of(windows={"m": {"every": "month", "usd": 1}}, retention="90d").ledger_retention == 90 * day


def test_an_inner_run_can_lower_a_window_and_add_one_and_change_nothing_else_of_it() -> None:
    outer = policy_of(windows={"day": {"every": "day", "per": "all", "usd": 50}})
    inner = policy_of(
        windows={
            "day": {"every": "hour", "per": "tenant", "usd": 5, "tokens": 9, "tz": "Asia/Tokyo", "start_if_left": 1},
            "own": {"every": "week", "per": "tenant", "tool_calls": 3, "tz": "Asia/Tokyo"},
        }
    )
    narrowed = outer.narrowed_by(inner).windows
    day, own = narrowed["day"], narrowed["own"]
    assert (day.per, day.every, day.tz, day.start_if_left) == ("all", "day", "UTC", None)
    assert day.budget.limits == (9, None, None, 5_000_000_000)
    assert (own.per, own.every, own.tz) == ("tenant", "week", "Asia/Tokyo")
    assert own.budget.limits == (None, None, 3, None)


@pytest.mark.parametrize("usd", [500, "none"])
def test_an_inner_run_cannot_widen_a_window(usd: Any) -> None:
    outer = policy_of(windows={"day": {"every": "day", "usd": 50}})
    inner = policy_of(windows={"day": {"every": "day", "usd": usd}})
    assert outer.narrowed_by(inner).windows["day"].budget.usd == Decimal(50)


def test_an_inner_run_whose_windows_come_from_the_settings_changes_nothing() -> None:
    outer = policy_of(windows={"day": {"every": "day", "usd": 50}})
    inner = load_policy(environ={"MAS_GUARD_WINDOWS": '{"other": {"every": "day", "usd": 1}}'})
    assert outer.narrowed_by(inner) is outer
