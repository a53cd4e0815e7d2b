"""The LangGraph adapter. This front door holds metadata only; it imports neither LangGraph nor LangChain."""

from __future__ import annotations

from mas_guard.adapter import Adapter, hookimpl
from mas_guard_langgraph._adapter import LangGraphAdapter

_adapter = LangGraphAdapter()


@hookimpl
def mas_guard_adapters() -> list[Adapter]:
    """The one adapter of this package."""
    return [_adapter]
