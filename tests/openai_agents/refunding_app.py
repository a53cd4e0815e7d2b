"""One process of an app that pays back once somebody approves: `python -m tests.openai_agents.refunding_app URL FOLDER [die]`.

It goes on from the state in FOLDER, which another process has saved. With `die` it kills itself after the bank has paid and
before anybody has recorded it. Prints what the tool calls were answered with.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from agents import Agent, Runner, RunState, function_tool, set_tracing_disabled

import mas_guard
from tests.openai_agents.apps import QUESTION, model


def desk(url: str, folder: Path, *, dies: bool = False) -> Agent[Any]:
    """An agent whose refunds a person approves."""

    @function_tool(needs_approval=True)
    def refund(order_id: str, note: str) -> str:
        """Pay an order back."""
        with (folder / "book.txt").open("a") as lines:
            lines.write(f"{order_id} {mas_guard.effect_id()}\n")
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{order_id} is paid back"

    agent = Agent[Any](name="desk", instructions="You pay.", model=model(url), tools=[refund])
    return mas_guard.wrap(agent, once_tools=["refund:order_id"], store=f"sqlite:///{folder}/guard.db")


async def begin(url: str, folder: Path) -> None:
    """Run until somebody has to approve, and save the state."""
    result = await Runner.run(desk(url, folder), QUESTION)
    (folder / "state.json").write_text(result.to_state().to_string())


async def go_on(url: str, folder: Path, *, dies: bool = False) -> list[str]:
    """Approve what waits and go on; what the tool calls were answered with."""
    agent = desk(url, folder, dies=dies)
    state = await RunState.from_string(agent, (folder / "state.json").read_text())
    for asked in state.get_interruptions():
        state.approve(asked, always_approve=True)
    result = await Runner.run(agent, state)
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


if __name__ == "__main__":
    set_tracing_disabled(True)
    print(json.dumps(asyncio.run(go_on(sys.argv[1], Path(sys.argv[2]), dies="die" in sys.argv[3:]))))
