"""A run goes on where it was, in whatever process: its spend, its hops, and its stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, hand_on_for_ever, interrupt_chat, swarm, toolbox
from tests.langgraph.resumed_app import THREAD, approval_app

ROOT = Path(__file__).parents[2]


def in_a_process_of_its_own(server: ModelServer, path: Path, action: str, **settings: str) -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, "-m", "tests.langgraph.resumed_app", server.url, str(path), action],
        cwd=ROOT,
        env={**os.environ, **{f"MAS_GUARD_{name}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    printed: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return printed


def test_another_process_goes_on_with_what_was_spent_before_the_interrupt(tmp_path: Path) -> None:
    path = tmp_path / "threads.sqlite"
    with ModelServer([text("a draft", input_tokens=1000, output_tokens=10)], repeat_last=True) as server:
        with SqliteSaver.from_conn_string(str(path)) as saver:
            first = mas_guard.outcome(mas_guard.wrap(approval_app(server.url, saver)).invoke(QUESTION, THREAD))
        second = in_a_process_of_its_own(server, path, "answer")
        assert server.count == 3  # the node that was interrupted runs, and pays, again
    assert (first.status, first.rule, first.spent.model_calls) == ("partial", "interrupt", 1)
    assert second["run"] == first.run_id
    assert (second["status"], second["calls"], second["tokens"]) == ("completed", 3, 3030)
    assert second["answer"] == "a draft"


def test_in_another_process_a_stopped_run_raises_the_same_stop_until_it_is_topped_up(tmp_path: Path) -> None:
    path = tmp_path / "threads.sqlite"
    with ModelServer([text("a draft")], repeat_last=True) as server:
        with SqliteSaver.from_conn_string(str(path)) as saver:
            app = mas_guard.wrap(approval_app(server.url, saver), budget={"model_calls": 2})
            app.invoke(QUESTION, THREAD)
            with pytest.raises(mas_guard.BudgetExceeded) as caught:
                app.invoke(Command(resume="go ahead"), THREAD)
            assert server.count == 2
        again = in_a_process_of_its_own(server, path, "resume+top_up", BUDGET__MODEL_CALLS="2")
        assert server.count == 3
    assert (again["raised"], again["message"]) == ("BudgetExceeded", str(caught.value))
    assert again["sent_before_top_up"] == 2
    assert again["run"] == caught.value.outcome.run_id
    assert (again["answer"], again["status"], again["calls"]) == ("a draft", "completed", 3)


def test_another_setting_lifts_the_stop_too(tmp_path: Path) -> None:
    with ModelServer([text("a draft")], repeat_last=True) as server:
        saver = InMemorySaver()
        app = mas_guard.wrap(approval_app(server.url, saver), budget={"model_calls": 2})
        app.invoke(QUESTION, THREAD)
        with pytest.raises(mas_guard.BudgetExceeded):
            app.invoke(Command(resume="go ahead"), THREAD)
        state = mas_guard.wrap(approval_app(server.url, saver), budget={"model_calls": 9}).invoke(None, THREAD)
    assert mas_guard.outcome(state).spent.model_calls == 3


def repeats(request: Request) -> Reply:
    asked = sum(len(message.get("tool_calls", ())) for message in request.messages)
    return text("Nothing.") if asked > 6 else call("look_up", order="7")


def look_up(order: str) -> str:
    """Look an order up."""
    return f"{order}: nothing"


@pytest.mark.parametrize("rule", ["hops", "repetition"])
def test_a_resume_of_a_stopped_run_sends_nothing_and_goes_on_once_topped_up(rule: str) -> None:
    with ModelServer(hand_on_for_ever if rule == "hops" else repeats) as server:
        saver = InMemorySaver()
        bare = (
            swarm(server.url, checkpointer=saver)
            if rule == "hops"
            else toolbox(server.url, look_up, checkpointer=saver)
        )
        app = mas_guard.wrap(bare, on_limit="abort", max_hops=3)
        messages = []
        with pytest.raises(mas_guard.GuardStopped) as caught:
            app.invoke(QUESTION, THREAD)
        messages.append(str(caught.value))
        sent = server.count
        for _ in range(2):
            with pytest.raises(type(caught.value)) as again:
                app.invoke(None, THREAD)
            messages.append(str(again.value))
        assert server.count == sent
        assert len(set(messages)) == 1
        assert again.value.outcome.status == "aborted"
        again.value.run.top_up(hops=2)
        if rule == "hops":
            with pytest.raises(mas_guard.HopLimitExceeded) as later:
                app.invoke(None, THREAD)
            assert (later.value.hops, later.value.limit) == (5, 5)
            assert later.value.outcome.run_id == caught.value.outcome.run_id
        else:
            assert app.invoke(None, THREAD)["messages"][-1].content == "Nothing."


def test_a_new_message_after_a_stop_is_a_new_run() -> None:
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(swarm(server.url, checkpointer=InMemorySaver()), on_limit="abort", max_hops=3)
        runs = []
        for _ in range(2):
            with pytest.raises(mas_guard.HopLimitExceeded) as caught:
                app.invoke(QUESTION, THREAD)
            runs.append((caught.value.outcome.run_id, caught.value.outcome.hops))
    assert runs[0][0] != runs[1][0]
    assert [hops for _, hops in runs] == [3, 3]


def test_a_human_answer_starts_hops_anew_and_budgets_go_on() -> None:
    def script(request: Request) -> Reply:
        return call(request.tool_names[0]) if request.messages[-1]["role"] == "user" else text("What else?")

    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(script) as server:
        bare = interrupt_chat(server.url, checkpointer=InMemorySaver())
        app = mas_guard.wrap(bare, on_outcome=outcomes.append, budget={"model_calls": 7})
        app.invoke(QUESTION, THREAD)
        for number in range(2):
            app.invoke(Command(resume=f"message {number}"), THREAD)
        assert [outcome.spent.model_calls for outcome in outcomes] == [2, 4, 6]
        assert {outcome.hops for outcome in outcomes} == {1}
        assert len({outcome.run_id for outcome in outcomes}) == 1
        with pytest.raises(mas_guard.BudgetExceeded, match="MAS_GUARD_RESUME=new_run"):
            app.invoke(Command(resume="one more"), THREAD)


def test_with_new_run_each_answer_is_a_run_with_new_limits() -> None:
    def script(request: Request) -> Reply:
        return call(request.tool_names[0]) if request.messages[-1]["role"] == "user" else text("What else?")

    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(script) as server:
        bare = interrupt_chat(server.url, checkpointer=InMemorySaver())
        app = mas_guard.wrap(bare, on_outcome=outcomes.append, budget={"model_calls": 3}, resume="new_run")
        app.invoke(QUESTION, THREAD)
        for number in range(4):
            app.invoke(Command(resume=f"message {number}"), THREAD)
    assert [outcome.spent.model_calls for outcome in outcomes] == [2] * 5
    assert len({outcome.run_id for outcome in outcomes}) == 5


def test_an_older_checkpoint_forks_with_its_hops() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(hand_on_for_ever) as server:
        bare = swarm(server.url, checkpointer=InMemorySaver())
        app = mas_guard.wrap(bare, on_outcome=outcomes.append)
        app.invoke(QUESTION, THREAD)
        assert server.count == 14
        older = [state for state in bare.get_state_history(THREAD) if state.next][-6]
        state = app.invoke(None, older.config)
        assert state["messages"][-1].content == OWNER_ANSWER
    first, fork = outcomes
    assert fork.run_id != first.run_id
    assert fork.run.forked_from == first.run_id
    assert (fork.hops, fork.rule) == (12, "hops")
    assert fork.spent.model_calls < first.spent.model_calls
    assert fork.spent.model_calls == server.count - 14
