"""What a window is, as the settings give it, and which settings of one make no sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, cast

from mas_guard.config.faults import conflict
from mas_guard.config.groups import Budget
from mas_guard.config.table import name_in, nearest, setting_of
from mas_guard.types import NANO_USD_PER_USD, Unit

Origin = Callable[[str], str]
Every = Literal["hour", "day", "week", "month"]

LIMITS = ("TOKENS", "MODEL_CALLS", "TOOL_CALLS", "USD")
LONGEST: Mapping[str, float] = {
    "hour": 3_600.0,
    "day": 25 * 3_600.0,
    "week": 7 * 86_400.0 + 3_600.0,
    "month": 31 * 86_400.0 + 3_600.0,
}
"""Seconds that a window lasts at most; clocks that are set back make it an hour longer."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """A limit over a stretch of time.

    Attributes:
        name: Its name in the settings.
        per: Whether each tenant has its own, or `all` runs share one.
        every: How long it lasts.
        budget: The most that its runs may take together.
        tz: The time zone whose clock says when it begins anew.
        start_if_left: The unit and the amount (nano-USD for money) that must be left for a run to begin; `None` where
            any rest is enough.
    """

    name: str
    per: Literal["tenant", "all"]
    every: Every
    budget: Budget
    tz: str = "UTC"
    start_if_left: tuple[Unit, int] | None = None


def windows_in(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, WindowSettings]:
    """The windows that the table WINDOWS holds; one whose every limit was lifted is none."""
    found = {}
    for name, given in tables.items():
        budget = Budget(*(given.get(unit.lower()) for unit in LIMITS))
        if any(limit is not None for limit in budget.limits):
            found[name] = WindowSettings(
                name,
                given.get("per", "all"),
                given["every"],
                budget,
                given.get("tz", "UTC"),
                _least_left(budget, given.get("start_if_left")),
            )
    return found


def _least_left(budget: Budget, amount: Decimal | None) -> tuple[Unit, int] | None:
    if not amount:
        return None
    if budget.usd is not None:
        return "nano_usd", int((amount * NANO_USD_PER_USD).to_integral_value(ROUND_CEILING))
    unit = next(unit for unit in LIMITS if getattr(budget, unit.lower()) is not None)
    return cast("Unit", unit.lower()), int(amount.to_integral_value(ROUND_CEILING))


def check_windows(values: Mapping[str, Any], origin: Origin) -> None:
    """Raise a `ConfigError` with the line to add for the first window that could not be kept."""
    windows: dict[str, dict[str, str]] = {}
    for key in values:
        setting = setting_of(key)
        if setting is not None and setting.key.startswith("WINDOWS__*"):
            windows.setdefault(name_in(setting, key), {})[setting.key.removeprefix("WINDOWS__*__")] = key
    for name, keys in windows.items():
        table = f'[windows."{name}"]' if not name.replace("-", "").replace("_", "").isalnum() else f"[windows.{name}]"
        first = next(iter(keys.values()))
        limited = [unit for unit in LIMITS if unit in keys]
        if not limited:
            raise conflict(
                first,
                origin(first),
                f"the window {name!r} limits nothing",
                f"Add at least one of tokens, model_calls, tool_calls and usd to {table}, such as usd = 50.",
            )
        if "EVERY" not in keys:
            raise conflict(
                first,
                origin(first),
                f"nothing says how long the window {name!r} lasts",
                f'Add every = "day" to {table}; it may be hour, day, week or month.',
            )
        if "TZ" in keys:
            _check_time_zone(values[keys["TZ"]], keys["TZ"], origin(keys["TZ"]))
        if "START_IF_LEFT" in keys:
            in_force = [unit for unit in limited if values[keys[unit]] is not None]
            _check_start(values[keys["START_IF_LEFT"]], in_force, values, keys, origin)


def _check_time_zone(zone: str, key: str, source: str) -> None:
    if zone == "UTC":
        return
    import zoneinfo  # only where a window has a time zone of its own

    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        near = nearest(zone, known)
        fix = f"Did you mean {near}?" if near else "Names are like UTC, Europe/Berlin or America/New_York."
        if not known:
            fix = "This machine has no time zone database: install the package tzdata, or use UTC."
        raise conflict(key, source, f"there is no time zone {zone!r}", fix) from None


def _check_start(
    amount: Decimal, limited: list[str], values: Mapping[str, Any], keys: Mapping[str, str], origin: Origin
) -> None:
    key = keys["START_IF_LEFT"]
    if "USD" not in limited and len(limited) > 1:
        units = " and ".join(unit.lower() for unit in limited)
        raise conflict(
            key,
            origin(key),
            f"it is one figure, and the window has limits in {units} and none in USD, so its unit is not known",
            "Add a limit in usd, which it is read in then, or leave one of the others out.",
        )
    if not limited:
        return
    unit = "USD" if "USD" in limited else limited[0]
    if unit != "USD" and amount != amount.to_integral_value():
        raise conflict(
            key, origin(key), f"{amount} is no whole number of {unit.lower()}", "Write a whole number, such as 1."
        )
    if amount > values[keys[unit]]:
        raise conflict(
            key,
            origin(key),
            f"{amount} is more than the window's {unit.lower()} = {values[keys[unit]]}, so no run would ever begin",
            f"Set it below {values[keys[unit]]}.",
        )
