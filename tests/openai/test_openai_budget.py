"""A budget holds under fan-out, and whatever the app does with the exception."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ways import ASYNC_WAYS, MODEL, QUESTION, WAYS

import mas_guard
from mas_guard.testing.replies import Reply

NANO = 1_000_000_000


def _swallowing(way: Any) -> Any:
    def ask(client: Any) -> None:
        try:
            way(client)
        except Exception:
            pass

    return ask


@pytest.mark.parametrize("way", ["chat", "chat_stream", "responses", "chat_raw_stream"])
def test_fifty_threads_on_eight_calls_send_eight(serve: Any, client: Any, way: str) -> None:
    server = serve()
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"model_calls": 8}):
        threads = [threading.Thread(target=_swallowing(WAYS[way]), args=(client(server),)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.count == 8


@pytest.mark.parametrize("way", ["async_chat", "async_chat_stream", "async_responses_stream"])
async def test_fifty_tasks_on_eight_calls_send_eight(serve: Any, async_client: Any, way: str) -> None:
    server = serve()
    asking = async_client(server)
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"model_calls": 8}):
        await asyncio.gather(*(ASYNC_WAYS[way](asking) for _ in range(50)), return_exceptions=True)
    assert server.count == 8


@pytest.mark.parametrize("unit", ["tokens", "usd"])
@pytest.mark.parametrize("way", ["chat", "chat_stream"])
def test_a_budget_of_tokens_or_money_is_never_passed_and_mostly_usable(
    serve: Any, client: Any, unit: str, way: str
) -> None:
    server = serve([Reply(text="Paid.", input_tokens=100, output_tokens=300)])
    asking = client(server)
    tokens, price = 12_000, 100 * 150 + 300 * 600
    limit: Any = tokens if unit == "tokens" else price * 30 / NANO
    with (
        pytest.raises(mas_guard.BudgetExceeded) as stop,
        mas_guard.run("x", budget={unit: limit}),
        ThreadPoolExecutor(10) as pool,
    ):
        list(pool.map(_swallowing(WAYS[way]), [asking] * 60))
    spent = stop.value.outcome.spent
    used, most = (spent.tokens, tokens) if unit == "tokens" else (spent.nano_usd, price * 30)
    assert 0.75 * most <= used <= most
    assert server.count == spent.model_calls


async def test_asynchronous_calls_wait_for_what_others_hold(serve: Any, async_client: Any) -> None:
    server = serve([Reply(text="Paid.", input_tokens=100, output_tokens=300)])
    asking = async_client(server)
    with pytest.raises(mas_guard.BudgetExceeded) as stop, mas_guard.run("x", budget={"tokens": 12_000}):
        await asyncio.gather(*(ASYNC_WAYS["async_chat"](asking) for _ in range(60)), return_exceptions=True)
    assert 9_000 <= stop.value.outcome.spent.tokens <= 12_000


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_swallowed_stops_let_nothing_more_out(serve: Any, client: Any, way: Any) -> None:
    server = serve([Reply(text='{"total": 5}')])
    with pytest.raises(mas_guard.BudgetExceeded) as stop, mas_guard.run("x", budget={"model_calls": 3}):
        for _ in range(10):
            _swallowing(way)(client(server))
    assert server.count == 3
    assert stop.value.outcome.status == "aborted"


def test_the_output_cap_is_sent_where_it_binds(serve: Any, client: Any) -> None:
    server = serve([Reply(text="word " * 4000)])
    with mas_guard.run("x", budget={"tokens": 8000}) as run:
        reply = client(server).chat.completions.create(model=MODEL, messages=QUESTION)
        client(server).responses.create(model=MODEL, input="What is owed?")
    first, second = server.requests
    assert first.body["max_completion_tokens"] == 2000
    assert reply.choices[0].finish_reason == "length"
    assert 1024 <= second.body["max_output_tokens"] < 2000
    assert run.outcome.status == "partial"


def test_the_cap_keeps_the_name_that_the_app_gives_it(serve: Any, client: Any) -> None:
    server = serve()
    asking = client(server)
    with mas_guard.run("x", budget={"tokens": 8000}):
        asking.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=5000)
        asking.chat.completions.create(model=MODEL, messages=QUESTION, extra_body={"max_tokens": 5000})
        asking.chat.completions.create(model="local-model", messages=QUESTION)
        asking.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=40)
    bodies = [request.body for request in server.requests]
    assert all("max_completion_tokens" not in body for body in bodies)
    assert all(body["max_tokens"] <= 2000 for body in bodies[:3])
    assert bodies[3]["max_tokens"] == 40


def test_the_apps_own_messages_are_not_touched(serve: Any, client: Any) -> None:
    messages = [dict(QUESTION[0])]
    extra = {"max_tokens": 5000}
    with mas_guard.run("x", budget={"tokens": 8000}):
        client(serve()).chat.completions.create(model=MODEL, messages=messages, extra_body=extra)
    assert messages == QUESTION
    assert extra == {"max_tokens": 5000}


def test_a_picture_is_held_at_a_published_figure_instead_of_its_bytes(serve: Any, client: Any) -> None:
    server = serve()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "Read it."}, picture]}]
    with mas_guard.run("x", budget={"tokens": 20_000}) as run:
        client(server).chat.completions.create(model=MODEL, messages=messages, max_tokens=10)
    assert any("not visible" in note for note in run.outcome.notes)


def test_a_call_made_while_its_own_stream_is_open_does_not_wait_for_it(serve: Any, client: Any) -> None:
    server = serve([Reply(text="Paid.", input_tokens=20, output_tokens=5)])
    asking = client(server)
    with mas_guard.run("x", budget={"tokens": 2000}):
        stream = asking.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1100, stream=True)
        next(stream)
        # It does not fit beside the stream in full, and waiting for a stream that waits for us would never end.
        asking.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1100)
        list(stream)
    assert server.count == 2
    assert server.requests[1].body["max_tokens"] < 1100


def test_outside_of_every_run_a_call_is_told_or_refused(serve: Any, client: Any, caplog: Any) -> None:
    server = serve()
    mas_guard.instrument()
    asking = client(server)
    for _ in range(2):
        asking.chat.completions.create(model=MODEL, messages=QUESTION)
    assert caplog.text.count("outside of every guarded run") == 1
    mas_guard.uninstrument()
    mas_guard.instrument(outside_run="refuse")
    with pytest.raises(mas_guard.GuardStopped, match="OUTSIDE_RUN"):
        asking.chat.completions.create(model=MODEL, messages=QUESTION)
    assert server.count == 2
