"""Every seam in one table.

The SDK's public hooks cannot do it: they are not inherited by agents used as tools, cannot refuse a handoff, and their
errors are turned into others on the way. These functions are private; they are the same from 0.20 to 0.24 in what they
take by name and give back, they are looked up when arming and fail loudly where missing, and the SDK's own suite runs
over the oldest and the newest supported version. The SDK imports them by value, so each is patched where it is used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mas_guard.adapter import Patch, PatchSet
from mas_guard_openai_agents import _boundary, _effect, _handoff, _model, _realtime, _state, _tool, _turn

if TYPE_CHECKING:
    from mas_guard_openai_agents._adapter import OpenAIAgentsAdapter


def patch_sets(adapter: OpenAIAgentsAdapter) -> tuple[PatchSet, ...]:
    """The patches of the SDK, and those of its realtime part, which most apps never import."""
    run, internal = "agents.run", "agents.run_internal"
    return (
        PatchSet(
            "openai-agents",
            (
                Patch(run, "AgentRunner.run", partial(_boundary.make_run, adapter)),
                Patch(run, "AgentRunner.run_sync", _boundary.make_run_sync),
                Patch(run, "AgentRunner.run_streamed", partial(_boundary.make_run_streamed, adapter)),
                Patch(run, "start_streaming", partial(_boundary.make_start_streaming, adapter)),
                Patch("agents.result", "RunResultStreaming.stream_events", _boundary.make_stream_events),
                Patch(run, "run_single_turn", _turn.make_turn),
                Patch(run, "resolve_interrupted_turn", _turn.make_turn),
                Patch(f"{internal}.run_loop", "run_single_turn_streamed", _turn.make_turn),
                Patch(f"{internal}.run_loop", "resolve_interrupted_turn", _turn.make_turn),
                Patch(f"{internal}.run_loop", "get_model", _model.make_get_model),
                Patch(f"{internal}.turn_resolution", "process_model_response", _handoff.make_process_response),
                Patch(f"{internal}.turn_resolution", "execute_handoffs", _handoff.make_execute),
                Patch(f"{internal}.tool_execution", "_invoke_function_tool_with_metadata", _tool.make_invoke),
                Patch("agents.tool", "_invoke_function_tool_with_metadata", _tool.make_invoke),
                Patch("agents.tool", "maybe_invoke_function_tool_failure_error_function", _effect.make_failure),
                Patch("agents.result", "RunResult.to_state", _state.make_to_state),
                Patch("agents.result", "RunResultStreaming.to_state", _state.make_to_state),
                Patch("agents.run_state", "RunState.to_json", _state.make_to_json),
                Patch("agents.run_state", "_build_run_state_from_json", _state.make_build),
            ),
        ),
        PatchSet(
            "openai-agents",
            (Patch("agents.realtime.runner", "RealtimeRunner.run", _realtime.make_run),),
            once_loaded="agents.realtime.runner",
        ),
    )
