"""The real clients understand what the local model server says: replies, tool calls, cuts and usage."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from mas_guard.testing import ModelServer, Reply, ToolCallReply, call, text

HELLO: Any = [{"role": "user", "content": "hello"}]
COUNTED = text("Hello there, world!", input_tokens=30, output_tokens=12, cached_tokens=10, reasoning_tokens=4)
TWO_CALLS = Reply(
    text="Looking.",
    tool_calls=(ToolCallReply("search", {"query": "müller"}), ToolCallReply("stop")),
    input_tokens=7,
    output_tokens=9,
)


def sync_client(server: ModelServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="x", max_retries=0)


def async_client(server: ModelServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0)


def chat_model(server: ModelServer, **fields: Any) -> ChatOpenAI:
    key: Any = "x"
    return ChatOpenAI(base_url=server.url, api_key=key, model="gpt-4o-mini", max_retries=0, **fields)


def check_chat_usage(usage: Any) -> None:
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (30, 12, 42)
    assert usage.prompt_tokens_details.cached_tokens == 10
    assert usage.completion_tokens_details.reasoning_tokens == 4


def check_responses_usage(usage: Any) -> None:
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (30, 12, 42)
    assert usage.input_tokens_details.cached_tokens == 10
    assert usage.output_tokens_details.reasoning_tokens == 4


# Chat Completions


def test_chat_plain() -> None:
    with ModelServer([COUNTED]) as server, sync_client(server) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert reply.choices[0].message.content == "Hello there, world!"
    assert (reply.choices[0].finish_reason, reply.model) == ("stop", "gpt-4o")
    check_chat_usage(reply.usage)


@pytest.mark.asyncio
async def test_chat_plain_async() -> None:
    with ModelServer([COUNTED]) as server:
        async with async_client(server) as client:
            reply = await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert reply.choices[0].message.content == "Hello there, world!"
    check_chat_usage(reply.usage)


def test_chat_stream_reports_usage_last_and_only_if_asked() -> None:
    with ModelServer([COUNTED, COUNTED]) as server, sync_client(server) as client:
        create = client.chat.completions.create
        quiet = list(create(model="gpt-4o", messages=HELLO, stream=True))
        asked = list(create(model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}))
    assert all(chunk.usage is None and chunk.choices for chunk in quiet)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in quiet) == "Hello there, world!"
    assert [chunk.usage is None for chunk in asked] == [True] * len(quiet) + [False]
    assert asked[-1].choices == []
    check_chat_usage(asked[-1].usage)


@pytest.mark.asyncio
async def test_chat_stream_async() -> None:
    with ModelServer([COUNTED]) as server:
        async with async_client(server) as client:
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello there, world!"
    check_chat_usage(chunks[-1].usage)


def test_a_provider_that_always_reports_usage_needs_no_asking() -> None:
    with ModelServer([COUNTED], require_usage_opt_in=False) as server, sync_client(server) as client:
        check_chat_usage(list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))[-1].usage)


def test_chat_stream_of_tool_calls_is_put_together_by_the_client() -> None:
    with (
        ModelServer([TWO_CALLS]) as server,
        sync_client(server) as client,
        client.chat.completions.stream(model="gpt-4o", messages=HELLO) as stream,
    ):
        reply = stream.get_final_completion().choices[0]
    assert (reply.message.content, reply.finish_reason) == ("Looking.", "tool_calls")
    calls = reply.message.tool_calls or []
    assert [(found.id, found.function.name) for found in calls] == [
        ("call_0_0", "search"),
        ("call_0_1", "stop"),
    ]
    assert '"query"' in calls[0].function.arguments


def test_a_refusal_is_one_in_both_apis() -> None:
    with ModelServer([Reply(refusal="No.")], repeat_last=True) as server, sync_client(server) as client:
        message = client.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].message
        item: Any = client.responses.create(model="gpt-4o", input="hello").output[0]
        events = list(client.responses.create(model="gpt-4o", input="hello", stream=True))
    assert (message.content, message.refusal) == (None, "No.")
    assert (item.content[0].type, item.content[0].refusal) == ("refusal", "No.")
    assert "".join(event.delta for event in events if event.type == "response.refusal.delta") == "No."


def test_several_choices_share_one_usage() -> None:
    with ModelServer([COUNTED]) as server, sync_client(server) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=HELLO, n=3)
    assert [choice.message.content for choice in reply.choices] == ["Hello there, world!"] * 3
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (30, 36)


# Usage and cuts


def test_usage_is_estimated_where_the_script_gives_none() -> None:
    with ModelServer([text("x" * 40)]) as server, sync_client(server) as client:
        usage = client.chat.completions.create(model="gpt-4o", messages=HELLO).usage
        assert usage is not None
        assert usage.prompt_tokens == len(server.requests[0].raw) // 4
        assert usage.completion_tokens == 10


def test_a_script_may_report_no_usage_or_zero() -> None:
    script = [text("a", usage=False), text("b", usage=False), text("c", input_tokens=0, output_tokens=0)]
    with ModelServer(script) as server, sync_client(server) as client:
        assert client.chat.completions.create(model="gpt-4o", messages=HELLO).usage is None
        assert client.responses.create(model="gpt-4o", input="hello").usage is None
        usage = client.chat.completions.create(model="gpt-4o", messages=HELLO).usage
    assert usage is not None
    assert usage.total_tokens == 0


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_cap_below_the_output_really_cuts_a_chat_reply(name: str) -> None:
    capped: Any = {name: 20}
    with ModelServer([text("0123456789" * 40)]) as server, sync_client(server) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=HELLO, **capped)
    assert (reply.choices[0].finish_reason, reply.choices[0].message.content) == ("length", "0123456789" * 8)
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 20


def test_a_cap_that_is_just_enough_cuts_nothing() -> None:
    with ModelServer([text("x" * 80)]) as server, sync_client(server) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=20)
    assert (reply.choices[0].finish_reason, len(reply.choices[0].message.content or "")) == ("stop", 80)


def test_a_cap_below_the_reasoning_leaves_no_text() -> None:
    thinking = text("answer", reasoning_tokens=50)
    with ModelServer([thinking]) as server, sync_client(server) as client:
        reply = client.responses.create(model="o3", input="hello", max_output_tokens=16)
    assert (reply.status, reply.output_text) == ("incomplete", "")
    assert reply.usage is not None
    assert reply.usage.output_tokens_details.reasoning_tokens == reply.usage.output_tokens == 16


def test_a_cap_cuts_a_tool_call_in_the_middle_of_its_arguments() -> None:
    with ModelServer([call("write", body="x" * 400)]) as server, sync_client(server) as client:
        choice = client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=20).choices[0]
    assert choice.finish_reason == "length"
    cut: Any = (choice.message.tool_calls or [])[0]
    assert cut.function.arguments.startswith('{"body": "xxx')
    assert not cut.function.arguments.endswith("}")


def test_a_cap_cuts_a_responses_stream_which_ends_incomplete() -> None:
    with ModelServer([text("x" * 400)]) as server, sync_client(server) as client:
        events = list(client.responses.create(model="gpt-4o", input="hello", max_output_tokens=20, stream=True))
    last: Any = events[-1]
    assert (last.type, last.response.incomplete_details.reason) == (
        "response.incomplete",
        "max_output_tokens",
    )
    assert last.response.output_text == "x" * 80


# Responses


def test_responses_plain() -> None:
    with ModelServer([COUNTED, TWO_CALLS]) as server, sync_client(server) as client:
        reply = client.responses.create(model="gpt-4o", input="hello")
        items: Any = client.responses.create(model="gpt-4o", input="hello").output
    assert (reply.status, reply.output_text, reply.id) == ("completed", "Hello there, world!", "resp_0")
    check_responses_usage(reply.usage)
    assert [item.type for item in items] == ["message", "function_call", "function_call"]
    assert (items[1].call_id, items[1].name) == ("call_1_0", "search")


@pytest.mark.asyncio
async def test_responses_plain_and_stream_async() -> None:
    with ModelServer([COUNTED, COUNTED]) as server:
        async with async_client(server) as client:
            check_responses_usage((await client.responses.create(model="gpt-4o", input="hello")).usage)
            stream = await client.responses.create(model="gpt-4o", input="hello", stream=True)
            events: list[Any] = [event async for event in stream]
    assert events[-1].response.output_text == "Hello there, world!"
    check_responses_usage(events[-1].response.usage)


def test_responses_stream_has_the_provider_s_order_of_events() -> None:
    reply = Reply(chunks=("a", "b"), tool_calls=(ToolCallReply("f", {"k": 1}),))
    with ModelServer([reply]) as server, sync_client(server) as client:
        events: list[Any] = list(client.responses.create(model="gpt-4o", input="hello", stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(15))
    assert [item.type for item in events[-1].response.output] == ["message", "function_call"]


def test_responses_stream_is_put_together_by_the_client() -> None:
    with (
        ModelServer([TWO_CALLS]) as server,
        sync_client(server) as client,
        client.responses.stream(model="gpt-4o", input="hello") as stream,
    ):
        reply: Any = stream.get_final_response()
    assert reply.output_text == "Looking."
    assert [item.name for item in reply.output[1:]] == ["search", "stop"]


# LangChain, over both APIs


BOTH = pytest.mark.parametrize("use_responses_api", [False, True], ids=["chat", "responses"])


def check_langchain(message: BaseMessage) -> None:
    assert isinstance(message, AIMessage)
    assert message.text == "Hello there, world!"
    usage: Any = message.usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (30, 12, 42)
    assert usage["input_token_details"]["cache_read"] == 10
    assert usage["output_token_details"]["reasoning"] == 4


def joined(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


@BOTH
def test_langchain_plain(use_responses_api: bool) -> None:
    with ModelServer([COUNTED]) as server:
        check_langchain(chat_model(server, use_responses_api=use_responses_api).invoke("hello"))


@BOTH
def test_langchain_stream(use_responses_api: bool) -> None:
    with ModelServer([COUNTED]) as server:
        model = chat_model(server, use_responses_api=use_responses_api, stream_usage=True)
        chunks = list(model.stream("hello"))
    assert len([chunk for chunk in chunks if chunk.text]) == 4
    check_langchain(joined(chunks))


@BOTH
@pytest.mark.asyncio
async def test_langchain_async(use_responses_api: bool) -> None:
    with ModelServer([COUNTED, COUNTED]) as server:
        model = chat_model(server, use_responses_api=use_responses_api, stream_usage=True)
        check_langchain(await model.ainvoke("hello"))
        check_langchain(joined([chunk async for chunk in model.astream("hello")]))


@BOTH
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_langchain_tools(use_responses_api: bool, streamed: bool) -> None:
    def search(query: str) -> str:
        """Search."""
        return query

    with ModelServer([TWO_CALLS, "done"]) as server:
        model = chat_model(server, use_responses_api=use_responses_api, stream_usage=True)
        bound = model.bind_tools([search])
        asked = joined(list(bound.stream("hello"))) if streamed else bound.invoke("hello")
        assert [(found["name"], found["args"]) for found in asked.tool_calls] == [
            ("search", {"query": "müller"}),
            ("stop", {}),
        ]
        answers = [{"role": "tool", "content": "found", "tool_call_id": found["id"]} for found in asked.tool_calls]
        done = bound.invoke([HumanMessage("hello"), asked, *answers])
        assert done.text == "done"
        assert server.requests[1].tool_names == ["search"]
        assert [message["role"] for message in server.requests[1].messages[-2:]] == ["tool", "tool"]


@BOTH
def test_langchain_structured_output(use_responses_api: bool) -> None:
    class City(BaseModel):
        name: str

    with ModelServer([text('{"name": "Ulm"}')]) as server:
        model = chat_model(server, use_responses_api=use_responses_api)
        assert model.with_structured_output(City).invoke("hello") == City(name="Ulm")


def test_langchain_without_stream_usage_gets_none() -> None:
    with ModelServer([COUNTED]) as server:
        whole = joined(list(chat_model(server).stream("hello")))
    assert (whole.text, whole.usage_metadata) == ("Hello there, world!", None)
