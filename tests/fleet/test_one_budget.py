"""Whichever process asks, the budget is one, and so is its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

import mas_guard
from mas_guard.testing import ModelServer
from tests.fleet.conftest import Worker

Start = Callable[..., Worker]


def ask() -> None:
    client = OpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)
    client.chat.completions.create(
        model="gpt-4o-mini", max_tokens=50, messages=[{"role": "user", "content": "Is the invoice paid?"}]
    )


def carried() -> dict[str, str]:
    carrier: dict[str, str] = {}
    mas_guard.inject(carrier)
    return carrier


def all_answers(workers: list[Worker], carrier: dict[str, str], calls: int) -> list[dict[str, Any]]:
    for worker in workers:
        worker.tell({"carrier": carrier, "calls": calls})
    return [worker.hear() for worker in workers]


def test_four_processes_of_50_calls_each_send_what_the_budget_allows(
    guarded: mas_guard.Guard, start: Start, model_server: ModelServer
) -> None:
    workers = [start("asks.py") for _ in range(4)]
    with pytest.raises(mas_guard.BudgetExceeded) as raised, mas_guard.run("invoices", budget={"model_calls": 8}):
        answers = all_answers(workers, carried(), 50)
        assert sum(answer["answered"] for answer in answers) == 8
        assert model_server.count == 8
        assert {name for answer in answers for name, _ in answer["stops"]} == {"BudgetExceeded"}
        assert all(len(answer["stops"]) == 50 - answer["answered"] for answer in answers)
        ask()
    assert model_server.count == 8
    assert raised.value.outcome.spent.model_calls == 8


@pytest.mark.parametrize("budget", [{"tokens": 400}, {"usd": "0.0002"}], ids=["tokens", "usd"])
def test_tokens_and_money_never_pass_the_limit_over_processes(
    guarded: mas_guard.Guard, start: Start, budget: dict[str, Any]
) -> None:
    workers = [start("asks.py") for _ in range(4)]
    with pytest.raises(mas_guard.GuardStopped) as raised, mas_guard.run("invoices", budget=budget):
        answers = all_answers(workers, carried(), 20)
        assert 0 < sum(answer["answered"] for answer in answers) < 80
        ask()
    outcome = raised.value.outcome
    assert 0 < outcome.spent.tokens <= budget.get("tokens", outcome.spent.tokens)
    assert outcome.spent.nano_usd <= 200_000


def test_a_stop_in_one_worker_refuses_the_next_call_of_every_other(
    guarded: mas_guard.Guard, start: Start, model_server: ModelServer
) -> None:
    other = start("asks.py")
    with pytest.raises(mas_guard.GuardStopped), mas_guard.run("invoices", max_hops=1, on_limit="abort") as run:
        carrier = carried()
        assert other.tell({"carrier": carrier, "calls": 3}).hear()["answered"] == 3
        with pytest.raises(mas_guard.HopLimitExceeded):
            for agent in ("planner", "writer", "planner"):
                with run.step(agent):
                    pass
        told = other.tell({"carrier": carrier, "calls": 3}).hear()
        assert told["answered"] == 0
        assert told["stops"] == [["HopLimitExceeded", "hops"]] * 3
        ask()
    assert model_server.count == 3


def test_a_stop_reaches_a_worker_that_takes_part_already(
    guarded: mas_guard.Guard, start: Start, model_server: ModelServer
) -> None:
    other = start("asks_when_told.py")
    with pytest.raises(mas_guard.GuardStopped), mas_guard.run("invoices", max_hops=1, on_limit="abort") as run:
        other.tell(carried()).hear()
        assert other.tell("ask").hear() == "answered"
        with pytest.raises(mas_guard.HopLimitExceeded):
            for agent in ("planner", "writer", "planner"):
                with run.step(agent):
                    pass
        assert other.tell("ask").hear() == "HopLimitExceeded"
        assert other.tell("ask").hear() == "HopLimitExceeded"
    assert model_server.count == 1


def test_hops_of_all_processes_are_counted_together(guarded: mas_guard.Guard, start: Start) -> None:
    others = [start("asks_when_told.py") for _ in range(2)]
    with pytest.raises(mas_guard.HopLimitExceeded), mas_guard.run("invoices", max_hops=5, on_limit="abort") as run:
        for other in others:
            other.tell(carried()).hear()
        said = [other.tell("hop").hear() for _ in range(4) for other in others]
        assert said.count("hopped") == 5
        assert set(said[5:]) == {"HopLimitExceeded"}
        for agent in ("planner", "writer"):
            with run.step(agent):
                pass


def test_a_deadline_is_one_for_all_processes(guarded: mas_guard.Guard, start: Start) -> None:
    other = start("asks_when_told.py")
    with mas_guard.run("invoices", deadline="1h"):
        carrier = carried()
    left = start("asks_when_told.py").tell(carrier).hear()["left"]
    later = other.tell(carrier).hear()["left"]
    assert later <= left <= 3600


def test_a_worker_that_gets_no_run_is_a_process_of_its_own(guarded: mas_guard.Guard, start: Start) -> None:
    told = start("asks.py").tell({"carrier": {"baggage": "user=7"}, "calls": 2}).hear()
    assert told == {"answered": 2, "stops": [], "hops": None}


def test_a_group_is_one_over_processes(guarded: mas_guard.Guard, start: Start, model_server: ModelServer) -> None:
    workers = [start("runs_in_group.py") for _ in range(3)]
    with mas_guard.group("nightly", model_calls=8) as group:
        carrier = carried()
        for worker in workers:
            worker.tell({"carrier": carrier, "runs": 10})
        told = [worker.hear() for worker in workers]
        assert group.spent.model_calls == 8
    assert model_server.count == 8
    assert sum(one["answered"] for one in told) == 8
    assert all(one["refused"] == 10 - one["answered"] for one in told)


def test_an_emptied_store_grants_nothing_anew(guarded: mas_guard.Guard, start: Start, store_url: str) -> None:
    if not store_url.startswith("redis"):
        pytest.skip("a file is not emptied beneath those who have it open")
    import redis

    other = start("asks.py")
    with mas_guard.run("invoices", budget={"model_calls": 8}):
        carrier = carried()
        connection = redis.Redis.from_url(store_url.partition("?")[0])
        for key in connection.scan_iter(match="*"):
            connection.delete(key)
        assert other.tell({"carrier": carrier, "calls": 3}).hear()["stops"][0] == ["StoreUnavailable", "store"]
