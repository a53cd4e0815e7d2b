"""`Task._execute_core` and its asynchronous twin: every task of a crew passes one of them, in whichever thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import GuardStopped, current_run
from mas_guard_crewai._frame import Frame, current_frame
from mas_guard_crewai._structure import role_of

Make = Callable[..., Any]


def make_execute(original: Make) -> Make:
    """Wrap `Task._execute_core`."""

    @functools.wraps(original)
    def _execute_core(self: Any, agent: Any, context: Any, tools: Any) -> Any:
        frame = _frame()
        if frame is None:
            return original(self, agent, context, tools)
        role = role_of(agent or self.agent)
        why = frame.held_back(self, role)
        if why:
            return frame.skipped(self, role, why)
        frame.comes_to(role)
        try:
            output = original(self, agent, context, tools)
        except GuardStopped as stop:
            return frame.stopped(self, role, stop)
        except Exception as error:
            return frame.failed(self, role, error)
        return frame.done(self, role, output)

    return _execute_core


def make_aexecute(original: Make) -> Make:
    """Wrap `Task._aexecute_core`."""

    @functools.wraps(original)
    async def _aexecute_core(self: Any, agent: Any, context: Any, tools: Any) -> Any:
        frame = _frame()
        if frame is None:
            return await original(self, agent, context, tools)
        role = role_of(agent or self.agent)
        why = frame.held_back(self, role)
        if why:
            return frame.skipped(self, role, why)
        frame.comes_to(role)
        try:
            output = await original(self, agent, context, tools)
        except GuardStopped as stop:
            return frame.stopped(self, role, stop)
        except Exception as error:
            return frame.failed(self, role, error)
        return frame.done(self, role, output)

    return _aexecute_core


def _frame() -> Frame | None:
    run, frame = current_run.get(), current_frame.get()
    return frame if frame is not None and run is frame.run else None
