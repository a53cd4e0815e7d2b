"""The local model server refuses what real providers refuse, and nothing that they accept."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

from mas_guard.testing import ModelServer, call, text

USER = {"role": "user", "content": "hello"}
ASKED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ],
}
ANSWER_1 = {"role": "tool", "tool_call_id": "c1", "content": "one"}
ANSWER_2 = {"role": "tool", "tool_call_id": "c2", "content": "two"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "one"}
CHAT_TOOL = {"type": "function", "function": {"name": "f"}}
TOOL = {"type": "function", "name": "f"}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [USER], **fields}


def responses(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "input": "hello", **fields}


def post(body: dict[str, Any], **options: Any) -> httpx.Response:
    """Send *body* to the API whose fields it has."""
    path = "responses" if "input" in body and "messages" not in body else "chat/completions"
    with ModelServer(["fine"], **options) as server:
        return httpx.post(f"{server.url}/{path}", json=body)


def refused(body: dict[str, Any], **options: Any) -> tuple[int, Any]:
    reply = post(body, **options)
    error = reply.json().get("error")
    assert error is not None, f"accepted: {body}"
    assert set(error) == {"message", "type", "param", "code"}
    return reply.status_code, error


# Tool calls and their answers


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([USER, ASKED], "did not have response messages: c1, c2"),
        ([USER, ASKED, ANSWER_1], "did not have response messages: c2"),
        ([USER, ASKED, ANSWER_1, USER, ANSWER_2], "did not have response messages: c2"),
        ([USER, ANSWER_1], "must be a response to a preceding message"),
        ([USER, ASKED, ANSWER_1, ANSWER_2, USER, ANSWER_1], "must be a response to a preceding message"),
        ([USER, ASKED, {**ANSWER_1, "tool_call_id": "c9"}], "'tool_call_id' of 'c9' not found"),
    ],
)
def test_chat_wants_every_tool_call_answered_at_once(messages: list[Any], words: str) -> None:
    status, error = refused(chat(messages=messages, tools=[CHAT_TOOL]))
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([USER, CALL], "No tool output found for function call c1."),
        ([USER, OUTPUT], "No tool call found for function call output with call_id c1."),
        ([USER, OUTPUT, CALL], "No tool call found for function call output with call_id c1."),
    ],
)
def test_responses_wants_every_function_call_answered(items: list[Any], words: str) -> None:
    status, error = refused(responses(input=items))
    assert (status, error["message"], error["param"]) == (400, words, "input")


@pytest.mark.parametrize(
    "body",
    [
        chat(messages=[USER, ASKED, ANSWER_2, ANSWER_1, USER]),
        chat(messages=[USER, ASKED, ANSWER_1, ANSWER_2], tools=[CHAT_TOOL], tool_choice="none"),
        chat(max_tokens=16_384, temperature=1, stop=["x"], user="me", some_new_field=1),
        chat(response_format={"type": "json_object"}, seed=None, stream_options=None),
        chat(tools=[CHAT_TOOL], tool_choice={"type": "function", "function": {"name": "f"}}),
        chat(model="o3", max_completion_tokens=100_000),
        chat(model="my-own", max_tokens=10_000_000),
        responses(input=[USER, CALL, USER, OUTPUT]),
        responses(max_output_tokens=16, tools=[], text={"format": {"type": "text"}}),
        responses(tools=[TOOL, {"type": "web_search"}], tool_choice="required"),
        responses(stream=True, stream_options={"include_obfuscation": False}),
    ],
)
def test_what_providers_accept_is_accepted(body: dict[str, Any]) -> None:
    assert post(body).status_code == 200


# Caps


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (chat(max_tokens=16_385), "max_tokens", "invalid_value"),
        (chat(max_completion_tokens=16_385), "max_completion_tokens", "invalid_value"),
        (chat(model="gpt-4o-2024-11-20", max_tokens=16_385), "max_tokens", "invalid_value"),
        (chat(model="gpt-4o-2024-05-13", max_tokens=4_097), "max_tokens", "invalid_value"),
        (chat(model="ft:gpt-4.1-2025-04-14:us::1", max_tokens=32_769), "max_tokens", "invalid_value"),
        (chat(max_tokens=0), "max_tokens", "integer_below_min_value"),
        (chat(max_tokens=1.5), "max_tokens", "invalid_type"),
        (chat(max_tokens=True), "max_tokens", "invalid_type"),
        (chat(max_tokens="100"), "max_tokens", "invalid_type"),
        (chat(model="o3-mini", max_tokens=100), "max_tokens", "unsupported_parameter"),
        (
            chat(max_tokens=1, max_completion_tokens=1),
            "max_tokens",
            "invalid_parameter_combination",
        ),
        (responses(max_output_tokens=16_385), "max_output_tokens", "invalid_value"),
        (responses(max_output_tokens=15), "max_output_tokens", "integer_below_min_value"),
        (responses(max_tokens=100), "max_tokens", "unsupported_parameter"),
        (chat(max_output_tokens=100), "max_output_tokens", "unsupported_parameter"),
    ],
)
def test_a_cap_out_of_range_or_out_of_place_is_refused(body: dict[str, Any], param: str, code: str) -> None:
    status, error = refused(body)
    assert (status, error["param"], error["code"]) == (400, param, code)


def test_the_maximum_of_a_model_is_a_setting() -> None:
    _, error = refused(chat(model="mine", max_tokens=11), model_maximums={"mine": 10})
    assert "at most 10 completion tokens, whereas you provided 11" in error["message"]
    assert post(chat(model="mine", max_tokens=10), model_maximums={"mine": 10}).status_code == 200
    assert refused(chat(model="other", max_tokens=6), unknown_model_maximum=5)[0] == 400


# Fields


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [USER]}, "model"),
        ({"model": "gpt-4o"}, "messages"),
        (chat(messages="hello"), "messages"),
        (chat(messages=[]), "messages"),
        (chat(messages=["hello"]), "messages[0]"),
        (chat(messages=[{"content": "x"}]), "messages[0].role"),
        (chat(messages=[{"role": "robot", "content": "x"}]), "messages[0].role"),
        (chat(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
        (chat(messages=[{"role": "user", "content": None}]), "messages[0].content"),
        (chat(messages=[{"role": "assistant", "content": None}]), "messages[0].content"),
        (chat(messages=[{"role": "user", "content": ["x"]}]), "messages[0].content[0]"),
        (chat(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id"),
        (chat(messages=[{**ASKED, "tool_calls": []}]), "messages[0].tool_calls"),
        (chat(messages=[{**ASKED, "tool_calls": [{"id": "c"}]}]), "messages[0].tool_calls[0].type"),
        (chat(temperature="hot"), "temperature"),
        (chat(temperature=2.5), "temperature"),
        (chat(stream="yes"), "stream"),
        (chat(n=0), "n"),
        (chat(tools={}), "tools"),
        (chat(tools=[]), "tools"),
        (chat(tools=[{"function": {"name": "f"}}]), "tools[0].type"),
        (chat(tools=[{"type": "function"}]), "tools[0].function"),
        (chat(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
        (chat(tools=[TOOL]), "tools[0].function"),
        (
            chat(tools=[{"type": "function", "function": {"name": "f", "parameters": "x"}}]),
            "tools[0].function.parameters",
        ),
        (chat(tool_choice="none"), "tool_choice"),
        (chat(parallel_tool_calls=False), "parallel_tool_calls"),
        (chat(tools=[CHAT_TOOL], tool_choice="never"), "tool_choice"),
        (
            chat(tools=[CHAT_TOOL], tool_choice={"type": "function", "function": {"name": "g"}}),
            "tool_choice",
        ),
        (chat(stream_options={"include_usage": True}), "stream_options"),
        (responses(input=7), "input"),
        (responses(input=[]), "input"),
        (responses(input=[{"role": "user"}]), "input[0].content"),
        (responses(input=[{"role": "tool", "content": "x"}]), "input[0].role"),
        (responses(input=[{"type": "function_call", "name": "f"}]), "input[0].call_id"),
        (responses(input=[{**OUTPUT, "output": {}}]), "input[0].output"),
        (responses(instructions=["x"]), "instructions"),
        (responses(tools=[CHAT_TOOL]), "tools[0].name"),
        (responses(tool_choice="required"), "tool_choice"),
        (
            responses(stream=True, stream_options={"include_usage": True}),
            "stream_options.include_usage",
        ),
        (responses(conversation={}), "conversation.id"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(body: dict[str, Any], param: str) -> None:
    status, error = refused(body)
    assert (status, error["param"]) == (400, param)


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with ModelServer([]) as server:
        assert httpx.post(f"{server.url}/responses", content=raw).status_code == 400
        assert (server.requests[0].raw, server.requests[0].body, server.requests[0].messages) == (raw, {}, [])


def test_a_refused_request_is_counted_and_takes_no_reply() -> None:
    with ModelServer(["first"]) as server:
        httpx.post(f"{server.url}/chat/completions", json=chat(max_tokens=0))
        reply = httpx.post(f"{server.url}/chat/completions", json=chat()).json()
        assert reply["choices"][0]["message"]["content"] == "first"
        assert (server.count, server.answered, server.in_flight) == (2, 1, 0)


# Other providers, by switches


@pytest.mark.parametrize(
    "body", [chat(messages=[USER, ASKED, ANSWER_1, ANSWER_2]), responses(input=[USER, CALL, OUTPUT])]
)
def test_bedrock_refuses_a_tool_history_without_tools(body: dict[str, Any]) -> None:
    status, error = refused(body, refuse_tool_history_without_tools=True)
    assert (status, error["param"]) == (400, "tools")
    tools = [CHAT_TOOL] if "messages" in body else [TOOL]
    assert post({**body, "tools": tools}, refuse_tool_history_without_tools=True).status_code == 200


def test_mistral_refuses_stream_options() -> None:
    body = chat(stream=True, stream_options={"include_usage": True})
    status, error = refused(body, refuse_stream_options=True)
    assert (status, error["param"]) == (422, "stream_options")
    assert post(chat(stream=True), refuse_stream_options=True).status_code == 200


# History that the server holds


def test_a_response_goes_on_from_the_previous_one() -> None:
    output: Any = [{"type": "function_call_output", "call_id": "call_0_0", "output": "found"}]
    with ModelServer([call("f"), "done", "again"]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="x", max_retries=0)
        asked = client.responses.create(model="gpt-4o", input="hello")
        with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_0_0"):
            client.responses.create(model="gpt-4o", input="and?", previous_response_id=asked.id)
        stream = client.responses.create(model="gpt-4o", input=output, previous_response_id=asked.id, stream=True)
        last: Any = list(stream)[-1]
        again = client.responses.create(model="gpt-4o", input="more", previous_response_id=last.response.id)
        assert again.output_text == "again"
        assert again.usage is not None
        assert again.usage.input_tokens > len(server.requests[3].raw) // 4
        client.close()


def test_a_conversation_holds_its_history() -> None:
    output: Any = [{"type": "function_call_output", "call_id": "call_0_0", "output": "found"}]
    with ModelServer([call("f"), "done"]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="x", max_retries=0)
        name = client.conversations.create().id
        client.responses.create(model="gpt-4o", input="hello", conversation=name)
        with pytest.raises(openai.BadRequestError, match="call_0_0"):
            client.responses.create(model="gpt-4o", input="and?", conversation={"id": name})
        done = client.responses.create(model="gpt-4o", input=output, conversation=name)
        assert (done.output_text, server.count) == ("done", 3)
        client.close()


def test_a_reference_stands_for_the_item_it_names() -> None:
    with ModelServer([call("f"), "done"]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="x", max_retries=0)
        item: Any = client.responses.create(model="gpt-4o", input="hello").output[0]
        answered: Any = [
            {"type": "item_reference", "id": item.id},
            {"type": "function_call_output", "call_id": item.call_id, "output": "found"},
        ]
        assert client.responses.create(model="gpt-4o", input=answered).output_text == "done"
        client.close()


def test_what_was_not_stored_is_not_found() -> None:
    with ModelServer([text("one")]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="x", max_retries=0)
        first = client.responses.create(model="gpt-4o", input="hello", store=False)
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(model="gpt-4o", input="x", previous_response_id=first.id)
        assert raised.value.code == "previous_response_not_found"
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="gpt-4o", input="x", conversation="conv_9")
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(model="gpt-4o", input="x", conversation="c", previous_response_id="r")
        assert raised.value.code == "mutually_exclusive_parameters"
        client.close()
