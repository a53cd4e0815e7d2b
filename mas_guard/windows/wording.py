"""What is said of a window that refuses: whose it is, what is spent, when it begins anew, and what raises it."""

from __future__ import annotations

from datetime import datetime

from mas_guard.types import NANO_USD_PER_USD, Unit
from mas_guard.windows.opened import OpenWindow
from mas_guard.windows.periods import zone_of

SETTING = {"tokens": "tokens", "model_calls": "model_calls", "tool_calls": "tool_calls", "nano_usd": "usd"}
NAME = {"tokens": "tokens", "model_calls": "model calls", "tool_calls": "tool calls", "nano_usd": "USD"}


def level_of(window: OpenWindow) -> str:
    """*window* as the subject of a sentence."""
    name = f"Window {window.settings.name!r}"
    whose = (
        ""
        if window.tenant is None
        else f" of tenant {window.tenant!r}"
        if window.tenant
        else " of runs without a tenant"
    )
    return f"{name}{whose} ({window.period.name})"


def setting_of(window: OpenWindow, unit: Unit) -> str:
    """The line of the settings that raises *window*."""
    name = window.settings.name
    plain = name.replace("-", "").replace("_", "")
    table = name if plain.isascii() and plain.isalnum() else f'"{name}"'
    return f"[windows.{table}] {SETTING[unit]}"


def begins_anew(window: OpenWindow) -> str:
    """When *window* begins anew, by its own clock."""
    zone = zone_of(window.settings.tz)
    return f"{datetime.fromtimestamp(window.period.end, zone):%Y-%m-%d %H:%M} ({window.settings.tz})"


def figure(unit: Unit, amount: int) -> str:
    """*amount* as people read it."""
    return f"{amount / NANO_USD_PER_USD:.6f}" if unit == "nano_usd" else f"{amount:,}".replace(",", " ")
