"""One process of an app whose thread lives in SQLite: `python -m tests.langgraph.resumed_app URL PATH ACTION`.

The app is as a user writes it; only `main` wraps it, as an entry point would, and prints what came of it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt

import mas_guard
from tests.langgraph.apps import QUESTION, chain, model, talking_node

THREAD: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def approval_app(url: str, checkpointer: Any) -> Any:
    """Drafts and asks a human within one node, then has it written."""
    chat = model(url)

    def draft(state: MessagesState) -> dict[str, Any]:
        drafted = chat.invoke(state["messages"])
        approved = interrupt({"draft": drafted.text})
        return {"messages": [drafted, ("user", approved)]}

    return chain(draft, talking_node(chat, "writer"), checkpointer=checkpointer)


def main(url: str, path: str, action: str) -> None:
    """Carry one *action* out and print its outcome as JSON."""
    given = {"start": QUESTION, "answer": Command(resume="go ahead"), "resume": None}[action.split("+")[0]]
    with SqliteSaver.from_conn_string(path) as saver:
        app = mas_guard.wrap(approval_app(url, saver))
        try:
            result = app.invoke(given, THREAD)
        except mas_guard.GuardStopped as stop:
            printed: dict[str, Any] = {"raised": type(stop).__name__, "message": str(stop)}
            printed["sent_before_top_up"] = stop.outcome.spent.model_calls
            if action.endswith("+top_up"):
                stop.run.top_up(model_calls=5)
                result = app.invoke(None, THREAD)
                printed["answer"] = result["messages"][-1].content
        else:
            printed = {"raised": "", "answer": result["messages"][-1].content}
    outcome = mas_guard.last_outcome()
    assert outcome is not None
    printed |= {"run": outcome.run_id, "status": outcome.status, "calls": outcome.spent.model_calls}
    printed |= {"rule": outcome.rule, "tokens": outcome.spent.tokens}
    print(json.dumps(printed))


if __name__ == "__main__":
    main(*sys.argv[1:])
