"""A store that goes away in the middle of things, and comes back: what is shared is refused, what is not goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import mas_guard
from mas_guard import _fleet, _guard
from mas_guard.testing import ModelServer
from tests.fleet.conftest import Worker
from tests.fleet.test_one_budget import ask, carried
from tests.ledger.redis_server import RedisServer

Start = Callable[..., Worker]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(durable=True) as running:
        yield running


@pytest.fixture
def store_url(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    variables["MAS_GUARD_STORE_TIMEOUT"] = "200ms"


def spent_on_the_store(run_id: str) -> int:
    """The model calls that another process reads there."""
    store = _guard.Guard().engine.store(mas_guard.load_policy())
    return next(balance.settled.model_calls for scope, balance in store.ledger.balances(f"run:{run_id}"))


def found_again(guarded: mas_guard.Guard, look: Callable[[], object]) -> None:
    """Look until the back-off after the outage is over and the store answers."""
    for _ in range(1_000_000):
        if not guarded.engine.ledger.lost:  # type: ignore[attr-defined]
            return
        try:
            look()
        except mas_guard.StoreUnavailable:
            continue
    raise AssertionError("the store was not found again")


def test_a_run_of_one_process_goes_on_and_the_books_are_right_afterwards(
    guarded: mas_guard.Guard, server: RedisServer, model_server: ModelServer
) -> None:
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("report", budget={"model_calls": 8}) as run:
        ask()
        server.kill()
        for _ in range(4):
            ask()
        server.start()
        assert run.spent.model_calls == 5
        found_again(guarded, lambda: run.spent)
        assert spent_on_the_store(run.id) == 5
        for _ in range(9):
            ask()
    assert model_server.count == 8
    assert spent_on_the_store(run.id) == 8


def test_a_shared_run_is_refused_meanwhile_and_goes_on_afterwards(
    guarded: mas_guard.Guard, server: RedisServer, model_server: ModelServer, start: Start
) -> None:
    other = start("asks_when_told.py")
    with mas_guard.run("report", budget={"model_calls": 8}) as run:
        other.tell(carried()).hear()
        ask()
        assert other.tell("ask").hear() == "answered"
        server.kill()
        for _ in range(3):
            with pytest.raises(mas_guard.StoreUnavailable, match="Start|start"):
                ask()
            assert other.tell("ask").hear() == "StoreUnavailable"
        assert model_server.count == 2
        server.start()
        found_again(guarded, lambda: run.spent)
        ask()
        assert run.spent.model_calls == 3
    assert run.outcome is not None and run.outcome.status == "completed"
    assert spent_on_the_store(run.id) == 3


def test_runs_that_began_and_ended_meanwhile_are_listed_afterwards(
    guarded: mas_guard.Guard, server: RedisServer, model_server: ModelServer
) -> None:
    with mas_guard.run("before"):
        ask()
    server.kill()
    with mas_guard.run("meanwhile") as run:
        ask()
    assert mas_guard.status()["store"]["reachable"] is False
    server.start()
    found_again(guarded, guarded.engine.ledger.sweep)
    with mas_guard.run("after"):
        ask()
    found = _fleet.runs(guarded.engine.store(guarded.engine.policy), most=9)
    assert sorted((one.value["name"], one.status) for one in found) == [
        ("after", "completed"),
        ("before", "completed"),
        ("meanwhile", "completed"),
    ]
    assert _fleet.run_of(guarded.engine.store(guarded.engine.policy), run.id).value["spent"][1] == 1


def test_a_process_starts_without_its_store_and_says_so(
    guarded: mas_guard.Guard, server: RedisServer, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    with mas_guard.run("report", budget={"model_calls": 2}) as run:
        ask()
        ask()
        with pytest.raises(mas_guard.StoreUnavailable):
            mas_guard.inject({})
    assert run.outcome is not None and run.outcome.spent.model_calls == 2
    assert "127.0.0.1" in caplog.text


def test_closed_refuses_a_run_of_one_process_as_well(
    guarded: mas_guard.Guard, server: RedisServer, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAS_GUARD_ON_STORE_ERROR", "closed")
    with pytest.raises(mas_guard.StoreUnavailable), mas_guard.run("report"):
        ask()
        server.kill()
        ask()
    assert model_server.count == 1
