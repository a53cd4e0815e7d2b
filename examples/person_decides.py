"""A doubtful answer that a person has to see: three processes, one SQLite file of reviews, and one of checkpoints.

The first process asks, and ends with the review's id instead of an answer. Somebody decides in a terminal of their own, by
`mas-guard reviews`. Another process goes on with the same thread: what was approved leaves, what was rejected gives the
fallback. The model is asked once a customer. Runs offline against a scripted model: python examples/person_decides.py
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text

UNSURE = '\n<<envelope {"status": "success", "confidence": 0.4, "reason": "one source only"}>>'


def scripted_model(request: Request) -> Reply:
    """Answers, and says that it is not sure where it is asked."""
    answer = "You owe 80 EUR for March." if "I am anna." in str(request.messages) else "You owe nothing."
    return text(answer + UNSURE if "<<envelope" in str(request.body) else answer)


def serve(customer: str, message: dict[str, Any] | None) -> None:
    """One process of the app: begin a customer's run, or go on with it."""
    noted = Path(f"{customer}.review")  # a real app keeps it beside the customer's request
    with SqliteSaver.from_conn_string("threads.db") as checkpointer:
        model = ChatOpenAI(model="gpt-4o-mini")
        app = mas_guard.wrap(create_agent(model, [], checkpointer=checkpointer), envelopes="require")
        try:
            result = app.invoke(message, {"configurable": {"thread_id": customer}})
            print(f"  {customer} gets: {result['messages'][-1].text}")
        except mas_guard.EscalationRequired as stop:  # a web server would answer with the id at once
            noted.write_text(stop.review, "utf-8")
            print(f"  {customer} waits: {stop.outcome.status}, decided: {mas_guard.reviewed(stop.review)}")
        except mas_guard.ResultRejected:
            decided = mas_guard.reviewed(noted.read_text("utf-8"))
            print(f"  {customer} gets: {decided.result} ({decided} by {decided.by}: {decided.reason})")


def main() -> None:
    """Start the processes, one after the other: the app, a person at a terminal, the app again."""
    with ModelServer(scripted_model, max_requests=60) as server, tempfile.TemporaryDirectory() as folder:
        variables = os.environ | {
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "offline",
            "MAS_GUARD_REVIEW__CHANNEL": "queue",
            "MAS_GUARD_REVIEW__STORE": "sqlite:///reviews.db",
            "MAS_GUARD_REVIEW__FALLBACK": "We will get back to you within a day.",
        }

        def start(shown: str, *command: str) -> None:
            print(f"$ {shown}", flush=True)
            subprocess.run([sys.executable, *command], check=True, cwd=folder, env=variables)

        for customer, decision, why in (("anna", "approve", "seen the invoice"), ("ben", "reject", "he owes 40 EUR")):
            start(f"python app.py ask {customer}", str(Path(__file__).resolve()), "ask", customer)
            review = (Path(folder) / f"{customer}.review").read_text("utf-8")
            answer = ["reviews", decision, review, "--by", "carla", "--reason", why]
            start(f"mas-guard {shlex.join(answer)}", "-m", "mas_guard.cli", *answer)
            start(f"python app.py go-on {customer}", str(Path(__file__).resolve()), "go-on", customer)
        print(f"calls that the model server saw: {server.count}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        serve(sys.argv[2], {"messages": [("user", f"I am {sys.argv[2]}. What do I owe?")]})
    elif sys.argv[1:2] == ["go-on"]:
        serve(sys.argv[2], None)
    else:
        main()
