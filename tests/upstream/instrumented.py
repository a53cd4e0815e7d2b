"""A pytest plugin that guards a framework's own suite: enforce mode, every setting at its default."""

from __future__ import annotations

from typing import Any

import pytest

import mas_guard

_of_workers: list[dict[str, Any]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Arm before the suite's first import of the framework, which its own conftest makes."""
    mas_guard.instrument()


def pytest_sessionfinish(session: Any) -> None:
    """Where tests run in worker processes, these know what was armed; their master has run nothing."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["mas_guard"] = _status()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker process says; one that crashed says nothing."""
    _of_workers.append(getattr(node, "workeroutput", {}).get("mas_guard", {"armed": {}, "internal_errors": 0}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say that the guard really was armed, in every process that ran tests."""
    statuses = _of_workers or [_status()]
    everywhere = set.intersection(*(set(status["armed"].items()) for status in statuses))
    armed = ", ".join(f"{name} {version}" for name, version in sorted(everywhere))
    errors = sum(status["internal_errors"] for status in statuses)
    terminalreporter.write_line(f"mas-guard armed: {armed or 'nothing'}; internal errors: {errors}")


def _status() -> dict[str, Any]:
    status = mas_guard.status()
    return {"armed": status["armed"], "internal_errors": status["internal_errors"]}
