"""One process of an app that waits for approvals: `python -m tests.openai_agents.resumed_app URL PATH ACTION…`.

The app is as a user writes it; only `main` wraps it, as an entry point would, and prints what came of each action. The
run's state lives in the file at PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from agents import Agent, Runner, RunState, function_tool, set_tracing_disabled

import mas_guard
from tests.openai_agents.apps import QUESTION, model


@function_tool(needs_approval=True)
def refund(order: str) -> str:
    """Give money back."""
    return f"order {order} is refunded"


def refunds(url: str, api: str = "chat") -> Agent[Any]:
    """A desk and a cashier who hand over to each other; the cashier may give money back once somebody approves."""
    chat = model(url, api)
    cashier = Agent[Any](name="cashier", instructions="You pay.", model=chat, tools=[refund])
    desk = Agent[Any](name="desk", instructions="You receive.", model=chat, handoffs=[cashier])
    cashier.handoffs = [desk]
    return desk


def manager(url: str, api: str = "chat") -> Agent[Any]:
    """An agent that uses the cashier as a tool."""
    chat = model(url, api)
    cashier = Agent[Any](name="cashier", instructions="You pay.", model=chat, tools=[refund])
    return Agent[Any](
        name="manager", instructions="You ask.", model=chat, tools=[cashier.as_tool("ask_cashier", "Ask the cashier.")]
    )


async def load(agent: Agent[Any], written: str, *, decide: str = "") -> RunState[Any]:
    """The state in *written*, with every approval that it waits for decided upon."""
    state = await RunState.from_string(agent, written)
    for asked in state.get_interruptions() if decide else ():
        (state.approve if decide == "approve" else state.reject)(asked)
    return state


async def act(agent: Agent[Any], path: Path, action: str) -> dict[str, Any]:
    """Carry out one action, such as `start`, `approve`, `reject+streamed`, `resume`, `resume+top_up`."""
    what, *how = action.split("+")
    given: Any = QUESTION
    if what != "start":
        given = await load(agent, path.read_text(), decide="" if what == "resume" else what)
    told: dict[str, Any] = {}
    try:
        told["answer"] = await run_and_save(agent, given, path, streamed="streamed" in how)
    except mas_guard.GuardStopped as stop:
        told |= {"raised": type(stop).__name__, "message": str(stop)}
        if "top_up" in how:
            stop.run.top_up(model_calls=5, hops=2)
            with contextlib.suppress(mas_guard.GuardStopped):
                told["answer"] = await run_and_save(agent, given, path, streamed="streamed" in how)
    outcome = mas_guard.last_outcome()
    if outcome is not None:
        told |= {"run": outcome.run_id, "status": outcome.status, "rule": outcome.rule, "hops": outcome.hops}
        told |= {"calls": outcome.spent.model_calls, "tokens": outcome.spent.tokens}
    return told


async def run_and_save(agent: Agent[Any], given: Any, path: Path, *, streamed: bool) -> str:
    """Run until it ends or waits for somebody, and keep its state, also where it is stopped."""
    if not streamed:
        result = await Runner.run(agent, given, max_turns=100)
    else:
        result = Runner.run_streamed(agent, given, max_turns=100)
        try:
            async for _ in result.stream_events():
                pass
        except mas_guard.GuardStopped:
            path.write_text(result.to_state().to_string())
            raise
    if result.interruptions:
        path.write_text(result.to_state().to_string())
    return str(result.final_output)


async def main(url: str, path: str, *actions: str) -> None:
    """Carry *actions* out, one after the other, and print what came of each as a line of JSON."""
    set_tracing_disabled(True)
    agent = mas_guard.wrap(refunds(url))
    for action in actions:
        print(json.dumps(await act(agent, Path(path), action)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
