"""Limits over a stretch of time, for each tenant or for all runs together: `[windows.NAME]` in the settings."""

from __future__ import annotations

from mas_guard.windows.at_start import refused_by_window
from mas_guard.windows.in_force import (
    WindowAccounts,
    accounts_of,
    is_over,
    look_at_windows,
    refusing_window,
    seconds_until_over,
    tell_of_refusal,
    windows_of,
)
from mas_guard.windows.opened import OpenWindow
from mas_guard.windows.periods import Period, period
from mas_guard.windows.scopes import root_of_run, window_scope

__all__ = [
    "OpenWindow",
    "Period",
    "WindowAccounts",
    "accounts_of",
    "is_over",
    "look_at_windows",
    "period",
    "refused_by_window",
    "refusing_window",
    "root_of_run",
    "seconds_until_over",
    "tell_of_refusal",
    "window_scope",
    "windows_of",
]
