"""Every way of asking is one call, and settled at what the provider says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from openai import OpenAI
from ways import ASYNC_WAYS, MODEL, QUESTION, WAYS

import mas_guard
from mas_guard.testing.replies import Reply, fault

REPLY = Reply(text='{"total": 5}', input_tokens=120, output_tokens=30, cached_tokens=20)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_call_costs_what_the_provider_says(serve: Any, client: Any, way: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        way(client(server))
    assert (run.spent.model_calls, run.spent.tokens) == (1, 150)
    assert server.count == 1
    assert run.outcome.notes == ()


@pytest.mark.parametrize("way", ASYNC_WAYS.values(), ids=ASYNC_WAYS.keys())
async def test_an_asynchronous_call_costs_what_the_provider_says(serve: Any, async_client: Any, way: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        await way(async_client(server))
    assert (run.spent.model_calls, run.spent.tokens) == (1, 150)
    assert run.outcome.notes == ()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_nothing_is_sent_after_the_budget_is_gone(serve: Any, client: Any, way: Any) -> None:
    server = serve([REPLY])
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"model_calls": 1}):
        way(client(server))
        way(client(server))
    assert server.count == 1


def test_cached_input_costs_its_own_price(serve: Any, client: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        client(server).chat.completions.create(model=MODEL, messages=QUESTION)
    fresh, cached, output = 150, 75, 600  # nano-USD a token
    assert run.spent.nano_usd == 100 * fresh + 20 * cached + 30 * output


def test_usage_that_is_not_said_is_charged_as_held_and_said_to_be_estimated(serve: Any, client: Any) -> None:
    server = serve([Reply(text="Paid.", usage=False)])
    with mas_guard.run("x") as run:
        client(server).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=500)
    assert run.spent.tokens >= 500
    assert any("estimated" in note for note in run.outcome.notes)


def test_a_reply_that_the_client_cannot_parse_is_settled_at_its_usage(serve: Any, client: Any) -> None:
    server = serve([Reply(text='{"total": 5}' * 40, input_tokens=100, finish_reason="length", output_tokens=9)])
    with mas_guard.run("x") as run, pytest.raises(Exception, match="length limit"):
        WAYS["chat_parse"](client(server))
    assert run.spent.tokens == 109


def test_an_error_of_the_provider_is_not_billed(serve: Any, client: Any) -> None:
    server = serve([fault(500, "down")])
    with mas_guard.run("x") as run, pytest.raises(Exception, match="down"):
        client(server).chat.completions.create(model=MODEL, messages=QUESTION)
    assert (run.spent.model_calls, run.spent.tokens) == (1, 0)


def test_a_connection_that_is_lost_is_charged_as_held(serve: Any, client: Any) -> None:
    server = serve([Reply(drop_connection=True)])
    with mas_guard.run("x") as run, pytest.raises(Exception, match="Connection"):
        client(server).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=500)
    assert run.spent.tokens >= 500


def test_a_connection_that_was_never_made_costs_no_tokens(serve: Any, client: Any) -> None:
    server = serve()
    gone = client(server)
    server.close()
    with mas_guard.run("x") as run, pytest.raises(Exception, match="Connection"):
        gone.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=500)
    assert run.spent.tokens == 0


def test_a_client_inside_a_step_acts_for_its_agent(serve: Any, client: Any) -> None:
    calls = []

    class Listener:
        @mas_guard.hookimpl
        def mas_guard_after_call(self, call: Any, outcome: Any, run: Any) -> None:
            calls.append((call.agent, call.last_message, outcome.text))

    listener = Listener()
    mas_guard.register(listener)
    try:
        with mas_guard.run("x") as run, run.step("clerk"):
            client(serve()).chat.completions.create(model=MODEL, messages=QUESTION)
    finally:
        mas_guard.unregister(listener)
    assert calls == [("clerk", "What is owed?", "Paid.")]


class _Embeddings(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        vectors = [{"object": "embedding", "index": 0, "embedding": [0.5] * 8}]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        body = json.dumps({"object": "list", "data": vectors, "model": "m", "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def test_an_embedding_is_a_call_that_costs_its_input() -> None:
    http = HTTPServer(("127.0.0.1", 0), _Embeddings)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    embedder = OpenAI(base_url=f"http://127.0.0.1:{http.server_port}/v1", api_key="x")
    try:
        with mas_guard.run("x", budget={"tokens": 2000}) as run:
            reply = embedder.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        assert len(reply.data[0].embedding) == 8
        assert (run.spent.model_calls, run.spent.tokens) == (1, 7)
    finally:
        embedder.close()
        http.shutdown()
        http.server_close()
