"""Keeps something beside an object of a framework, without a trace on the object and only as long as it lives.

Some compare by value or cannot be hashed, so they are known by identity.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Kept = TypeVar("Kept")


class Beside(Generic[Kept]):
    """A table from objects, by identity and weakly, to what is kept beside them."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Any], Kept]] = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def put(self, thing: Any, value: Kept) -> None:
        """Keep *value* beside *thing*."""
        key = id(thing)
        kept = self._kept

        def gone(reference: weakref.ref[Any]) -> None:
            if key in kept and kept[key][0] is reference:
                del kept[key]

        kept[key] = (weakref.ref(thing, gone), value)

    def get(self, thing: Any) -> Kept | None:
        """What is kept beside *thing*; `None` for nothing."""
        found = self._kept.get(id(thing))
        return found[1] if found is not None and found[0]() is thing else None

    def items(self) -> Iterator[tuple[Any, Kept]]:
        """Every living thing with what is kept beside it, the latest first."""
        for reference, value in reversed(list(self._kept.values())):
            thing = reference()
            if thing is not None:
                yield thing, value
