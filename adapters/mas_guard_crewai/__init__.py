"""CrewAI's adapter. This front door holds metadata only; it does not import CrewAI."""

from __future__ import annotations

from mas_guard.adapter import Adapter, hookimpl
from mas_guard_crewai._adapter import CrewAIAdapter

_adapter = CrewAIAdapter()


@hookimpl
def mas_guard_adapters() -> list[Adapter]:
    """The one adapter of this package."""
    return [_adapter]
