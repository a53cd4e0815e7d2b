"""A pytest plugin that guards a framework's own suite: enforce mode, every setting at its default."""

from __future__ import annotations

from typing import Any

import mas_guard


def pytest_configure(config: Any) -> None:
    """Arm before the suite's first import of the framework."""
    mas_guard.instrument()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say that the guard really was armed."""
    status = mas_guard.status()
    terminalreporter.write_line(f"mas-guard armed: {status['armed']}, internal errors: {status['internal_errors']}")
