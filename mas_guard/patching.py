"""Patches as a table: put in, and taken back exactly as far as they are still ours.

An adapter lists its seams as `Patch(module, name, make)`. `make(original)` returns the replacement. Plain
closures are used instead of proxies: a closure costs 0.04 µs a call, a proxy a whole one.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mas_guard._imports import import_watch
from mas_guard.errors import SeamMissing

logger = logging.getLogger("mas_guard")

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Patch:
    """One seam.

    Attributes:
        module: Where it is looked up, such as `langgraph.pregel._runner`.
        name: The attribute, dotted inside the module: `PregelLoop.after_tick`.
        make: Gets the original and returns the replacement.
        optional: True where a supported version may lack the seam.
        faithful: True for functions that a user may inspect: the replacement then shows the original's signature and
            kind (`inspect.isasyncgenfunction`), at about a microsecond a call.
    """

    module: str
    name: str
    make: Callable[[Any], Any]
    optional: bool = False
    faithful: bool = False


@dataclass(slots=True)
class _Applied:
    patch: Patch
    owner: Any
    attribute: str
    original: Any
    replacement: Any
    inherited: bool


class PatchSet:
    """A table of patches that is put in as a whole and taken back as a whole."""

    def __init__(self, target: str, patches: Iterable[Patch], *, once_loaded: str = "") -> None:
        """Patches of *target*; with *once_loaded* they go in when the app has imported that module, not before."""
        self.target = target
        self._once_loaded = once_loaded
        self._wanted = False
        self.patches = tuple(patches)
        self._applied: list[_Applied] = []

    @property
    def applied(self) -> bool:
        """True while the patches are in."""
        return bool(self._applied)

    def apply(self) -> None:
        """Put every patch in, or none: a missing seam is a `SeamMissing`."""
        self._wanted = True
        if self._applied:
            return
        if self._once_loaded and (self._once_loaded not in sys.modules or import_watch.under_way(self._once_loaded)):
            import_watch.when_imported(self._once_loaded, self._apply_if_wanted)
            return
        try:
            for patch in self.patches:
                self._apply_one(patch)
        except BaseException:
            self.remove()
            raise

    def _apply_if_wanted(self) -> None:
        if self._wanted:
            self.apply()

    def _apply_one(self, patch: Patch) -> None:
        *path, attribute = patch.name.split(".")
        try:
            owner: Any = importlib.import_module(patch.module)
            for name in path:
                owner = getattr(owner, name)
            inherited = attribute not in vars(owner)
            original = getattr(owner, attribute) if inherited else vars(owner)[attribute]
        except (ImportError, AttributeError) as error:
            if patch.optional:
                return
            raise SeamMissing(
                f"{self.target} has no {patch.module}:{patch.name}, where mas-guard stands. Use a supported version "
                "(mas-guard doctor lists them), or leave this adapter out with MAS_GUARD_DISABLE.",
                target=self.target,
                seam=f"{patch.module}:{patch.name}",
            ) from error
        replacement = _faithful(original, patch.make(original)) if patch.faithful else patch.make(original)
        setattr(owner, attribute, replacement)
        self._applied.append(_Applied(patch, owner, attribute, original, replacement, inherited))

    def remove(self) -> list[str]:
        """Take the patches back; where somebody wrapped on top, leave theirs and return the seam's name."""
        self._wanted = False
        left: list[str] = []
        for applied in reversed(self._applied):
            current = vars(applied.owner).get(applied.attribute, _ABSENT)
            if current is not applied.replacement:
                left.append(f"{applied.patch.module}:{applied.patch.name}")
            elif applied.inherited:
                delattr(applied.owner, applied.attribute)
            else:
                setattr(applied.owner, applied.attribute, applied.original)
        self._applied.clear()
        if left:
            logger.warning(
                "mas-guard left %s as they are: another library wrapped them on top. Ours does nothing there now.",
                ", ".join(left),
            )
        return left


def apply_all(patch_sets: Iterable[PatchSet]) -> None:
    """Put every set in, or none."""
    done: list[PatchSet] = []
    try:
        for patches in patch_sets:
            patches.apply()
            done.append(patches)
    except BaseException:
        for patches in done:
            patches.remove()
        raise


def _faithful(original: Any, replacement: Callable[..., Any]) -> Any:
    import wrapt

    def wrapper(wrapped: Any, instance: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return replacement(instance, *arguments, **keywords)

    return wrapt.FunctionWrapper(original, wrapper)
