"""Whether what a carrier brings is what `inject` writes: it may have been written by a stranger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mas_guard.types import UNITS

TEXTS = ("id", "mode", "owner", "tenant", "origin")
NUMBERS = ("hops", "elapsed", "at")
RUN_LIMITS = len(UNITS) + 2  # with the hops and the deadline


def is_whole(state: Any) -> bool:
    """True where every part of *state* that is read elsewhere is of the kind that it is expected to be."""
    return (
        isinstance(state, dict)
        and state.get("v") == 1
        and all(isinstance(state.get(name) or "", str) for name in TEXTS)
        and all(_is_number(state.get(name, 0)) for name in NUMBERS)
        and all(isinstance(agent, str) for agent in _listed(state, "path"))
        and _are_limits(state.get("spent", [0] * len(UNITS)), len(UNITS), lifted=False)
        and (not state.get("origin") or _are_limits(state.get("limits"), RUN_LIMITS))
        and all(_is_group(group) for group in _listed(state, "groups"))
    )


def _listed(state: Mapping[str, Any], name: str) -> list[Any]:
    found = state.get(name, [])
    return found if isinstance(found, list) else [None]  # which nothing takes for one of its own


def _is_group(group: Any) -> bool:
    return (
        isinstance(group, dict)
        and all(isinstance(group.get(name), str) and group[name] for name in ("name", "scope", "origin"))
        and _are_limits(group.get("limits"), len(UNITS))
    )


def _are_limits(found: Any, length: int, *, lifted: bool = True) -> bool:
    return (
        isinstance(found, list)
        and len(found) == length
        and all(_is_number(limit) or (lifted and limit is None) for limit in found)
    )


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < float("inf")
