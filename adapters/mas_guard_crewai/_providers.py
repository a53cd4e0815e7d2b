"""The classes of models, of CrewAI and of the app: each is wrapped where it defines a method, also those that are loaded later.

CrewAI calls a class's own method unbound from its retry wrapper, so the seam is put on top of that wrapper and nowhere
below.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from mas_guard_crewai import _caps, _model

_MAKES: dict[str, Callable[..., Any]] = {
    "call": _model.make_call,
    "acall": _model.make_acall,
    **dict.fromkeys(_caps.BUILDERS, _caps.make_builder),
}
_wrapped: dict[tuple[type, str], tuple[Any, Any]] = {}


def put_in() -> None:
    """Wrap every class of models that is there."""
    from crewai.llms.base_llm import BaseLLM

    for kind in _below(BaseLLM):
        _wrap(kind)


def take_out() -> list[str]:
    """Leave the classes as they were; returns those that somebody wrapped on top."""
    left = []
    for (kind, name), (original, replacement) in _wrapped.items():
        if vars(kind).get(name) is replacement:
            setattr(kind, name, original)
        else:
            left.append(f"{kind.__module__}:{kind.__name__}.{name}")
    _wrapped.clear()
    return left


def make_wrap_call_method(original: Any) -> Any:
    """Wrap `BaseLLM._wrap_call_method`, which every class of models passes when it is made."""
    plain = original.__func__ if isinstance(original, classmethod) else original

    @functools.wraps(plain)
    def _wrap_call_method(cls: type, method_name: str) -> Any:
        result = plain(cls, method_name)
        _wrap(cls)
        return result

    return classmethod(_wrap_call_method)


def _below(kind: Any) -> Iterator[type]:
    one: type
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _wrap(kind: type) -> None:
    for name, make in _MAKES.items():
        original = vars(kind).get(name)
        # `call` is looked at again after CrewAI has wrapped it: before that it is not the method that is called.
        if not callable(original) or (kind, name) in _wrapped:
            continue
        if name in ("call", "acall") and not getattr(original, "_crewai_rate_limit_wrapped", False):
            continue
        replacement = make(original)
        setattr(kind, name, replacement)
        _wrapped[kind, name] = (original, replacement)
