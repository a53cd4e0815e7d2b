"""Carries the run into threads that the app starts, which would otherwise be outside of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

from mas_guard._group import current_groups
from mas_guard._live_call import live_call
from mas_guard._run import current_run
from mas_guard._step_scope import current_step
from mas_guard.patching import Patch, PatchSet

_CARRIED: tuple[ContextVar[Any], ...] = (current_run, current_step, live_call, current_groups)


def _carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    values = [(variable, variable.get()) for variable in _CARRIED if variable.get(None)]

    def carried(*arguments: Any, **keywords: Any) -> Any:
        tokens = [(variable, variable.set(value)) for variable, value in values]
        try:
            return function(*arguments, **keywords)
        finally:
            for variable, token in reversed(tokens):
                variable.reset(token)

    return carried


def _make_submit(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(self: Any, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        # Who hands over `Context.run` carries the whole context already.
        if (current_run.get() is None and not current_groups.get()) or type(
            getattr(function, "__self__", None)
        ) is Context:
            return original(self, function, *arguments, **keywords)
        return original(self, _carrying(function), *arguments, **keywords)

    submit.__wrapped__ = original  # type: ignore[attr-defined]
    return submit


def _make_start(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: threading.Thread) -> Any:
        if (current_run.get() is not None or current_groups.get()) and not _serves_others(self):
            self.run = _carrying(self.run)  # type: ignore[method-assign]
        return original(self)

    start.__wrapped__ = original  # type: ignore[attr-defined]
    return start


def _serves_others(thread: threading.Thread) -> bool:
    """True for a worker of a pool: it outlives the run that happened to start it, and each of its jobs brings its own."""
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", "") == "concurrent.futures.thread" or type(thread).__module__.startswith(
        "anyio."
    )


thread_patches = PatchSet(
    "python",
    (
        Patch("concurrent.futures.thread", "ThreadPoolExecutor.submit", _make_submit),
        Patch("threading", "Thread.start", _make_start),
    ),
)
