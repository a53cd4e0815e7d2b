"""A run that waits for a person goes on, or ends, as that person decided, from whichever process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text
from tests.langgraph.apps import QUESTION, hand_on_for_ever, model, swarm

ANSWER = "The invoice was charged twice; 80 EUR go back."
DOUBT = '\n<<envelope {"status": "success", "confidence": 0.4, "reason": "one source only"}>>'
CONFIG = {"configurable": {"thread_id": "1"}}


def doubtful(request: Request) -> Reply:
    return text(ANSWER + DOUBT if "<<envelope" in str(request.body) else ANSWER)


def command(store: str, *words: str) -> None:
    """`mas-guard reviews` in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "mas_guard.cli", "reviews", *words],
        env={"MAS_GUARD_REVIEW__CHANNEL": "queue", "MAS_GUARD_REVIEW__STORE": store, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'reviews.db'}"


def settings(store: str, **more: Any) -> dict[str, Any]:
    return {"review": {"channel": "queue", "store": store, "fallback": "We will come back to you."}, **more}


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_doubtful_result_leaves_once_a_person_has_approved_it(store: str, decision: str) -> None:
    with ModelServer(doubtful) as server:
        app = create_agent(model(server.url), [], checkpointer=InMemorySaver(), name="desk")
        app = mas_guard.wrap(app, **settings(store, envelopes="require"))
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            app.invoke(QUESTION, CONFIG)
        review = caught.value.review
        assert caught.value.outcome.status == "escalated"
        with pytest.raises(mas_guard.EscalationRequired) as again:
            app.invoke(None, CONFIG)
        assert again.value.review == review
        command(store, decision, review)
        if decision == "approve":
            assert app.invoke(None, CONFIG)["messages"][-1].content == ANSWER
        else:
            with pytest.raises(mas_guard.ResultRejected):
                app.invoke(None, CONFIG)
        assert server.count == 1
    resolution = mas_guard.reviewed(review, **settings(store))
    assert resolution.result == ("We will come back to you." if decision == "reject" else None)


def test_a_run_that_was_stopped_goes_on_once_a_person_has_approved_it(store: str) -> None:
    def script(request: Request) -> Reply:
        return hand_on_for_ever(request) if server.count <= 13 else text(ANSWER)

    with ModelServer(script) as server:
        app = mas_guard.wrap(swarm(server.url, checkpointer=InMemorySaver()), **settings(store, on_limit="escalate"))
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            app.invoke(QUESTION, CONFIG)
        assert isinstance(caught.value.__cause__, mas_guard.HopLimitExceeded) or "hops" in str(caught.value)
        with pytest.raises(mas_guard.GuardStopped):
            app.invoke(None, CONFIG)
        assert server.count == 13
        command(store, "approve", caught.value.review)
        assert app.invoke(None, CONFIG)["messages"][-1].content == ANSWER


def test_a_store_that_is_lost_does_not_take_the_result_with_it(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    store = f"sqlite:///{gone / 'reviews.db'}"
    with ModelServer(doubtful) as server:
        app = mas_guard.wrap(create_agent(model(server.url), [], name="desk"), **settings(store, envelopes="require"))
        (gone / "reviews.db").mkdir()
        result = app.invoke(QUESTION)
    outcome = mas_guard.outcome(result)
    assert result["messages"][-1].content == ANSWER
    assert outcome.status == "partial" and "below 0.7" in outcome.reason
