"""Streams keep their type and interface, are settled before their last event, and never leak a hold."""

from __future__ import annotations

import gc
import threading
from typing import Any

import openai
import pytest
from openai import AsyncStream, Stream
from ways import MODEL, QUESTION

import mas_guard
from mas_guard.testing.replies import Reply, ToolCallReply

REPLY = Reply(text="Paid in full.", input_tokens=20, output_tokens=5)
CAP = 400


def _open(client: Any, **more: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=CAP, stream=True, **more)


def test_a_stream_keeps_its_type_and_interface(serve: Any, client: Any) -> None:
    with mas_guard.run("x"):
        stream = _open(client(serve([REPLY])))
        assert type(stream) is Stream
        assert stream.response.status_code == 200
        with stream as same:
            assert same is stream
            assert next(stream).choices[0].delta.role == "assistant"
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Paid in full."
        assert stream.response.is_closed


async def test_an_asynchronous_stream_keeps_its_type_and_interface(serve: Any, async_client: Any) -> None:
    with mas_guard.run("x") as run:
        stream = await _open(async_client(serve([REPLY])))
        assert type(stream) is AsyncStream
        async with stream as same:
            texts = [chunk.choices[0].delta.content or "" async for chunk in same]
    assert "".join(texts) == "Paid in full."
    assert run.spent.tokens == 25


@pytest.mark.parametrize("choices", [1, 3])
def test_the_app_sees_exactly_the_bare_chunks(serve: Any, client: Any, choices: int) -> None:
    tools = Reply(text="One moment.", tool_calls=(ToolCallReply("pay", {"sum": 5}, id="call_1"),))
    asking = client(serve([tools]))
    plain = {"id", "created"}
    bare = [chunk.to_dict() for chunk in _open(asking, n=choices)]
    with mas_guard.run("x") as run:
        guarded = [chunk.to_dict() for chunk in _open(asking, n=choices)]
    for chunk in (*bare, *guarded):
        for key in plain:
            chunk.pop(key)
    assert guarded == bare
    assert run.outcome.notes == ()


def test_the_app_sees_exactly_the_bare_lines_of_a_raw_stream(serve: Any, client: Any) -> None:
    asking = client(serve([REPLY]))

    def lines() -> list[str]:
        create = asking.chat.completions.with_streaming_response.create
        with create(model=MODEL, messages=QUESTION, stream=True) as reply:
            return [line.partition('"choices"')[2] for line in reply.iter_lines()]

    bare = lines()
    with mas_guard.run("x") as run:
        assert lines() == bare
    assert run.spent.tokens == 25


def test_an_app_that_asks_for_usage_gets_it(serve: Any, client: Any) -> None:
    server = serve([REPLY])
    options = {"include_usage": True}
    with mas_guard.run("x") as run:
        chunks = list(_open(client(server), stream_options=options))
    assert chunks[-1].usage.total_tokens == run.spent.tokens == 25
    assert chunks[-1].choices == []
    assert options == {"include_usage": True}


def test_usage_in_the_closing_chunk_is_kept_from_an_app_that_did_not_ask() -> None:
    from mas_guard_openai._event_stream import EventStream
    from mas_guard_openai._kinds import CHAT

    reader = EventStream(CHAT, 1, True, lambda place, error: pytest.fail(f"{place}: {error}"))
    usage = '"usage":{"prompt_tokens":3,"completion_tokens":4}'
    shown = reader.feed(
        b'data: {"choices":[{"delta":{"content":"Hi"}}],' + usage.encode() + b"}\r\n\r\n"
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],' + usage.encode() + b"}\r\n\r\n"
    )
    assert b"usage" not in shown
    assert shown.count(b"choices") == 2
    assert reader.outcome().usage.output_tokens == 4


def test_a_stream_is_settled_before_its_closing_chunk_is_out(serve: Any, client: Any) -> None:
    with mas_guard.run("x") as run:
        for chunk in _open(client(serve([REPLY]))):
            if chunk.choices[0].finish_reason:
                assert run.spent.tokens == 25
                break
        else:
            pytest.fail("no closing chunk")


def test_a_stream_of_responses_is_settled_before_its_closing_event_is_out(serve: Any, client: Any) -> None:
    with mas_guard.run("x") as run:
        for event in client(serve([REPLY])).responses.create(model=MODEL, input="Hi", stream=True):
            if event.type == "response.completed":
                assert run.spent.tokens == 25
                break
        else:
            pytest.fail("no closing event")


def test_a_closed_stream_is_charged_as_held(serve: Any, client: Any) -> None:
    with mas_guard.run("x") as run:
        stream = _open(client(serve([REPLY])))
        next(stream)
        assert run.spent.tokens == 0
        stream.close()
        assert run.spent.tokens > CAP
    assert any("estimated" in note for note in run.outcome.notes)


def test_a_streaming_response_that_nobody_reads_is_charged_as_held(serve: Any, client: Any) -> None:
    create = client(serve([REPLY])).chat.completions.with_streaming_response.create
    with mas_guard.run("x") as run:
        with create(model=MODEL, messages=QUESTION, max_tokens=CAP) as reply:
            assert reply.status_code == 200
        assert run.spent.tokens > CAP


@pytest.mark.parametrize("begun", [True, False])
def test_a_collected_stream_is_charged_as_held(serve: Any, client: Any, begun: bool) -> None:
    with mas_guard.run("x") as run:
        stream = _open(client(serve([REPLY])))
        if begun:
            next(stream)
        del stream
        gc.collect()
        assert run.spent.tokens > CAP


async def test_a_closed_asynchronous_stream_is_charged_as_held(serve: Any, async_client: Any) -> None:
    with mas_guard.run("x") as run:
        stream = await _open(async_client(serve([REPLY])))
        async for _ in stream:
            break
        await stream.close()
        assert run.spent.tokens > CAP


@pytest.mark.parametrize("drop_after", [0, 2])
def test_a_stream_that_is_cut_is_charged_as_held(serve: Any, client: Any, drop_after: int) -> None:
    server = serve([Reply(text="Paid in full.", drop_connection=True, drop_after_chunks=drop_after)])
    with mas_guard.run("x") as run:
        with pytest.raises(Exception, match="(?i)connection|peer"):
            list(_open(client(server)))
        assert run.spent.tokens > CAP


def test_a_stream_can_be_read_on_another_thread_after_the_run(serve: Any, client: Any) -> None:
    with mas_guard.run("x") as run:
        stream = _open(client(serve([REPLY])))
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.extend(c.choices[0].delta.content or "" for c in stream))
    reader.start()
    reader.join()
    assert "".join(texts) == "Paid in full."
    assert run.spent.tokens == 25


def test_open_streams_finish_after_a_budget_stop(serve: Any, client: Any) -> None:
    asking = client(serve([REPLY]))
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"model_calls": 1}) as run:
        stream = _open(asking)
        with pytest.raises(mas_guard.BudgetExceeded):
            _open(asking)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Paid in full."
    assert run.spent.tokens == 25


def test_an_endpoint_that_refuses_the_option_is_asked_once_more_and_remembered(serve: Any, client: Any) -> None:
    server = serve([REPLY], refuse_stream_options=True)
    asking = client(server)
    with mas_guard.run("x") as run:
        for _ in range(2):
            assert "".join(chunk.choices[0].delta.content or "" for chunk in _open(asking)) == "Paid in full."
    assert ["stream_options" in request.body for request in server.requests] == [True, False, False]
    assert run.spent.model_calls == server.count == 3
    assert any("estimated" in note for note in run.outcome.notes)


async def test_the_refused_option_is_left_out_for_asynchronous_clients_too(serve: Any, async_client: Any) -> None:
    server = serve([REPLY], refuse_stream_options=True)
    with mas_guard.run("x"):
        stream = await _open(async_client(server))
        assert [chunk async for chunk in stream]
    assert server.count == 2


def test_another_refusal_is_not_asked_again(serve: Any, client: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x"), pytest.raises(openai.BadRequestError):
        client(server).chat.completions.create(model=MODEL, messages=QUESTION, temperature="hot", stream=True)
    assert server.count == 1
