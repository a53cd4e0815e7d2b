"""A turn of the run loop: the agent's activation around it, and where control goes after it.

At a stop the loop itself takes control home. A model call that was refused becomes a turn without a reply; a turn that
would lead anywhere else is made to lead to the owner, whose next call is the concluding one. What the framework does
around a turn (sessions, hooks, streams, states) it does for these turns as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from agents.exceptions import ModelBehaviorError
from agents.items import ModelResponse
from agents.run_internal.run_steps import (
    NextStepFinalOutput,
    NextStepHandoff,
    NextStepInterruption,
    NextStepRunAgain,
    SingleStepResult,
)
from agents.usage import Usage

from mas_guard import BudgetExceeded, GuardError, TurnLimitExceeded
from mas_guard.adapter import GuardStopped, check_time, current_step
from mas_guard_openai_agents._frame import Frame, active_frame
from mas_guard_openai_agents._signals import TurnsSignal

Make = Callable[..., Any]


def make_turn(original: Make) -> Make:
    """Wrap `run_single_turn`, `run_single_turn_streamed` and `resolve_interrupted_turn`, as their callers look them
    up."""

    @functools.wraps(original)
    async def turn(*arguments: Any, **keywords: Any) -> Any:
        frame = active_frame()
        if frame is None:
            return await original(*arguments, **keywords)
        bindings = keywords["bindings"] if "bindings" in keywords else arguments[1]
        agent = bindings.public_agent
        errors = frame.run.engine.plugins.errors
        try:
            step = frame.begin_turn(agent)
        except Exception as error:  # the guard's own bug never breaks the app
            errors.report("Beginning a turn of the Agents SDK", error)
            return await original(*arguments, **keywords)
        in_step = current_step.set(step)
        try:
            try:
                result = await original(*arguments, **keywords)
            except GuardStopped as stop:
                result = _turn_without_reply(frame, agent, stop, arguments, keywords)
            except ModelBehaviorError as error:
                if not _is_ours(frame, error):
                    raise
                result = _empty(frame, NextStepRunAgain(), arguments, keywords)
        finally:
            current_step.reset(in_step)
        try:
            _route(frame, agent, result)
        except GuardError:
            raise
        except Exception as error:
            errors.report("Routing after a turn of the Agents SDK", error)
        return result

    return turn


def _turn_without_reply(
    frame: Frame, agent: Any, stop: GuardStopped, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    """The turn of an agent whose model call was refused, or whose own limit ended it; raises where control can go
    nowhere."""
    run = frame.run
    if run.stop is None:
        delegator = frame.handed_by.get(agent.name)
        if delegator is None:  # whoever called it is the app, or the tool that this run is in
            if frame.opened:
                run.latch(stop).abort(f"nobody handed over to {agent.name!r}, whose own limit was reached")
                run.engine.record_stop(run)
            raise stop
        _rewind(frame, arguments, keywords)
        run.envelopes.settle_stop(run, agent.name, stop)
        run.note(f"agent {agent.name} was ended by its own limit: {stop}")
        run.visit(delegator.name)
        return _empty(frame, NextStepHandoff(delegator), arguments, keywords)
    if run.stop.phase != "latched" or not _may_conclude(frame):
        raise run.raised()
    _rewind(frame, arguments, keywords)
    return _empty(frame, NextStepRunAgain(), arguments, keywords)


def _is_ours(frame: Frame, error: Exception) -> bool:
    """True where the SDK has made an error of a reply that the guard's own cap cut off: the budget is what ended it.

    Raises the stop where control can go nowhere, and where the owner's answer is none that its output type takes.
    """
    run, cut, frame.cut = frame.run, frame.cut, None
    if run.policy.mode != "enforce":
        return False
    if run.stop is not None and run.stop.phase == "concluded":
        run.stop.next_action("the owner's concluding answer does not have its output type")
        if not _may_conclude(frame):
            raise run.raised() from error
        return True
    if cut is None or run.stop is not None:
        return False
    run.cut_by_cap = True
    run.latch(
        BudgetExceeded(
            f"Run {run.id}: a reply of {cut.model} was cut at {cut.output_cap} tokens, which is all that its budget had "
            "left for it, and the Agents SDK takes no part of a reply. Raise MAS_GUARD_BUDGET__TOKENS or "
            "MAS_GUARD_BUDGET__USD.",
            unit="tokens",
        )
    )
    run.engine.record_stop(run)
    if not _may_conclude(frame):
        raise run.raised() from error
    return True


def _may_conclude(frame: Frame) -> bool:
    stop = frame.run.stop
    return stop is not None and frame.root and stop.action in ("owner", "partial")


def _empty(frame: Frame, step: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    if arguments:  # the streamed loop keeps them on its result
        given, before = arguments[0].input, arguments[0]._model_input_items
    else:
        given = keywords["original_input"]
        before = keywords.get("generated_items") or keywords.get("original_pre_step_items") or []
    reply = ModelResponse(output=[], usage=Usage(), response_id=None)
    frame.placeholders.append(reply)
    return SingleStepResult(
        original_input=given,
        model_response=reply,
        pre_step_items=list(before),
        new_step_items=[],
        next_step=step,
        tool_input_guardrail_results=[],
        tool_output_guardrail_results=[],
    )


def _rewind(frame: Frame, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Where the provider keeps the history, what was about to be sent is marked as sent: it is still to be sent."""
    refused, frame.refused_input = frame.refused_input, None
    tracker = keywords.get("server_conversation_tracker")
    if tracker is None:
        tracker = next((argument for argument in arguments if hasattr(argument, "rewind_input")), None)
    if tracker is not None and isinstance(refused, list):
        tracker.rewind_input(refused)


def _route(frame: Frame, agent: Any, result: Any) -> None:
    """Decide where control goes after a turn."""
    run = frame.run
    step = result.next_step
    frame.items = (result.original_input, [*result.pre_step_items, *result.new_step_items])
    if isinstance(step, NextStepHandoff):
        frame.meet(step.new_agent)
    if run.policy.mode != "enforce" or isinstance(step, NextStepInterruption):
        return
    if run.stop is None and not isinstance(step, NextStepFinalOutput):
        _notice_time_and_turns(frame)
    if run.stop is None or not frame.root:
        return
    if run.stop.phase == "asked" or (run.stop.phase == "concluded" and not isinstance(step, NextStepFinalOutput)):
        run.stop.next_action("the owner's turn ended without an answer")
    while run.stop.phase == "latched" and run.stop.action in ("owner", "partial"):
        if run.stop.action == "owner":
            if _go_home(frame, agent, result):
                return
        elif _end_with_what_there_is(frame, agent, result):
            return


def _notice_time_and_turns(frame: Frame) -> None:
    run, turns = frame.run, frame.turns
    if run.may_be_late():
        try:
            check_time(run, None, concluding=False)
        except GuardStopped:
            return
    if turns is None or not turns.used_up or not frame.root or not run.owner_can_answer or not frame.has_others():
        return
    error = TurnLimitExceeded(
        f"Run {run.id} used all of its {int(turns)} turns (max_turns={int(turns)}). Let agents conclude sooner, or give "
        "the runner more: Runner.run(…, max_turns=…).",
        turns=int(turns),
    )
    vars(error)["message"] = f"Max turns ({int(turns)}) exceeded"
    run.signals.add(TurnsSignal)
    run.latch(error)
    run.engine.record_stop(run)


def _go_home(frame: Frame, agent: Any, result: Any) -> bool:
    """Give control to the owner, whose next turn is the concluding one; False where it cannot have it."""
    run = frame.run
    assert run.stop is not None
    owner = frame.owner()
    if owner is None:
        run.stop.next_action("the owner is no agent of this run")
        return False
    if not run.stop.begin_conclusion():
        return False
    result.next_step = NextStepRunAgain() if owner is agent else NextStepHandoff(owner)
    run.visit(owner.name)
    run.engine.event(run, "conclusion", agent=owner.name, rule=run.stop.error.rule, action="owner")
    return True


def _end_with_what_there_is(frame: Frame, agent: Any, result: Any) -> bool:
    """End normally with the last text that an agent gave; False where none can be given without inventing it."""
    run = frame.run
    assert run.stop is not None
    from agents.items import ItemHelpers, MessageOutputItem

    said = [item for item in frame.items[1] if isinstance(item, MessageOutputItem)]
    text = ItemHelpers.text_message_output(said[-1]) if said else ""
    if getattr(agent, "output_type", None) not in (None, str) or not text:
        run.stop.next_action("there is no text that could be the result")
        return False
    result.next_step = NextStepFinalOutput(text)
    return True
