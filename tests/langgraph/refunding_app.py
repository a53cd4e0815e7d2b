"""One process of an app that pays back: `python -m tests.langgraph.refunding_app URL FOLDER [die]`.

It goes on with the thread in FOLDER, or begins it. With `die` the process kills itself after the bank has paid and before
anybody has recorded it. Prints what the tool calls were answered with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.sqlite import SqliteSaver

import mas_guard
from tests.langgraph.apps import QUESTION, model

THREAD: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def main(url: str, folder: str, *more: str) -> None:
    """Carry the run out, or on."""
    book = Path(folder, "book.txt")

    def refund(order_id: str, note: str) -> str:
        """Pay an order back."""
        with book.open("a") as lines:
            lines.write(f"{order_id} {mas_guard.effect_id()}\n")
        if "die" in more:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{order_id} is paid back"

    with SqliteSaver.from_conn_string(str(Path(folder, "threads.db"))) as saver:
        app = create_agent(model(url), [refund], checkpointer=saver, name="desk")
        app = mas_guard.wrap(app, once_tools=["refund:order_id"], store=f"sqlite:///{folder}/guard.db")
        begun = bool(app.get_state(THREAD).values)
        result = app.invoke(None if begun else QUESTION, THREAD)
    outcome = mas_guard.last_outcome()
    assert outcome is not None
    told = [message.content for message in result["messages"] if message.type == "tool"]
    print(json.dumps({"told": told, "run": outcome.run_id, "notes": list(outcome.notes)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
