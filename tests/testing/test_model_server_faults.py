"""The local model server holds, fails, delays and drops its answers as its script says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Event
from typing import Any

import openai
import pytest

from mas_guard.testing import ModelServer, Reply, fault, text

HELLO: Any = [{"role": "user", "content": "hello"}]


class WatchedEvent(Event):
    """An event that tells when somebody first asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Event()

    def is_set(self) -> bool:
        self.asked.set()
        return super().is_set()


def client_of(server: ModelServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="x", **{"max_retries": 0, **options})


def ask(server: ModelServer, **fields: Any) -> Any:
    with client_of(server) as client:
        return client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": HELLO, **fields})


def pieces_of(stream: Any) -> Iterator[str]:
    return (chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content)


def test_a_reply_is_held_until_its_event() -> None:
    go = Event()
    with ModelServer([text("late", wait_for=go)]) as server, ThreadPoolExecutor(1) as threads:
        future = threads.submit(ask, server)
        assert server.wait_for_in_flight(1)
        assert not future.done()
        go.set()
        assert future.result(10).choices[0].message.content == "late"


def test_a_held_reply_goes_out_after_the_time_out_all_the_same() -> None:
    with ModelServer([text("late", wait_for=Event())], wait_timeout=0.01) as server:
        assert ask(server).choices[0].message.content == "late"


def test_a_stream_is_held_after_its_first_pieces() -> None:
    go = Event()
    reply = Reply(chunks=("a", "b", "c"), wait_for=go, hold_stream_after=2)
    with ModelServer([reply]) as server, client_of(server) as client:
        pieces = pieces_of(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
        assert [next(pieces), next(pieces)] == ["a", "b"]
        assert server.in_flight == 1
        go.set()
        assert list(pieces) == ["c"]


def test_a_held_stream_sends_nothing_further() -> None:
    go = WatchedEvent()
    reply = Reply(chunks=("first", "second", "third"), wait_for=go, hold_stream_after=2)
    with ModelServer([reply]) as server:
        connection = HTTPConnection(server.root_url.removeprefix("http://"))
        body = '{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hello"}]}'
        connection.request("POST", "/v1/chat/completions", body)
        assert go.asked.wait(10)
        sent = connection.sock.recv(65_536)
        assert (b"second" in sent, b"third" in sent) == (True, False)
        connection.close()


def test_a_client_that_leaves_a_held_stream_is_noticed() -> None:
    reply = Reply(chunks=("a", "b"), wait_for=Event(), hold_stream_after=1)
    with ModelServer([reply]) as server, client_of(server) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
        assert next(pieces_of(stream)) == "a"
        stream.close()
        assert server.wait_for_in_flight(0)
        assert (server.abandoned, server.answered) == (1, 0)


def test_a_delayed_reply_still_comes() -> None:
    with ModelServer([text("slow", delay_seconds=0.001)]) as server:
        assert ask(server).choices[0].message.content == "slow"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_fault_arrives_as_the_client_s_own_error(status: int, error: type[openai.APIStatusError]) -> None:
    reply = fault(status, "Try later.", code="busy", headers={"retry-after": "3"})
    with ModelServer([reply]) as server, pytest.raises(error, match=r"Try later\.") as raised:
        ask(server)
    assert (raised.value.status_code, raised.value.code) == (status, "busy")
    assert raised.value.response.headers["retry-after"] == "3"


def test_each_retry_of_the_client_is_a_request_of_its_own() -> None:
    soon = {"retry-after-ms": "1"}
    script: list[Reply | str] = [fault(500, "down", headers=soon), fault(429, "busy", headers=soon), "up"]
    with ModelServer(script) as server, client_of(server, max_retries=2) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert (reply.choices[0].message.content, server.count, server.answered) == ("up", 3, 1)


def test_a_dropped_connection_is_a_connection_error() -> None:
    with ModelServer([Reply(drop_connection=True)]) as server, pytest.raises(openai.APIConnectionError):
        ask(server)


def test_a_stream_is_dropped_after_its_first_pieces() -> None:
    reply = Reply(chunks=("a", "b", "c"), drop_connection=True, drop_after_chunks=2)
    with ModelServer([reply]) as server, client_of(server) as client:
        pieces = pieces_of(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
        assert [next(pieces), next(pieces)] == ["a", "b"]
        with pytest.raises(openai.APIConnectionError):
            next(pieces)
        assert server.wait_for_in_flight(0)
        assert server.answered == 0


def test_the_server_gives_up_after_its_maximum() -> None:
    with ModelServer(["x"], repeat_last=True, max_requests=2) as server:
        with client_of(server, max_retries=2) as client:
            create = client.chat.completions.create
            create(model="gpt-4o", messages=HELLO)
            create(model="gpt-4o", messages=HELLO)
            with pytest.raises(openai.BadRequestError, match="answers 2 requests and this is request 3") as raised:
                create(model="gpt-4o", messages=HELLO)
        assert raised.value.code == "server_gave_up"
        assert (server.count, server.answered) == (3, 2)
