"""A task with `human_input=True`: CrewAI asks on the console, where in a server nobody is.

Where a review channel is configured, and the app has set no provider of its own, the answer is put to a person through it.
The run's clock stands still while somebody is asked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import Run, current_run, current_step, put_answer_to_person

Make = Callable[..., Any]

REASON = "the task asks for human input"


def make_feedback(original: Make) -> Make:
    """Wrap `AgentExecutor._handle_human_feedback`."""

    @functools.wraps(original)
    def _handle_human_feedback(self: Any, formatted_answer: Any) -> Any:
        run = current_run.get()
        if run is None:
            return original(self, formatted_answer)
        if _by_review(run):
            return _decided(run, formatted_answer)
        run.clock.pause()
        try:
            return original(self, formatted_answer)
        finally:
            run.clock.go_on()

    return _handle_human_feedback


def make_afeedback(original: Make) -> Make:
    """Wrap `AgentExecutor._ahandle_human_feedback`."""

    @functools.wraps(original)
    async def _ahandle_human_feedback(self: Any, formatted_answer: Any) -> Any:
        run = current_run.get()
        if run is None:
            return await original(self, formatted_answer)
        if _by_review(run):
            return _decided(run, formatted_answer)
        run.clock.pause()
        try:
            return await original(self, formatted_answer)
        finally:
            run.clock.go_on()

    return _ahandle_human_feedback


def _by_review(run: Run) -> bool:
    """True where a person is asked through the review channel instead of the console."""
    from crewai.core.providers.human_input import SyncHumanInputProvider, get_provider

    channel = run.policy.review.channel
    if channel in (None, "terminal") or run.policy.mode != "enforce":
        return False
    return type(get_provider()) is SyncHumanInputProvider  # the app's own provider is the app's own affair


def _decided(run: Run, answer: Any) -> Any:
    step = current_step.get()
    output = answer.output
    text = output if isinstance(output, str) else str(getattr(output, "model_dump_json", output.__str__)())
    told = put_answer_to_person(run, step.agent if step is not None else "", text, REASON)
    if told != text:
        answer.output = told
    return answer
