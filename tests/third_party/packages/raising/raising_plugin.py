"""A plugin of which every hook fails."""

from __future__ import annotations

from typing import Any

from mas_guard import hookimpl


@hookimpl
def mas_guard_before_call(call: Any, run: Any) -> Any:
    """Fail."""
    raise ZeroDivisionError("a bug of the plugin's own")


@hookimpl
def mas_guard_run_finished(run: Any, outcome: Any) -> None:
    """Fail."""
    raise KeyError("missing")


@hookimpl
def mas_guard_on_event(event: Any) -> None:
    """Fail."""
    raise OSError("no route to the dashboard")
