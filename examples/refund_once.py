"""A refund whose process is killed after the bank has paid: bare, the process that goes on pays again, and guarded it does not.

The bank is a file; the run's thread lives in SQLite, as does what mas-guard records. The first process pays and dies before
anybody has written down that it did. The second one goes on with the thread, and its model asks for the refund once more in
other words. Another customer is refunded without trouble, though asked for twice. Runs offline against a scripted model:
python examples/refund_once.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

NOTES = ("as agreed", "as we have agreed by telephone")


def scripted_model(request: Request) -> Reply:
    """Asks for the same refund twice, each time in other words."""
    done = sum(message["role"] == "tool" for message in request.messages)
    order = "A1" if "order A1" in str(request.messages) else "B2"
    return call("refund", order_id=order, note=NOTES[done]) if done < len(NOTES) else text("That is all I can do.")


def serve(customer: str, guarded: bool, dies: bool) -> None:
    """One process of the app: begin a customer's run, or go on with it."""

    def refund(order_id: str, note: str) -> str:
        """Pay an order back."""
        key = mas_guard.effect_id("none")  # for the bank, which would find out by itself what it has done before
        with Path(f"{customer}.bank").open("a", encoding="utf-8") as book:
            book.write(f"{order_id} {key}\n")
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)  # the power fails: nobody is told that it was paid
        return f"{order_id} is paid back"

    thread: Any = {"configurable": {"thread_id": customer}}
    with SqliteSaver.from_conn_string("threads.db") as checkpointer:
        app = create_agent(ChatOpenAI(model="gpt-4o-mini"), [refund], checkpointer=checkpointer)
        if guarded:
            app = mas_guard.wrap(app, store="sqlite:///mas-guard.db", once_tools=["refund:order_id"])
        begun = bool(app.get_state(thread).values)
        order = "A1" if customer.startswith("anna") else "B2"
        message = {"messages": [("user", f"Please pay order {order} back.")]}
        result = app.invoke(None if begun else message, thread)
    for answer in (message.text for message in result["messages"] if message.type == "tool"):
        print(f"  refund: {answer}")
    if guarded and (outcome := mas_guard.last_outcome()) is not None:
        for note in outcome.notes:
            print(f"  note: {note}")


def main() -> None:
    """Start the processes, one after the other."""
    with ModelServer(scripted_model, max_requests=60) as server, tempfile.TemporaryDirectory() as folder:
        variables = os.environ | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "offline"}

        def process(*arguments: str) -> None:
            command = [sys.executable, str(Path(__file__).resolve()), *arguments]
            subprocess.run(command, cwd=folder, env=variables, check=False)

        for customer, guard in (("anna-bare", "bare"), ("anna", "guarded")):
            print(f"{customer}: killed after the bank has paid, then gone on with", flush=True)
            process(customer, guard, "dies")
            process(customer, guard, "lives")
            paid = Path(folder, f"{customer}.bank").read_text("utf-8").splitlines()
            print(f"  times that the bank has paid: {len(paid)}")
        print("ben: nothing goes wrong", flush=True)
        process("ben", "guarded", "lives")
        print(f"  times that the bank has paid: {len(Path(folder, 'ben.bank').read_text('utf-8').splitlines())}")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        serve(sys.argv[1], sys.argv[2] == "guarded", sys.argv[3] == "dies")
    else:
        main()
