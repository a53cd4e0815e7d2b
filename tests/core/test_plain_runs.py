"""Runs in plain Python: budgets, steps and hops, owners that are no agents, groups, bypass, threads."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from openai import OpenAI

import mas_guard
from mas_guard.errors import passing_through
from mas_guard.testing import ModelServer, text


@pytest.fixture(autouse=True)
def unguarded_process() -> Iterator[None]:
    mas_guard.uninstrument()
    yield
    mas_guard.uninstrument()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda request: text("done")) as running:
        yield running


def ask(server: ModelServer, question: str = "hello") -> str:
    client = OpenAI(base_url=server.url, api_key="unused", max_retries=0)
    reply = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
    return str(reply.choices[0].message.content)


def test_a_run_counts_what_is_called_inside_it(server: ModelServer) -> None:
    with mas_guard.run("task") as run:
        ask(server)
        ask(server)
    assert run.outcome is not None and run.outcome.status == "completed"
    assert run.spent.model_calls == 2 and mas_guard.last_outcome() is run.outcome


def test_an_outcome_can_be_logged_as_json(server: ModelServer) -> None:
    with mas_guard.run("task", budget={"model_calls": 1}, on_limit="partial") as run:
        run.result = {"found": {1}, "by": object}
        ask(server)
        ask(server)
    assert run.outcome is not None
    told = json.loads(run.outcome.to_json())
    assert (told["status"], told["rule"], told["spent"]["model_calls"]) == ("partial", "budget", 1)


def test_a_nested_run_joins_the_outer_one(server: ModelServer) -> None:
    with mas_guard.run("outer") as outer, mas_guard.run("inner", budget={"model_calls": 1}) as inner:
        ask(server)
        assert inner.id == outer.id
    assert outer.spent.model_calls == 1


def test_an_inner_runs_limits_can_only_narrow(server: ModelServer) -> None:
    with mas_guard.run("outer", budget={"model_calls": 3}) as outer:
        with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("inner", budget={"model_calls": 1}):
            ask(server)
            ask(server)
        ask(server)
    assert outer.outcome is not None
    assert (outer.outcome.status, outer.outcome.reason) == ("partial", "ended by a limit of its own: inner")
    assert outer.spent.model_calls == server.count == 2


def test_the_error_says_what_was_spent_and_pickles_with_its_fields(server: ModelServer) -> None:
    with pytest.raises(mas_guard.BudgetExceeded) as caught, mas_guard.run("task", budget={"model_calls": 1}):
        ask(server)
        ask(server)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.unit, error.used, error.limit, error.rule) == ("model_calls", 1, 1, "budget")
    assert error.outcome.status == "aborted" and error.outcome.spent.model_calls == 1
    assert str(error) == str(caught.value)


def test_an_error_combined_with_a_frameworks_signal_is_still_caught_by_its_own_name() -> None:
    class Signal(Exception):
        pass

    error = passing_through(mas_guard.BudgetExceeded("spent", unit="tokens", used=3, limit=3), (Signal,))
    assert isinstance(error, Signal) and isinstance(error, mas_guard.BudgetExceeded)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is mas_guard.BudgetExceeded and again.limit == 3
    assert passing_through(error, (Signal,)) is not error and type(passing_through(error, (Signal,))) is type(error)


def test_steps_that_hand_on_are_hops_and_the_cap_raises() -> None:
    def work(run: Any) -> None:
        for _ in range(20):
            for agent in ("planner", "writer"):
                with run.step(agent):
                    pass

    with pytest.raises(mas_guard.HopLimitExceeded) as caught, mas_guard.run("task", max_hops=4) as run:
        work(run)
    assert caught.value.hops == 4
    assert caught.value.outcome.path == ("planner", "writer", "planner", "writer", "planner")


def test_a_step_inside_a_step_is_a_delegation_and_coming_back_is_no_hop() -> None:
    with mas_guard.run("task", max_hops=3) as run, run.step("boss"):
        for worker in ("one", "two", "three"):
            with run.step(worker):
                pass
    assert run.outcome is not None and run.outcome.hops == 3


def test_an_owner_that_is_no_agent_decides_through_a_plugin(server: ModelServer) -> None:
    class Owner:
        @mas_guard.hookimpl
        def mas_guard_decide(self, brief: Any, run: Any) -> mas_guard.Decision:
            assert brief.rule == "budget"
            return mas_guard.Decision("complete", result={"found": 1})

    owner = Owner()
    mas_guard.register(owner)
    try:
        with mas_guard.run("task", owner="clerk", budget={"model_calls": 1}) as run:
            ask(server)
            ask(server)
    finally:
        mas_guard.unregister(owner)
    assert run.outcome is not None
    assert (run.outcome.status, run.result) == ("partial", {"found": 1})


def test_a_second_owner_is_a_conflict() -> None:
    with mas_guard.run("task", owner="planner"):
        from mas_guard.adapter import current_run

        run = current_run.get()
        assert run is not None
        with pytest.raises(mas_guard.OwnershipConflict, match="'planner'"):
            run.set_owner("writer")


def test_a_group_refuses_runs_that_have_not_begun_once_its_budget_is_gone(server: ModelServer) -> None:
    with mas_guard.group("nightly", model_calls=2) as group:
        for _ in range(4):
            with suppress(mas_guard.BudgetExceeded), mas_guard.run("item"):
                ask(server)
    assert server.count == 2
    assert [outcome.status for outcome in group.outcomes] == ["completed", "completed", "aborted", "aborted"]
    with pytest.raises(mas_guard.ConfigError, match="Did you mean usd"):
        mas_guard.group("nightly", uds=4)


def test_threads_of_the_app_belong_to_its_run(server: ModelServer) -> None:
    with mas_guard.run("task") as run:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert run.spent.model_calls == 3


def test_bypass_leaves_the_run_and_says_so(server: ModelServer) -> None:
    with mas_guard.run("task", budget={"model_calls": 1}) as run:
        ask(server)
        with mas_guard.bypass(reason="health check"):
            ask(server)
    assert run.outcome is not None and run.outcome.notes == ("bypassed: health check",)
    assert run.spent.model_calls == 1


def test_a_top_up_lifts_the_stop(server: ModelServer) -> None:
    with mas_guard.run("task", budget={"model_calls": 1}) as run:
        ask(server)
        with pytest.raises(mas_guard.BudgetExceeded):
            ask(server)
        run.top_up(model_calls=1)
        ask(server)
    assert run.outcome is not None and run.outcome.status == "completed"


def test_the_outcome_of_a_text_names_last_outcome() -> None:
    with pytest.raises(LookupError, match="last_outcome"):
        mas_guard.outcome("a text")
    with pytest.raises(LookupError, match="no result of a guarded run"):
        mas_guard.outcome({})


def test_baggage_carries_the_run_and_what_cannot_be_read_is_absent(server: ModelServer) -> None:
    carrier = {"baggage": "user=7"}
    with mas_guard.run("task") as run:
        ask(server)
        mas_guard.inject(carrier)
    assert carrier["baggage"].startswith("user=7,mas-guard=")
    with mas_guard.extract({"Baggage": carrier["baggage"]}) as brought:
        assert brought is not None and brought.id == run.id and brought.spent().model_calls == 1
    with mas_guard.extract({"baggage": "mas-guard=%7Bbroken"}) as brought:
        assert brought is None


def test_observe_mode_refuses_nothing(server: ModelServer) -> None:
    with mas_guard.run("task", mode="observe", budget={"model_calls": 1}) as run:
        ask(server)
        ask(server)
    assert server.count == 2 and run.outcome is not None and run.outcome.status == "completed"


def test_mode_off_in_the_environment_beats_code(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_MODE", "off")
    with mas_guard.run("task", mode="enforce", budget={"model_calls": 1}) as run:
        ask(server)
        ask(server)
    assert server.count == 2 and run.outcome is None


def test_a_plugins_price_stands_above_the_table_and_holds(server: ModelServer) -> None:
    class Contract:
        @mas_guard.hookimpl
        def mas_guard_price(self, model: str, usage: Any) -> int:
            return int((usage.input_tokens or 0) * 1_000 + (usage.output_tokens or 0) * 10_000)

    contract = Contract()
    mas_guard.register(contract)
    try:
        with mas_guard.run("task", budget={"usd": "0.02"}) as run:
            ask(server)
        usage = server.requests[0].body
        with pytest.raises(mas_guard.BudgetExceeded, match="USD"), mas_guard.run("task", budget={"usd": "0.00005"}):
            ask(server)
    finally:
        mas_guard.unregister(contract)
    assert server.count == 1
    assert usage["max_completion_tokens"] < 16_384 and run.spent.nano_usd > run.spent.tokens * 1_000


def test_an_unknown_price_under_a_dollar_limit_is_refused_with_the_line_to_add(server: ModelServer) -> None:
    client = OpenAI(base_url=server.url, api_key="unused", max_retries=0)
    with pytest.raises(mas_guard.BudgetExceeded, match=r'\[models."house-model"\] input_price'):
        with mas_guard.run("task", budget={"usd": 1}):
            client.chat.completions.create(model="house-model", messages=[{"role": "user", "content": "hello"}])
    assert server.count == 0
