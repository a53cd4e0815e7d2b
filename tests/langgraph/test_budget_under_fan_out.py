"""Fifty calls at once on a budget of eight: the server sees exactly eight, whatever carries the fan-out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text
from tests.langgraph.apps import fan_out, model

WIDTH = 50


def prompt(job: int) -> str:
    """About a thousand tokens of text."""
    return f"job {job}: " + "word " * 800


def ask(chat: Any, state: Any) -> dict[str, Any]:
    return {"answers": [chat.invoke(prompt(state["job"])).content]}


def by_send(chat: Any, wrap: Callable[[Any], Any]) -> None:
    wrap(fan_out(lambda state: ask(chat, state))).invoke({"jobs": list(range(WIDTH)), "answers": []})


def by_send_async(chat: Any, wrap: Callable[[Any], Any]) -> None:
    async def worker(state: Any) -> dict[str, Any]:
        return {"answers": [(await chat.ainvoke(prompt(state["job"]))).content]}

    asyncio.run(wrap(fan_out(worker)).ainvoke({"jobs": list(range(WIDTH)), "answers": []}))


def one_job(wrap: Callable[[Any], Any], work: Callable[[Any], dict[str, Any]]) -> None:
    wrap(fan_out(work)).invoke({"jobs": [0], "answers": []})


def by_threads(chat: Any, wrap: Callable[[Any], Any]) -> None:
    def work(state: Any) -> dict[str, Any]:
        def call(job: int) -> None:
            with suppress(Exception):
                chat.invoke(prompt(job))

        threads = [threading.Thread(target=call, args=(job,)) for job in range(WIDTH)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"answers": []}

    one_job(wrap, work)


def by_pool(chat: Any, wrap: Callable[[Any], Any]) -> None:
    def work(state: Any) -> dict[str, Any]:
        with ThreadPoolExecutor(WIDTH) as pool:
            for future in [pool.submit(chat.invoke, prompt(job)) for job in range(WIDTH)]:
                with suppress(Exception):
                    future.result()
        return {"answers": []}

    one_job(wrap, work)


def by_asyncio_tasks(chat: Any, wrap: Callable[[Any], Any]) -> None:
    async def work(state: Any) -> dict[str, Any]:
        await asyncio.gather(*(chat.ainvoke(prompt(job)) for job in range(WIDTH)), return_exceptions=True)
        return {"answers": []}

    asyncio.run(wrap(fan_out(work)).ainvoke({"jobs": [0], "answers": []}))


def by_batch_of_the_model(chat: Any, wrap: Callable[[Any], Any]) -> None:
    def work(state: Any) -> dict[str, Any]:
        chat.batch([f"job {job}" for job in range(WIDTH)], return_exceptions=True)
        return {"answers": []}

    one_job(wrap, work)


def by_streams(chat: Any, wrap: Callable[[Any], Any]) -> None:
    def work(state: Any) -> dict[str, Any]:
        def read(job: int) -> None:
            with suppress(Exception):
                list(chat.stream(f"job {job}"))

        with ThreadPoolExecutor(WIDTH) as pool:
            list(pool.map(read, range(WIDTH)))
        return {"answers": []}

    one_job(wrap, work)


def mixed(chat: Any, wrap: Callable[[Any], Any]) -> None:
    def work(state: Any) -> dict[str, Any]:
        with suppress(Exception):
            chat.batch([f"job {state['job']}.{part}" for part in range(5)], return_exceptions=True)
        return {"answers": []}

    wrap(fan_out(work)).invoke({"jobs": list(range(10)), "answers": []})


WAYS = (
    by_send, by_send_async, by_threads, by_pool, by_asyncio_tasks, by_batch_of_the_model, by_streams, mixed,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_server_sees_exactly_eight_calls(way: Callable[..., None]) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(lambda request: text("done")) as server:
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            way(
                model(server.url),
                lambda app: mas_guard.wrap(app, budget={"model_calls": 8}, on_outcome=outcomes.append),
            )
        assert server.count == 8
    assert caught.value.unit == "model_calls"
    assert (caught.value.used, caught.value.limit) == (8, 8) or caught.value.held
    (outcome,) = outcomes
    assert outcome.status == "aborted" and outcome.spent.model_calls == 8


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_bare_all_fifty_are_sent(way: Callable[..., None]) -> None:
    with ModelServer(lambda request: text("done")) as server:
        way(model(server.url), lambda app: app)
        assert server.count == WIDTH


def answer_up_to_the_cap(request: Request) -> Reply:
    return text("word " * 900, input_tokens=1000, output_tokens=1000)


@pytest.mark.parametrize("way", [by_send, by_send_async, by_pool, by_asyncio_tasks], ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("budget", "unit", "limit"),
    [({"tokens": 50_000}, "tokens", 50_000), ({"usd": "0.01875"}, "nano_usd", 18_750_000)],
    ids=["tokens", "usd"],
)
def test_tokens_and_dollars_are_never_above_and_mostly_usable(
    way: Callable[..., None], budget: dict[str, Any], unit: str, limit: int
) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(answer_up_to_the_cap) as server:
        # 1,000 tokens in and out of gpt-4o-mini cost 750,000 nano-USD: 25 of the 50 calls fit into each budget.
        with suppress(mas_guard.BudgetExceeded):
            way(
                model(server.url),
                lambda app: mas_guard.wrap(app, budget=budget, on_outcome=outcomes.append),
            )
    (outcome,) = outcomes
    spent = getattr(outcome.spent, unit)
    assert limit * 3 // 4 <= spent <= limit
    assert outcome.rule == "budget"


def test_the_refusal_tells_the_figures_and_the_setting() -> None:
    with ModelServer(lambda request: text("done")) as server:
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            by_send(model(server.url), lambda app: mas_guard.wrap(app, budget={"model_calls": 8}))
    message = str(caught.value)
    assert "limit 8 model calls" in message and "1 asked for" in message
    assert "MAS_GUARD_BUDGET__MODEL_CALLS" in message
