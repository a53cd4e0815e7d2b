"""A tool call that waits for a person, as LangGraph's own interrupt: the graph is suspended, and resumed with the answer."""

from __future__ import annotations

from mas_guard.adapter import Run, ToolCall, pause_payload, settle_pause
from mas_guard_langgraph._frame import current_task


def can_pause(run: Run) -> bool:
    """True where the app asked for it and this graph can be resumed: it has a checkpointer."""
    if run.policy.review.channel != "interrupt":
        return False
    inside = current_task.get()
    return inside is not None and inside[0].run is run and getattr(inside[0].loop, "checkpointer", None) is not None


def ask_person(run: Run, call: ToolCall) -> None:
    """Suspend the graph with the review that *call* waits for; on a resume take its answer.

    An answer that cannot be read suspends the graph once more, with what was wrong: whatever it was resumed with is kept
    by the checkpointer, so a raised error would come again with every resume.
    """
    from langgraph.types import interrupt

    problem = ""
    while call.waits_for:
        try:
            payload = pause_payload(run, call, problem)
        except Exception as error:  # a store that is down: the call is answered as one that nobody could be asked about
            run.engine.plugins.errors.report("Pausing for a review", error)
            call.pauses, call.waits_for = False, ""
            return
        problem = settle_pause(run, call, interrupt(payload))
