"""Finds the names of the models that an app object holds, as far as they can be reached from it.

A model that is made inside a function when the app runs is not found: `doctor --model NAME` asks about such a one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

MOST_OBJECTS = 50_000
_NAMES = ("model_name", "model", "model_id", "deployment_name")


def models_of(app: Any) -> list[str]:
    """The model names in *app*, sorted. Frameworks are recognised by their classes' names; none is imported."""
    found: set[str] = set()
    seen: set[int] = set()
    queue: list[Any] = [app]
    while queue and len(seen) < MOST_OBJECTS:
        thing = queue.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if _is_chat_model(thing):
            name = next((value for value in (getattr(thing, field, None) for field in _NAMES) if value), None)
            if isinstance(name, str):
                found.add(name)
        queue.extend(_inside(thing))
    return sorted(found)


def _is_chat_model(thing: Any) -> bool:
    return any(kind.__name__ in ("BaseChatModel", "BaseLLM") for kind in type(thing).__mro__)


def _inside(thing: Any) -> Iterable[Any]:
    if thing is None or isinstance(thing, str | bytes | int | float | type | ModuleType):
        return ()
    if isinstance(thing, Mapping):
        return list(thing.values()) if type(thing).__module__ == "builtins" else ()
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, FunctionType):
        return [*_cells(thing), *_globals_used(thing), *(thing.__defaults__ or ())]
    if isinstance(thing, MethodType):
        return (thing.__self__, thing.__func__)
    if isinstance(thing, functools.partial):
        return (thing.func, *thing.args, *thing.keywords.values())
    held = getattr(thing, "__dict__", None)
    values = list(held.values()) if isinstance(held, dict) else []
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            values.append(getattr(thing, slot, None))
    return values


def _cells(function: FunctionType) -> list[Any]:
    values = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a name that is not bound yet
            continue
    return values


def _globals_used(function: FunctionType) -> list[Any]:
    return [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
