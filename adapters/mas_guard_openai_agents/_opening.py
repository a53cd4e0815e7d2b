"""How a run begins: opened for a wrapped agent or one that it can reach, joined inside of another run, or resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.run_config import DEFAULT_MAX_TURNS
from agents.run_state import RunState

from mas_guard import GuardError
from mas_guard.adapter import Run, current_run, inner_app_scope
from mas_guard.types import UNITS
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
    if outer is not None:
        frame = _join(outer, agent, adapter.marks.get(agent))
        _note_options(frame, keywords)
        return frame
    found = adapter.mark_of(agent)
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
    frame.chains = bool(keywords.get("auto_previous_response_id"))
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
    if saved is None or run.policy.resume == "new_run":
        return
    if not _is_whole(saved):
        run.note("the state's record of its run could not be read: this is a run of its own, with new limits")
        return
    if saved["mode"] != run.policy.mode:
        return  # what was only observed never counts against a run that is enforced
    # An approval decides about the run's own work; only what the user adds to it is a human's input.
    run.adopt(saved, human_input=bool(getattr(state, "_pending_input", None)))
    frame.resumed = state


def _is_whole(saved: dict[str, Any]) -> bool:
    """True where a record has what a run goes on from, of the kinds that it was written with."""
    spent, stop = saved.get("spent"), saved.get("stop")
    return (
        isinstance(saved.get("id"), str)
        and saved.get("mode") in ("enforce", "observe")
        and isinstance(saved.get("hops"), int)
        and isinstance(saved.get("elapsed"), int | float)
        and isinstance(spent, list)
        and len(spent) == len(UNITS)
        and all(isinstance(amount, int) for amount in spent)
        and all(isinstance(saved.get(names), list) for names in ("path", "agents"))
        and (stop is None or (isinstance(stop, dict) and {"rule", "message", "kind"} <= stop.keys()))
    )


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
