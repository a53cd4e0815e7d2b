"""Arms the seams. There is no app to wrap: a client is guarded wherever it is used inside a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mas_guard.adapter import Adapter, PatchSet

if TYPE_CHECKING:
    from mas_guard import Guard


class OpenAIAdapter(Adapter):
    """Requests of `OpenAI` and `AsyncOpenAI`, Azure's clients included."""

    name = "openai"
    target = "openai"
    supports = ">=2,<4"
    module = "openai"

    def __init__(self) -> None:
        self._patches: PatchSet | None = None

    def arm(self, guard: Guard) -> None:
        """Put the seams in."""
        del guard  # the run that a request is made in brings its own
        from mas_guard_openai import _patches

        if self._patches is None:
            self._patches = _patches.patch_set()
        self._patches.apply()

    def disarm(self) -> list[str]:
        """Take the seams back."""
        return self._patches.remove() if self._patches is not None else []
