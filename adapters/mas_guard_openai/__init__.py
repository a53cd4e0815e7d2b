"""The raw OpenAI client's adapter. This front door holds metadata only; it does not import the client."""

from __future__ import annotations

from mas_guard.adapter import Adapter, hookimpl
from mas_guard_openai._adapter import OpenAIAdapter

_adapter = OpenAIAdapter()


@hookimpl
def mas_guard_adapters() -> list[Adapter]:
    """The one adapter of this package."""
    return [_adapter]
