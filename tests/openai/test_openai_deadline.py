"""No request outlives the deadline, and a time-out at the deadline is the run's stop."""

from __future__ import annotations

import time
from threading import Event
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from ways import MODEL, QUESTION

import mas_guard
from mas_guard.testing.replies import Reply, fault

SHORT = 0.4  # seconds


@pytest.fixture
def never() -> Any:
    """An event that holds a reply until the test ends."""
    event = Event()
    yield event
    event.set()


@pytest.mark.parametrize("retries", [0, 5])
def test_a_synchronous_call_gets_the_time_that_is_left(serve: Any, client: Any, never: Event, retries: int) -> None:
    server = serve([Reply(wait_for=never)])
    with (
        pytest.raises(mas_guard.DeadlineExceeded) as stop,
        mas_guard.run("x", deadline=SHORT),
        pytest.raises(mas_guard.DeadlineExceeded),
    ):
        client(server, max_retries=retries).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=400)
    assert server.count == 1
    assert stop.value.outcome.spent.tokens > 400


async def test_an_asynchronous_call_is_cut_and_charged_as_held(serve: Any, async_client: Any, never: Event) -> None:
    server = serve([Reply(wait_for=never)])
    with pytest.raises(mas_guard.DeadlineExceeded) as stop, mas_guard.run("x", deadline=SHORT):
        await async_client(server, max_retries=5).chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=400
        )
    assert server.count == 1
    assert stop.value.outcome.spent.tokens > 400


def test_the_wait_before_a_retry_is_no_longer_than_the_time_that_is_left(
    serve: Any, client: Any, monkeypatch: Any
) -> None:
    waits: list[float] = []
    clock = SimpleNamespace(sleep=waits.append, time=time.time)
    monkeypatch.setattr("openai._base_client.time", clock)
    server = serve([fault(429, "busy", headers={"retry-after": "60"})])
    with mas_guard.run("x", deadline=30), pytest.raises(openai.RateLimitError):
        client(server, max_retries=2).chat.completions.create(model=MODEL, messages=QUESTION)
    assert len(waits) == 2
    assert max(waits) <= 30


@pytest.mark.parametrize("held_after", [0, 2])
def test_a_stream_that_stalls_ends_with_the_deadline(serve: Any, client: Any, never: Event, held_after: int) -> None:
    server = serve([Reply(text="Paid in full.", wait_for=never, hold_stream_after=held_after)])
    with pytest.raises(mas_guard.DeadlineExceeded), mas_guard.run("x", deadline=SHORT) as run:
        list(client(server).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=400, stream=True))
    assert run.spent.tokens > 400


async def test_an_asynchronous_stream_that_stalls_ends_with_the_deadline(
    serve: Any, async_client: Any, never: Event
) -> None:
    server = serve([Reply(text="Paid in full.", wait_for=never, hold_stream_after=2)])
    seen = []
    with pytest.raises(mas_guard.DeadlineExceeded), mas_guard.run("x", deadline=SHORT) as run:
        stream = await async_client(server).chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=400, stream=True
        )
        async for chunk in stream:
            seen.append(chunk)
    assert seen
    assert run.spent.tokens > 400


def test_a_swallowed_deadline_lets_nothing_more_out(serve: Any, client: Any, never: Event) -> None:
    server = serve([Reply(wait_for=never)])
    with pytest.raises(mas_guard.DeadlineExceeded), mas_guard.run("x", deadline=SHORT):
        for _ in range(5):
            try:
                client(server).chat.completions.create(model=MODEL, messages=QUESTION)
            except Exception:
                pass
    assert server.count == 1


def test_the_apps_own_shorter_time_out_stays_its_own(serve: Any, client: Any, never: Event) -> None:
    server = serve([Reply(wait_for=never)])
    with mas_guard.run("x", deadline="30m") as run, pytest.raises(openai.APITimeoutError):
        client(server).chat.completions.create(model=MODEL, messages=QUESTION, timeout=0.2)
    assert run.outcome.rule == ""


def test_only_what_is_longer_than_the_time_left_is_shortened() -> None:
    from mas_guard_openai._attempt import _smaller

    timeout = openai.Timeout
    own = timeout(600, connect=5)
    assert _smaller(own, 700) is own
    assert _smaller(own, 60) == timeout(60, connect=5)
    assert _smaller(None, 60) == 60
    assert _smaller(10, 60) == 10
    assert _smaller(timeout(None), 60) == timeout(60)
