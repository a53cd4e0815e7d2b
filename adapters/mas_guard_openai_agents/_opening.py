"""How a run begins: opened for a wrapped agent or one that it can reach, joined inside of another run, or resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.run_config import DEFAULT_MAX_TURNS
from agents.run_state import RunState

from mas_guard import GuardError
from mas_guard.adapter import Run, current_run, inner_app_scope
from mas_guard_openai_agents._frame import Frame, states
from mas_guard_openai_agents._signals import StopSignal
from mas_guard_openai_agents._turns import Turns

if TYPE_CHECKING:
    from mas_guard_openai_agents._adapter import Mark, OpenAIAgentsAdapter


def frame_for(adapter: OpenAIAgentsAdapter, agent: Any, input: Any, keywords: dict[str, Any]) -> Frame | None:
    """The frame of the run that begins here, opened or joined; `None` where it is not guarded."""
    try:
        return _frame(adapter, agent, input, keywords)
    except GuardError:
        raise
    except Exception as error:  # the guard's own bug never breaks the app
        adapter.guard.engine.plugins.errors.report("Opening a run of the Agents SDK", error)
        return None


def _frame(adapter: OpenAIAgentsAdapter, agent: Any, input: Any, keywords: dict[str, Any]) -> Frame | None:
    if not hasattr(agent, "handoffs"):
        return None
    outer = current_run.get()
    found = adapter.mark_of(agent)
    if outer is not None:
        frame = _join(outer, agent, adapter.marks.get(agent))
        _note_options(frame, keywords)
        return frame
    if found is None:
        if adapter.marks:
            adapter.guard.unwrapped_app(f"Agents SDK agent {agent.name!r}")
        return None
    entry, mark = found
    run = adapter.guard.open_run(
        mark.policy,
        name=entry.name,
        thread=_thread(keywords),
        tenant=mark.options.get("tenant"),
    )
    run.signals.add(StopSignal)
    frame = Frame(run, entry, mark, agent, root=True)
    frame.opened = True
    frame.items = (input._original_input if isinstance(input, RunState) else input, [])
    frame.own()
    frame.meet(agent)
    if isinstance(input, RunState):
        _resume(frame, input)
    _note_options(frame, keywords)
    return frame


def _note_options(frame: Frame, keywords: dict[str, Any]) -> None:
    """What the app's own options for the run mean for the guard."""
    config = keywords.get("run_config")
    options = config if isinstance(config, dict) else getattr(config, "__dict__", {})
    frame.answers_unknown_tools = options.get("tool_not_found_behavior") == "return_error_to_model"
    if options.get("sandbox") is not None:
        frame.unguarded = "what agents do in their sandbox is not counted or checked"


def _thread(keywords: dict[str, Any]) -> str:
    """The session's or the conversation's id, where there is one yet."""
    try:
        found = getattr(keywords.get("session"), "session_id", None) or keywords.get("conversation_id")
    except Exception:  # a session that has its id only once it was written to
        return ""
    return str(found or "")


def _join(run: Run, agent: Any, mark: Mark | None) -> Frame:
    run.signals.add(StopSignal)
    frame = Frame(run, agent, mark, agent, root=False)
    if frame.outer is not None and frame.outer.run is run:
        run.agents.add(frame.outer.agent)  # whoever has another agent run asks a model through it
    # A run that another boundary opened and that nobody owns yet, or an agent of this tree: the owner is in here.
    if "openai_agents" not in run.adapter_state and (not run.owner or frame.owner() is not None):
        run.adapter_state["openai_agents"] = frame
        frame.root = True
        frame.own()
    if mark is not None:
        frame.outer = inner_app_scope(run, frame.outer, agent.name, mark.policy)
    return frame


def _resume(frame: Frame, state: RunState[Any]) -> None:
    run, saved = frame.run, states.get(state)
    if saved is None or saved["mode"] != run.policy.mode or run.policy.resume == "new_run":
        return
    # An approval decides about the run's own work; only what the user adds to it is a human's input.
    run.adopt(saved, human_input=bool(getattr(state, "_pending_input", None)))
    frame.start_is_resumed = True


def with_room(frame: Frame, input: Any, keywords: dict[str, Any]) -> dict[str, Any]:
    """Make room for the owner's concluding turn where `max_turns` may end the run before anything else does."""
    run, policy = frame.run, frame.run.policy
    resumed = isinstance(input, RunState)
    limit = input._max_turns if resumed else keywords.get("max_turns", DEFAULT_MAX_TURNS)
    if not frame.root or policy.mode != "enforce" or limit is None or isinstance(limit, Turns):
        return keywords
    turns = Turns(limit, lambda: run.stop is not None and run.stop.phase != "latched")
    handled = (keywords.get("error_handlers") or {}).get("max_turns") is not None
    if policy.rule_mode("turns") == "enforce" and policy.on_limit[0] == "owner" and not handled:
        frame.turns = turns
    if resumed:
        input._max_turns = turns
        return keywords
    return {**keywords, "max_turns": turns}
