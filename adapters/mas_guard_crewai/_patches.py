"""Every seam in one table.

CrewAI has hooks and an event bus. A hook that raises anything but its own abort is swallowed and the call goes on; hooks
miss models that are called outside of an agent's loop, and an agent that was made before a hook never hears it. Its
event handlers cannot stop anything. So we stand on methods of its classes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mas_guard.adapter import Patch, PatchSet
from mas_guard_crewai import _agent, _crew, _delegation, _effect, _flow, _human, _providers, _sent, _solo, _task, _tool

if TYPE_CHECKING:
    from mas_guard_crewai._adapter import CrewAIAdapter


def patch_set(adapter: CrewAIAdapter) -> PatchSet:
    """The patches of CrewAI; its models' classes are wrapped one by one (see `_providers`)."""
    llm, core, flow = "crewai.llms.base_llm", "crewai.agent.core", "crewai.flow.runtime"
    return PatchSet(
        "crewai",
        (
            Patch(llm, "BaseLLM._wrap_call_method", _providers.make_wrap_call_method),
            Patch(llm, "BaseLLM._track_token_usage_internal", _sent.make_track),
            Patch(llm, "BaseLLM._emit_call_started_event", _sent.make_started),
            Patch(llm, "BaseLLM._emit_call_completed_event", _sent.make_completed),
            Patch(llm, "BaseLLM._emit_stream_chunk_event", _sent.make_chunk),
            Patch("crewai.llm", "LLM._handle_emit_call_events", _sent.make_completed),
            Patch("crewai.task", "Task._execute_core", _task.make_execute),
            Patch("crewai.task", "Task._aexecute_core", _task.make_aexecute),
            Patch(core, "Agent.execute_task", _agent.make_execute_task),
            Patch(core, "Agent.aexecute_task", _agent.make_aexecute_task),
            Patch(core, "Agent._handle_execution_error", _agent.make_handle_error),
            Patch(core, "Agent._handle_execution_error_async", _agent.make_handle_error_async),
            Patch(core, "Agent._execute_with_timeout", _agent.make_with_timeout),
            Patch(core, "Agent.kickoff", partial(_solo.make_kickoff, adapter)),
            Patch(core, "Agent.kickoff_async", partial(_solo.make_kickoff_async, adapter)),
            Patch("crewai.tools.agent_tools.base_agent_tools", "BaseAgentTool._execute", _delegation.make_execute),
            Patch("crewai.tools.base_tool", "BaseTool.run", _tool.make_run),
            Patch("crewai.tools.base_tool", "BaseTool.arun", _tool.make_arun),
            Patch("crewai.tools.base_tool", "Tool.run", _tool.make_run),
            Patch("crewai.tools.base_tool", "Tool.arun", _tool.make_arun),
            Patch("crewai.tools.structured_tool", "CrewStructuredTool.invoke", _tool.make_invoke),
            Patch("crewai.tools.structured_tool", "CrewStructuredTool.ainvoke", _tool.make_ainvoke),
            Patch("crewai.agents.cache.cache_handler", "CacheHandler.read", _tool.make_cache_read),
            Patch("crewai.agents.cache.cache_handler", "CacheHandler.add", _effect.make_cache_add),
            *(
                # The executor has moved: each supported version has one of the two.
                Patch(module, f"AgentExecutor.{name}", make, optional=True)
                for module in ("crewai.agents.agent_executor", "crewai.experimental.agent_executor")
                for name, make in (
                    ("_handle_human_feedback", _human.make_feedback),
                    ("_ahandle_human_feedback", _human.make_afeedback),
                )
            ),
            Patch("crewai.crew", "Crew.kickoff", partial(_crew.make_kickoff, adapter)),
            Patch("crewai.crew", "Crew.akickoff", partial(_crew.make_akickoff, adapter)),
            Patch("crewai.crew", "Crew.kickoff_async", _crew.make_kickoff_async),
            Patch("crewai.crew", "Crew.replay", partial(_crew.make_kickoff, adapter)),
            Patch("crewai.crew", "Crew.kickoff_for_each", _crew.make_for_each),
            Patch("crewai.crew", "Crew.kickoff_for_each_async", _crew.make_for_each_async),
            Patch("crewai.crew", "Crew.akickoff_for_each", _crew.make_for_each_async),
            Patch("crewai.crew", "Crew.copy", partial(_crew.make_copy, adapter)),
            Patch(flow, "Flow.kickoff", partial(_flow.make_kickoff, adapter)),
            Patch(flow, "Flow.kickoff_async", partial(_flow.make_kickoff_async, adapter)),
            Patch(flow, "Flow.resume", partial(_flow.make_kickoff, adapter, resumes=True)),
            Patch(flow, "Flow.resume_async", partial(_flow.make_kickoff_async, adapter, resumes=True)),
            Patch(flow, "Flow._execute_method", _flow.make_execute_method),
        ),
    )
