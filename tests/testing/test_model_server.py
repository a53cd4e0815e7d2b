"""The local model server: its script, its counts, its connections, and as a process of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import httpx
import openai
import pytest

from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text

HELLO: Any = [{"role": "user", "content": "hello"}]


def client_of(server: ModelServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="x", **{"max_retries": 0, **options})


def ask(server: ModelServer, **fields: Any) -> Any:
    with client_of(server) as client:
        return client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": HELLO, **fields})


# The script


def test_a_list_of_replies_goes_out_in_order() -> None:
    with ModelServer(["one", text("two")]) as server:
        assert [ask(server).choices[0].message.content for _ in range(2)] == ["one", "two"]


def test_a_list_that_ran_out_says_so_and_is_not_retried() -> None:
    with ModelServer(["one"]) as server, client_of(server, max_retries=2) as client:
        ask(server)
        with pytest.raises(openai.InternalServerError, match="has 1 replies and this is call 2.*repeat_last"):
            client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        assert (server.count, server.answered) == (2, 1)


def test_the_last_reply_repeats_where_asked() -> None:
    with ModelServer(["one", "two"], repeat_last=True) as server:
        assert [ask(server).choices[0].message.content for _ in range(4)] == ["one", "two", "two", "two"]


def test_a_function_answers_by_the_request() -> None:
    with ModelServer(lambda request: f"{request.index}: {request.last_text}") as server:
        ask(server)
        assert ask(server).choices[0].message.content == "1: hello"


def test_a_failing_function_is_told_to_the_client() -> None:
    def broken(request: Request) -> Reply:
        raise KeyError("no such agent")

    with ModelServer(broken) as server, pytest.raises(openai.InternalServerError, match="KeyError.*no such"):
        ask(server)


def test_a_function_that_gives_no_reply_is_told_to_the_client() -> None:
    def wrong(request: Request) -> Any:
        return 7

    with ModelServer(wrong) as server, pytest.raises(openai.InternalServerError, match="gave int where"):
        ask(server)


def test_a_script_that_is_no_script_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="not str"):
        ModelServer("hello")


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "a", "chunks": ("a",)},
        {"text": "a", "refusal": "no"},
        {"hold_stream_after": 1},
        {"drop_after_chunks": 1},
        {"chunk_count": 0},
        {"input_tokens": -1},
        {"output_tokens": 2, "reasoning_tokens": 3},
    ],
)
def test_a_reply_that_contradicts_itself_is_refused_at_once(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Reply"):
        Reply(**fields)


# What a test reads afterwards


def test_requests_read_alike_for_both_apis() -> None:
    function = {"name": "search", "parameters": {"type": "object"}}
    history = {"id": "c1", "name": "search", "arguments": "{}"}
    with ModelServer(["one", "two"]) as server, client_of(server) as client:
        called = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
        chat: Any = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Find it."}]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
        ]
        chat_tools: Any = [{"type": "function", "function": function}]
        client.chat.completions.create(model="gpt-4o", messages=chat, tools=chat_tools)
        items: Any = [
            {"role": "user", "content": [{"type": "input_text", "text": "Find it."}]},
            {"type": "function_call", "call_id": "c1", "name": "search", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "found"},
        ]
        tools: Any = [{"type": "function", **function}, {"type": "web_search"}]
        client.responses.create(model="gpt-4o", input=items, instructions="Be brief.", tools=tools)
        first, second = server.requests
    assert first.messages == second.messages
    assert first.messages[2:] == [
        {"role": "assistant", "content": "", "tool_calls": [history]},
        {"role": "tool", "content": "found", "tool_call_id": "c1"},
    ]
    assert (first.path, second.path) == ("/v1/chat/completions", "/v1/responses")
    assert (first.system, first.last_text, first.model, first.streamed) == (
        "Be brief.",
        "found",
        "gpt-4o",
        False,
    )
    assert (first.tool_names, second.tool_names) == (["search"], ["search", "web_search"])
    assert json.loads(first.raw) == first.body
    assert first.headers["authorization"] == "Bearer x"


def test_equal_runs_give_equal_bytes() -> None:
    def run() -> list[bytes]:
        body = {"model": "gpt-4o", "messages": HELLO}
        with ModelServer([call("search", query="x"), text("done", chunk_count=2)]) as server:
            plain = httpx.post(f"{server.url}/chat/completions", json=body)
            streamed = httpx.post(f"{server.url}/chat/completions", json={**body, "stream": True})
            return [plain.content, streamed.content]

    assert run() == run()


def test_calls_one_after_the_other_never_count_as_two_in_flight() -> None:
    with ModelServer(["x"], repeat_last=True) as server, client_of(server) as client:
        for number in range(40):
            reply = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=bool(number % 2))
            list(reply)
        assert (server.count, server.in_flight, server.most_in_flight) == (40, 0, 1)
        assert server.answered == 40


def test_sixty_calls_are_in_flight_at_once() -> None:
    with ModelServer(["x"], repeat_last=True, release_when_in_flight=60) as server:
        with client_of(server) as client, ThreadPoolExecutor(60) as threads:
            create = client.chat.completions.create
            list(threads.map(lambda _: create(model="gpt-4o", messages=HELLO), range(60)))
        assert (server.most_in_flight, server.count, server.answered) == (60, 60, 60)


def test_sixty_tasks_are_in_flight_at_once() -> None:
    async def fan_out(url: str) -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
            create = client.chat.completions.create
            await asyncio.gather(*(create(model="gpt-4o", messages=HELLO) for _ in range(60)))

    with ModelServer(["x"], repeat_last=True, release_when_in_flight=60) as server:
        asyncio.run(fan_out(server.url))
        assert (server.most_in_flight, server.answered) == (60, 60)


def test_a_gate_that_is_never_reached_opens_after_the_time_out() -> None:
    with ModelServer(["x"], repeat_last=True, release_when_in_flight=2, wait_timeout=0.01) as server:
        ask(server)
        ask(server)
        assert (server.most_in_flight, server.answered) == (1, 2)


def test_functions_run_beside_each_other() -> None:
    meeting = Barrier(3)

    def together(request: Request) -> str:
        meeting.wait(10)
        return "met"

    with ModelServer(together) as server, ThreadPoolExecutor(3) as threads:
        replies = list(threads.map(lambda _: ask(server), range(3)))
    assert [reply.choices[0].message.content for reply in replies] == ["met"] * 3


# Connections and processes


def test_a_connection_serves_many_requests() -> None:
    body = json.dumps({"model": "gpt-4o", "messages": HELLO, "stream": True})
    with ModelServer(["x"], repeat_last=True) as server:
        connection = HTTPConnection(server.root_url.removeprefix("http://"))
        sockets = set()
        for _ in range(3):
            connection.request("POST", "/v1/chat/completions", body)
            sockets.add(connection.sock)
            assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
        assert (len(sockets), server.count) == (1, 3)


def test_a_client_that_leaves_inside_its_request_makes_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    with ModelServer(["x"]) as server:
        with socket.create_connection(("127.0.0.1", int(server.root_url.rpartition(":")[2]))) as connection:
            connection.sendall(b"POST /v1/responses HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        assert (server.count, capfd.readouterr().err) == (0, "")


def test_an_unknown_path_is_not_found_and_not_counted() -> None:
    with ModelServer([]) as server:
        assert httpx.post(f"{server.url}/embeddings", json={}).status_code == 404
        assert httpx.get(f"{server.url}/models").json()["error"]["message"].startswith("Invalid URL (GET ")
        assert server.count == 0


def test_another_process_reads_the_counts() -> None:
    with ModelServer(["x"]) as server:
        ask(server)
        counts = httpx.get(f"{server.root_url}/requests").json()
    assert counts["requests"] == [{"model": "gpt-4o-mini", "messages": HELLO}]
    assert {name: counts[name] for name in ("count", "answered", "in_flight", "most_in_flight")} == {
        "count": 1,
        "answered": 1,
        "in_flight": 0,
        "most_in_flight": 1,
    }


def test_closing_releases_what_is_held_and_may_be_done_twice() -> None:
    server = ModelServer([text("late", wait_for=Event())], wait_timeout=600)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(ask, server)
        assert server.wait_for_count(1)
        server.close()
        assert future.exception(10) is None or isinstance(future.exception(), openai.APIConnectionError)
    server.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.root_url}/requests")


def test_it_serves_as_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "my_script.py").write_text("replies = ['from afar']\n")
    command = [sys.executable, "-m", "mas_guard.testing.model_server", "--script", "my_script:replies"]
    options = ["--repeat-last", "--max-requests", "1"]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command + options, stdout=subprocess.PIPE, cwd=tmp_path, env={"PYTHONPATH": root}, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        body = {"model": "gpt-4o", "messages": HELLO}
        reply = httpx.post(f"{url}/chat/completions", json=body).json()
        assert reply["choices"][0]["message"]["content"] == "from afar"
        assert httpx.post(f"{url}/chat/completions", json=body).json()["error"]["code"] == "server_gave_up"
        assert httpx.get(f"{url.removesuffix('/v1')}/requests").json()["count"] == 2
    finally:
        process.terminate()
        process.communicate()


def test_importing_the_names_loads_no_server() -> None:
    code = "import sys, mas_guard.testing; print('http.server' in sys.modules)"
    root = str(Path(__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_several_calls_are_numbered_apart() -> None:
    reply = Reply(tool_calls=(ToolCallReply("a"), ToolCallReply("b", id="mine"), ToolCallReply("c", "{broken")))
    with ModelServer([reply]) as server:
        calls = ask(server).choices[0].message.tool_calls
    assert [(found.id, found.function.name) for found in calls] == [
        ("call_0_0", "a"),
        ("mine", "b"),
        ("call_0_2", "c"),
    ]
    assert calls[2].function.arguments == "{broken"
