"""What a `RunState` carries for us: the run's id, hops and spend, under one key of its own beside the SDK's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard_openai_agents._frame import runs_of_results, states
from mas_guard_openai_agents._turns import Turns

Make = Callable[..., Any]

KEY = "mas_guard"


def make_to_state(original: Make) -> Make:
    """Wrap `RunResult.to_state` and `RunResultStreaming.to_state`."""

    @functools.wraps(original)
    def to_state(self: Any) -> Any:
        state = original(self)
        if isinstance(state._max_turns, Turns):
            state._max_turns = int(state._max_turns)
        run = runs_of_results.get(self)
        if run is not None and run.has_history():
            states.put(state, run.snapshot())
        return state

    return to_state


def make_to_json(original: Make) -> Make:
    """Wrap `RunState.to_json`."""

    @functools.wraps(original)
    def to_json(self: Any, *arguments: Any, **keywords: Any) -> Any:
        written = original(self, *arguments, **keywords)
        if isinstance(written.get("max_turns"), Turns):
            written["max_turns"] = int(written["max_turns"])
        saved = states.get(self)
        if saved is not None:
            written[KEY] = saved
        return written

    return to_json


def make_build(original: Make) -> Make:
    """Wrap the function that both `RunState.from_json` and `from_string` build a state with."""

    @functools.wraps(original)
    async def build(*arguments: Any, **keywords: Any) -> Any:
        state = await original(*arguments, **keywords)
        written = keywords["state_json"] if "state_json" in keywords else arguments[1]
        saved = written.get(KEY) if isinstance(written, dict) else None
        if isinstance(saved, dict) and saved.get("v") == 1 and saved.get("id"):
            states.put(state, saved)
        return state

    return build
