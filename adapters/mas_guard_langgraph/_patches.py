"""Every seam in one table.

Public seams would be callbacks and middleware: they miss calls made in raw threads, cannot rewrite routing, and are
lost in `with_config`, `batch` and events. So runs are opened where every way of running passes (`Pregel.stream`),
steps where every task passes (`run_with_retry`), routing where a superstep is committed (`PregelLoop.after_tick`).
`_runner`, `_loop` and the `branch:to:` channels are private: they are looked up when arming, fail loudly where
missing, and the framework's own suite runs over the oldest and the newest supported version.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mas_guard.adapter import Patch, PatchSet
from mas_guard_langgraph import (
    _callback,
    _chat_model,
    _checkpoint,
    _effect,
    _first_line,
    _pregel,
    _superstep,
    _task,
    _tool,
)

if TYPE_CHECKING:
    from mas_guard_langgraph._adapter import LangGraphAdapter


def patch_sets(adapter: LangGraphAdapter) -> tuple[PatchSet, ...]:
    """The patches of LangGraph and of LangChain."""
    pregel, loop, runner = "langgraph.pregel.main", "langgraph.pregel._loop", "langgraph.pregel._runner"
    chat = "langchain_core.language_models.chat_models"
    return (
        PatchSet(
            "langgraph",
            (
                Patch(pregel, "Pregel.stream", partial(_pregel.make_stream, adapter), faithful=True),
                Patch(pregel, "Pregel.astream", partial(_pregel.make_astream, adapter), faithful=True),
                Patch(pregel, "Pregel.invoke", partial(_pregel.make_invoke, adapter), faithful=True),
                Patch(pregel, "Pregel.ainvoke", partial(_pregel.make_ainvoke, adapter), faithful=True),
                Patch(pregel, "Pregel.copy", partial(_pregel.make_copy, adapter)),
                Patch("langgraph.graph.state", "StateGraph.compile", partial(_pregel.make_compile, adapter)),
                Patch(runner, "run_with_retry", _task.make_run),
                Patch(runner, "arun_with_retry", _task.make_arun),
                Patch(loop, "PregelLoop.after_tick", _superstep.make_after_tick),
                Patch(loop, "SyncPregelLoop.__enter__", _checkpoint.make_enter),
                Patch(loop, "AsyncPregelLoop.__aenter__", _checkpoint.make_aenter),
                Patch(loop, "PregelLoop._suppress_interrupt", _checkpoint.make_suspend),
                Patch(loop, "create_checkpoint", _checkpoint.make_create_checkpoint),
            ),
        ),
        PatchSet(
            "langchain-core",
            (
                Patch(chat, "BaseChatModel.generate", _chat_model.make_generate),
                Patch(chat, "BaseChatModel.agenerate", _chat_model.make_agenerate),
                Patch(chat, "BaseChatModel.stream", _chat_model.make_stream, faithful=True),
                Patch(chat, "BaseChatModel.astream", _chat_model.make_astream, faithful=True),
                Patch(
                    "langchain_core.callbacks.manager",
                    "CallbackManagerForLLMRun.on_llm_new_token",
                    lambda original: _chat_model.make_new_token(_first_line.make_new_token(original)),
                ),
                Patch(
                    "langchain_core.callbacks.manager",
                    "AsyncCallbackManagerForLLMRun.on_llm_new_token",
                    _first_line.make_new_token_async,
                ),
                *(
                    Patch("langchain_core.callbacks.manager", f"{manager}.{start}", _callback.make_start)
                    for manager in ("CallbackManager", "AsyncCallbackManager")
                    for start in ("on_chat_model_start", "on_llm_start")
                ),
                Patch("langchain_core.tools.base", "BaseTool.run", _tool.make_run),
                Patch("langchain_core.tools.base", "BaseTool.arun", _tool.make_arun),
                Patch("langchain_core.tools.base", "_handle_tool_error", _effect.make_handle, optional=True),
                Patch("langchain_core.tools.base", "_handle_validation_error", _effect.make_handle, optional=True),
            ),
        ),
    )
