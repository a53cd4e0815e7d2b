"""A crew that is resumed from its checkpoint goes on as the run that it was, in the process that knows that run.

CrewAI restores another crew object from the file and kicks that off; the crew's id is the one thing that both have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mas_guard_crewai._frame import Frame
from mas_guard_crewai._structure import named

REMEMBERED = 1_000
_saved: dict[str, dict[str, Any]] = {}


def is_restored(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    """True where a kickoff with these arguments starts from a checkpoint."""
    given = keywords.get("from_checkpoint", arguments[2] if len(arguments) > 2 else None)
    return getattr(given, "restore_from", None) is not None


def save(frame: Frame) -> None:
    """Remember the run of a crew that writes checkpoints."""
    crew = frame.crew
    if not getattr(crew, "checkpoint", None) or not frame.run.has_history():
        return
    _saved.pop(str(crew.id), None)
    _saved[str(crew.id)] = frame.run.snapshot()
    while len(_saved) > REMEMBERED:
        _saved.pop(next(iter(_saved)))


def take_over(frame: Frame, crew: Any) -> None:
    """*crew* is what was restored for *frame*'s kickoff: its run goes on. Raises the stop that it had ended by."""
    frame.restoring, frame.crew, frame.owner = False, crew, named(crew, frame.run.owner)
    saved = _saved.get(str(crew.id))
    if saved is None or saved["mode"] != frame.run.policy.mode:
        return
    frame.run.adopt(saved, human_input=False)
    if frame.run.stop is not None and frame.run.policy.mode == "enforce":
        raise frame.run.raised()
