"""The OpenAI Agents SDK's adapter. This front door holds metadata only; it does not import the SDK."""

from __future__ import annotations

from mas_guard.adapter import Adapter, hookimpl
from mas_guard_openai_agents._adapter import OpenAIAgentsAdapter

_adapter = OpenAIAgentsAdapter()


@hookimpl
def mas_guard_adapters() -> list[Adapter]:
    """The one adapter of this package."""
    return [_adapter]
