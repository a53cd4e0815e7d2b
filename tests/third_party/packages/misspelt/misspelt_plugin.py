"""A plugin that misspells a hook."""

from __future__ import annotations

from typing import Any

from mas_guard import hookimpl


@hookimpl
def mas_guard_befor_call(call: Any, run: Any) -> Any:
    """Never called: the name has lost a letter."""
