"""Opening a run for a crew, a flow or an agent, and driving it to its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import CallOutcome, GuardStopped, Run, Scope, drive, drive_async, results, run_flow
from mas_guard_crewai._frame import current_activation, current_frame
from mas_guard_crewai._sent import current_sent
from mas_guard_crewai._signals import CrewStopped
from mas_guard_crewai._translate import reply_text

if TYPE_CHECKING:
    from mas_guard_crewai._adapter import CrewAIAdapter, Mark


def open_for(
    adapter: CrewAIAdapter, app: Any, name: str, *, mark: Mark | None = None, within: Run | None = None
) -> tuple[Run, Mark] | None:
    """A new run for *app*, and the mark that it runs under; `None` where it is not guarded."""
    mark = mark if mark is not None else adapter.mark_of(app)
    if mark is None:
        if adapter.marks:
            adapter.guard.unwrapped_app(f"CrewAI {type(app).__name__} {name!r}")
        return None
    run = adapter.guard.open_run(mark.policy, name=name, tenant=mark.options.get("tenant"), within=within)
    run.signals.add(CrewStopped)
    return run, mark


def drive_run(
    adapter: CrewAIAdapter,
    run: Run,
    mark: Mark,
    send: Callable[[], Any],
    state: Callable[[], Any] = lambda: None,
    scope: Scope = (),
) -> Any:
    """Carry *send* out as *run*; what it returns leads to the outcome."""
    flow = run_flow(
        run, state=state, on_outcome=adapter.guard.on_outcome(mark.policy, mark.options), scope=(*_FRESH, *scope)
    )

    def sending() -> Any:
        try:
            return send()
        except GuardStopped:
            _nothing_in_place(run)
            raise

    result = drive(flow, sending, read_result, run.engine.plugins.errors)
    _remember(result, run)
    return result


async def drive_run_async(
    adapter: CrewAIAdapter,
    run: Run,
    mark: Mark,
    send: Callable[[], Awaitable[Any]],
    state: Callable[[], Any] = lambda: None,
    scope: Scope = (),
) -> Any:
    """The same on an event loop."""
    flow = run_flow(
        run, state=state, on_outcome=adapter.guard.on_outcome(mark.policy, mark.options), scope=(*_FRESH, *scope)
    )

    async def sending() -> Any:
        try:
            return await send()
        except GuardStopped:
            _nothing_in_place(run)
            raise

    result = await drive_async(flow, sending, read_result, run.engine.plugins.errors)
    _remember(result, run)
    return result


def read_result(result: Any) -> CallOutcome:
    """How a run ended that raised nothing."""
    raw = getattr(result, "raw", result)
    return CallOutcome(reply_text(raw) if isinstance(raw, str) or hasattr(raw, "model_dump_json") else "")


def on_event_loop() -> bool:
    """True where an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _nothing_in_place(run: Run) -> None:
    """The stop is on its way out: no result could be made of what there is, and control came back to nobody."""
    stop = run.stop
    while stop is not None and stop.action in ("owner", "partial"):
        stop.next_action("there is no result to give in its place")


def _remember(result: Any, run: Run) -> None:
    if run.outcome is not None:
        results.remember(result, run.outcome)


_FRESH: Scope = ((current_frame, None), (current_activation, None), (current_sent, None))
