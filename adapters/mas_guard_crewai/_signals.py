"""What CrewAI lets pass where it swallows or retries every other exception."""

from __future__ import annotations

from typing import Any

from crewai.hooks.dispatch import HookAborted


class CrewStopped(HookAborted):
    """A deliberate stop: no retry of a task, a tool's caller or a flow takes it for a failure."""

    source: Any = None

    @property
    def reason(self) -> str:
        """What CrewAI shows: the stop's own message."""
        return str(self)
