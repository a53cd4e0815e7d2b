"""A crew that is resumed from its checkpoint goes on as the run that it was: in the process that knows that run, and, where
processes share a store, in every other one.

CrewAI restores another crew object from the file and kicks that off; the crew's id is the one thing that both have. Which
run it is stands in a shared store from the kickoff on, so that a process that is killed leaves its run to be gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mas_guard_crewai._frame import Frame
from mas_guard_crewai._structure import named

CREWS = "crews"
REMEMBERED = 1_000
_saved: dict[str, dict[str, Any]] = {}


def is_restored(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    """True where a kickoff with these arguments starts from a checkpoint."""
    given = keywords.get("from_checkpoint", arguments[2] if len(arguments) > 2 else None)
    return getattr(given, "restore_from", None) is not None


def begin(frame: Frame) -> None:
    """Tell other processes which run this is, where its crew writes checkpoints that they can go on from."""
    if getattr(frame.crew, "checkpoint", None) and frame.run.store.shared and not frame.restoring:
        _share(frame)


def save(frame: Frame) -> None:
    """Remember the run of a crew that writes checkpoints."""
    crew = frame.crew
    if not getattr(crew, "checkpoint", None) or not frame.run.has_history():
        return
    _saved.pop(str(crew.id), None)
    _saved[str(crew.id)] = frame.run.snapshot()
    while len(_saved) > REMEMBERED:
        _saved.pop(next(iter(_saved)))
    if frame.run.store.shared:
        _share(frame)


def _share(frame: Frame) -> None:
    run = frame.run
    try:
        records = run.store.records
        records.put(CREWS, str(frame.crew.id), run.snapshot(), keep=run.policy.retention)
    except Exception as error:  # a store that is down must not take the crew with it
        run.engine.plugins.errors.report("Recording which run a crew is", error)


def take_over(frame: Frame, crew: Any) -> None:
    """*crew* is what was restored for *frame*'s kickoff: its run goes on. Raises the stop that it had ended by."""
    frame.restoring, frame.crew, frame.owner = False, crew, named(crew, frame.run.owner)
    saved = _saved.get(str(crew.id)) or _shared(frame, crew)
    if saved is None or saved["mode"] != frame.run.policy.mode:
        return
    frame.run.adopt(saved, human_input=False)
    if frame.run.stop is not None and frame.run.policy.mode == "enforce":
        raise frame.run.raised()


def _shared(frame: Frame, crew: Any) -> dict[str, Any] | None:
    if not frame.run.store.shared:
        return None
    found = frame.run.store.records.get(CREWS, str(crew.id))
    return None if found is None else found.value
