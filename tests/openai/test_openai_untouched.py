"""Where no limit binds the requests leave as without the guard, and uninstrumenting leaves nothing behind."""

from __future__ import annotations

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import _base_client
from ways import ASYNC_WAYS, MODEL, QUESTION, WAYS

import mas_guard
from mas_guard.testing.replies import text

REPLY = text('{"total": 5}')
PLAIN = [name for name in WAYS if "stream" not in name or name == "chat_streaming_response"]
SEAMS = {
    _base_client.SyncAPIClient: ("request", "_process_response"),
    _base_client.AsyncAPIClient: ("request", "_process_response"),
    _base_client.BaseClient: ("_build_request", "_calculate_retry_timeout"),
}


def _seams() -> list[Any]:
    return [vars(owner)[name] for owner, names in SEAMS.items() for name in names]


@pytest.mark.parametrize("way", [name for name in PLAIN if name not in ("chat_helper",)])
def test_a_request_leaves_byte_for_byte_as_bare(serve: Any, client: Any, way: str) -> None:
    server = serve([REPLY])
    WAYS[way](client(server))
    with mas_guard.run("x"):
        WAYS[way](client(server))
    bare, guarded = server.requests
    assert guarded.raw == bare.raw
    assert guarded.headers.keys() == bare.headers.keys()


@pytest.mark.parametrize("way", WAYS)
def test_observe_mode_leaves_every_request_byte_for_byte_as_bare(serve: Any, client: Any, way: str) -> None:
    server = serve([REPLY])
    WAYS[way](client(server))
    with mas_guard.run("x", mode="observe", budget={"tokens": 10, "model_calls": 1, "usd": 0.000001}):
        WAYS[way](client(server))
        WAYS[way](client(server))
    bare, *guarded = server.requests
    assert [request.raw for request in guarded] == [bare.raw, bare.raw]


@pytest.mark.parametrize("way", ASYNC_WAYS)
async def test_observe_mode_leaves_asynchronous_requests_as_bare(serve: Any, async_client: Any, way: str) -> None:
    server = serve([REPLY])
    await ASYNC_WAYS[way](async_client(server))
    with mas_guard.run("x", mode="observe", budget={"tokens": 10}):
        await ASYNC_WAYS[way](async_client(server))
    bare, guarded = server.requests
    assert guarded.raw == bare.raw


def test_a_stream_differs_only_in_asking_for_its_usage(serve: Any, client: Any) -> None:
    server = serve([REPLY])
    WAYS["chat_stream"](client(server))
    with mas_guard.run("x"):
        WAYS["chat_stream"](client(server))
    bare, guarded = server.requests
    assert guarded.body.pop("stream_options") == {"include_usage": True}
    assert guarded.body == bare.body


def test_ten_calls_run_ten_at_once_under_the_defaults(serve: Any, client: Any) -> None:
    server = serve([REPLY], release_when_in_flight=10)
    asking = client(server)
    with mas_guard.run("x"), ThreadPoolExecutor(10) as pool:
        list(pool.map(WAYS["chat"], [asking] * 10))
    assert server.most_in_flight == 10


def test_a_first_call_of_a_hundred_thousand_tokens_is_sent(serve: Any, client: Any) -> None:
    server = serve([REPLY])
    messages = [{"role": "user", "content": "word " * 100_000}]
    with mas_guard.run("x"):
        client(server).chat.completions.create(model=MODEL, messages=messages)
    assert "max_completion_tokens" not in server.requests[0].body


def test_uninstrument_leaves_everything_as_it_was(serve: Any, client: Any) -> None:
    before = _seams()
    mas_guard.instrument()
    assert all(now is not then for now, then in zip(_seams(), before, strict=True))
    with mas_guard.run("x"):
        WAYS["chat"](client(serve([REPLY])))
    assert mas_guard.uninstrument() == []
    assert all(now is then for now, then in zip(_seams(), before, strict=True))


def test_somebody_elses_wrapper_on_top_is_left_alone() -> None:
    mas_guard.instrument()
    ours = _base_client.SyncAPIClient.request

    def theirs(*arguments: Any, **keywords: Any) -> Any:
        return ours(*arguments, **keywords)

    _base_client.SyncAPIClient.request = theirs  # type: ignore[method-assign]
    try:
        assert mas_guard.uninstrument() == ["openai._base_client:SyncAPIClient.request"]
        assert _base_client.SyncAPIClient.request is theirs
    finally:
        _base_client.SyncAPIClient.request = ours.__wrapped__  # type: ignore[attr-defined, method-assign]


def test_a_request_that_we_cannot_read_leaves_as_it_is_and_is_counted(
    serve: Any, client: Any, monkeypatch: Any, caplog: Any
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("an unexpected shape")

    request = importlib.import_module("mas_guard_openai._request")
    monkeypatch.setattr(request, "model_call", broken)
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        WAYS["chat"](client(server))
    assert run.spent.model_calls == 1
    assert server.requests[0].body == {"messages": QUESTION, "model": MODEL}
    assert "an unexpected shape" in caplog.text


@pytest.mark.parametrize("way", ["chat", "chat_stream", "chat_streaming_response", "responses_stream"])
def test_a_reply_that_we_cannot_read_reaches_the_app(serve: Any, client: Any, monkeypatch: Any, way: str) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("an unexpected shape")

    for module, name in (
        ("_sent", "read_reply"),
        ("_event_stream", "read_reply"),
        ("_event_stream", "_data"),
    ):
        monkeypatch.setattr(importlib.import_module(f"mas_guard_openai.{module}"), name, broken)
    with mas_guard.run("x") as run:
        WAYS[way](client(serve([REPLY])))
    assert run.spent.tokens > 1000
    assert any("estimated" in note for note in run.outcome.notes)


def test_the_front_door_loads_no_client() -> None:
    code = "import sys, mas_guard_openai; assert not {'openai', 'httpx', 'httpx2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
