"""What a checkpoint carries for us: the run's id, hops and spend, under one private key.

The record stands in the checkpoint's `versions_seen`, which every store keeps inline, every fork and `update_state`
copies, and nobody shows: not results, `get_state`, schemas, or any stream mode. A channel of our own would count as
an update that no breakpoint has seen, and interrupt a second time. The record is the key and its version is 0, so
that code which asks whether any node has seen anything still gets the bare app's answer.

A run that is suspended writes once more, since a node that interrupts commits nothing and may have spent before.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import GuardStopped, Run
from mas_guard_langgraph._frame import Frame, current_frame

KEY = "__mas_guard"
LOOP = "langgraph: the outermost loop"

_suspensions = itertools.count()


def make_enter(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `SyncPregelLoop.__enter__`."""

    @functools.wraps(original)
    def enter(self: Any) -> Any:
        frame = current_frame.get()
        if frame is None or frame.loop is not None:
            return original(self)
        frame.loop = self
        entered = original(self)
        _entered(frame, self)
        return entered

    return enter


def make_aenter(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `AsyncPregelLoop.__aenter__`."""

    @functools.wraps(original)
    async def aenter(self: Any) -> Any:
        frame = current_frame.get()
        if frame is None or frame.loop is not None:
            return await original(self)
        frame.loop = self
        entered = await original(self)
        _entered(frame, self)
        return entered

    return aenter


def make_create_checkpoint(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `create_checkpoint`: add our record."""

    @functools.wraps(original)
    def create_checkpoint(checkpoint: Any, channels: Any, *arguments: Any, **keywords: Any) -> Any:
        made = original(checkpoint, channels, *arguments, **keywords)
        frame = current_frame.get()
        if frame is not None and frame.root and frame.loop is not None:
            if frame.loop.checkpointer is not None:
                if not frame.started:
                    _started(frame, frame.loop)
                _put(made, frame)
        return made

    return create_checkpoint


def make_suspend(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `PregelLoop._suppress_interrupt`, which every loop passes when it ends."""

    @functools.wraps(original)
    def suppress_interrupt(self: Any, kind: Any, error: Any, traceback: Any) -> Any:
        answer = original(self, kind, error, traceback)
        frame = current_frame.get()
        if frame is None or frame.loop is not self or not frame.root:
            return answer
        from langgraph.errors import GraphInterrupt

        if isinstance(error, GraphInterrupt):
            frame.suspended = frame.run.suspended = True
            frame.run.clock.pause()
        if isinstance(error, GraphInterrupt | GuardStopped):
            _save_spend(frame, self)
        return answer

    return suppress_interrupt


def wait_until_saved(run: Run) -> None:
    """Return once the graph's latest checkpoint is where a resume finds it: LangGraph writes it beside the next step."""
    saving = getattr(run.adapter_state.get(LOOP), "_put_checkpoint_fut", None)
    if isinstance(saving, concurrent.futures.Future):
        saving.exception()  # its error is LangGraph's to raise
    elif saving is not None and not _runs_here(saving.get_loop()):
        asyncio.run_coroutine_threadsafe(_ended(saving), saving.get_loop()).result()


async def wait_until_saved_async(run: Run) -> None:
    """As `wait_until_saved`."""
    saving = getattr(run.adapter_state.get(LOOP), "_put_checkpoint_fut", None)
    if isinstance(saving, concurrent.futures.Future):
        await _ended(asyncio.wrap_future(saving))
    elif saving is not None and _runs_here(saving.get_loop()):
        await _ended(saving)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _ended(saving: asyncio.Future[Any]) -> None:
    await asyncio.wait({saving})


def _put(checkpoint: Any, frame: Frame) -> None:
    """Add the run's record; a run that has spent nothing and gone nowhere leaves none, nor an earlier run's. One whose
    effects must happen at most once leaves it from the start: what goes on from there is the same run."""
    seen = {node: versions for node, versions in checkpoint["versions_seen"].items() if node != KEY}
    if frame.run.has_history() or frame.run.policy.once_tools:
        seen[KEY] = {json.dumps(frame.run.snapshot(), separators=(",", ":")): 0}
    elif KEY not in checkpoint["versions_seen"]:
        return
    checkpoint["versions_seen"] = seen


def _save_spend(frame: Frame, loop: Any) -> None:
    put = loop.checkpointer_put_writes
    if put is None or not frame.run.has_history() or not loop.checkpoint_config["configurable"].get("checkpoint_id"):
        return
    task_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{frame.run.id}:{next(_suspensions)}"))
    config = {
        **loop.checkpoint_config,
        "configurable": {
            **loop.checkpoint_config["configurable"],
            "checkpoint_ns": loop.config["configurable"].get("checkpoint_ns", ""),
            "checkpoint_id": loop.checkpoint["id"],
        },
    }
    loop.submit(put, config, [(KEY, frame.run.snapshot())], task_id)


def _entered(frame: Frame, loop: Any) -> None:
    if frame.root:
        frame.run.adapter_state[LOOP] = loop
    if frame.root and not frame.started:
        _started(frame, loop)


def _started(frame: Frame, loop: Any) -> None:
    """Find out whether this is a new run, a resume, or a fork of an older checkpoint."""
    frame.started = True
    if not frame.root or loop.checkpointer is None or not hasattr(loop, "checkpoint"):
        return
    saved = _saved(loop)
    if saved is None:
        return
    run = frame.run
    if saved["mode"] != run.policy.mode:
        return  # what was only observed never counts against a run that is enforced
    input = frame.resume_input
    answered = type(input).__name__ == "Command" and getattr(input, "resume", None) is not None
    if input is not None and not answered:
        return
    if answered and run.policy.resume == "new_run":
        return
    if input is None and _is_older(loop):
        run.fork(saved)
    else:
        run.adopt(saved, human_input=answered)
        frame.resumed_stopped = run.stop is not None
        frame.refused = run.stop is not None
    frame.know_agents_again()


def _saved(loop: Any) -> dict[str, Any] | None:
    found = [
        value
        for _, channel, value in loop.checkpoint_pending_writes
        if channel == KEY and isinstance(value, dict) and value.get("v") == 1
    ]
    for record in loop.checkpoint["versions_seen"].get(KEY, ()):
        if not record.startswith("{"):
            continue
        value = json.loads(record)
        if isinstance(value, dict) and value.get("v") == 1:
            found.append(value)
    # Monotonic: of several records of one run the one that has spent most is the latest.
    return max(
        found, key=lambda state: (sum(state["spent"]), state["elapsed"], state["stop"] is not None), default=None
    )


def _is_older(loop: Any) -> bool:
    """True where the run starts from a checkpoint that the thread has moved past."""
    superseded = getattr(loop, "_addressed_checkpoint_superseded", None)
    if superseded is not None:
        return bool(superseded)
    # Before LangGraph 1.2 only this tells: the app named the checkpoint it starts from.
    return bool(loop.config["configurable"].get("checkpoint_id")) and not loop.is_nested
