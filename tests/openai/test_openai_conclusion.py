"""What the guard tells a model goes out with the request only, and where the provider does not keep it."""

from __future__ import annotations

from typing import Any

import pytest
from ways import MODEL, QUESTION

import mas_guard
from mas_guard.testing.replies import Reply, ToolCallReply, text

TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}
FLAT_TOOL = {
    "type": "function",
    "name": "pay",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


@pytest.fixture
def concluding() -> Any:
    """A run that is stopped, with control back at an owner that has a model."""

    def begin(run: Any) -> None:
        # A framework's adapter does this where control returns to its owner's node.
        run.owner_has_model = lambda: True
        run.latch(mas_guard.BudgetExceeded("The budget is gone."))
        assert run.stop.begin_conclusion()

    return begin


def _stopped(concluding: Any) -> Any:
    from mas_guard.adapter import current_run

    concluding(current_run.get())


def test_the_concluding_turn_of_chat_gets_the_brief_last_and_may_call_no_tool(
    serve: Any, client: Any, concluding: Any
) -> None:
    server = serve()
    with mas_guard.run("x", owner="clerk") as run:
        _stopped(concluding)
        client(server).chat.completions.create(model=MODEL, messages=QUESTION, tools=[TOOL])
    body = server.requests[0].body
    assert body["messages"][:-1] == QUESTION
    assert body["messages"][-1]["role"] == "user"
    assert "The budget is gone." in body["messages"][-1]["content"]
    assert (body["tool_choice"], body["tools"]) == ("none", [TOOL])
    assert (run.outcome.status, run.outcome.envelope.result) == ("partial", "Paid.")


@pytest.mark.parametrize("given", ["What is owed?", [{"role": "user", "content": "What is owed?"}]])
def test_the_concluding_turn_of_responses_gets_the_brief_last(
    serve: Any, client: Any, concluding: Any, given: Any
) -> None:
    server = serve()
    with mas_guard.run("x", owner="clerk"):
        _stopped(concluding)
        client(server).responses.create(model=MODEL, input=given, tools=[FLAT_TOOL])
    request = server.requests[0]
    assert request.messages[0]["content"] == "What is owed?"
    assert "The budget is gone." in request.last_text
    assert request.body["tool_choice"] == "none"


def test_where_the_provider_keeps_the_history_the_brief_is_an_instruction(
    serve: Any, client: Any, concluding: Any
) -> None:
    server = serve()
    asking = client(server)
    first = asking.responses.create(model=MODEL, input="What is owed?")
    with mas_guard.run("x", owner="clerk"):
        _stopped(concluding)
        asking.responses.create(model=MODEL, input="Well?", previous_response_id=first.id, instructions="Be brief.")
    body = server.requests[1].body
    assert body["input"] == "Well?"
    assert body["instructions"].startswith("Be brief.\n\n")
    assert "The budget is gone." in body["instructions"]


def test_a_streamed_conclusion_is_the_result(serve: Any, client: Any, concluding: Any) -> None:
    with mas_guard.run("x", owner="clerk") as run:
        _stopped(concluding)
        list(client(serve()).chat.completions.create(model=MODEL, messages=QUESTION, stream=True))
    assert run.outcome.envelope.result == "Paid."


@pytest.mark.parametrize("stream", [True, False])
def test_an_owner_that_calls_a_tool_all_the_same_is_not_obeyed(
    serve: Any, client: Any, concluding: Any, stream: bool
) -> None:
    server = serve([Reply(tool_calls=(ToolCallReply("pay"),))])
    with pytest.raises(mas_guard.BudgetExceeded) as stop, mas_guard.run("x", owner="clerk"):
        _stopped(concluding)
        reply = client(server).chat.completions.create(model=MODEL, messages=QUESTION, tools=[TOOL], stream=stream)
        list(reply)
    assert "pay" in stop.value.outcome.reason


def test_what_the_provider_keeps_is_held_at_the_last_reply_of_that_conversation(serve: Any, client: Any) -> None:
    server = serve([text("Paid.", input_tokens=3000, output_tokens=500)])
    asking = client(server)
    held = []

    class Listener:
        @mas_guard.hookimpl
        def mas_guard_before_call(self, call: Any, run: Any) -> None:
            held.append((call.input_bound, call.unseen_input))

    listener = Listener()
    mas_guard.register(listener)
    try:
        with mas_guard.run("x") as run:
            first = asking.responses.create(model=MODEL, input="Hi")
            asking.responses.create(model=MODEL, input="Hi", previous_response_id=first.id)
    finally:
        mas_guard.unregister(listener)
    (plain, seen), (continued, unseen) = held
    assert continued == plain + 3500
    assert (seen, unseen) == (False, True)
    assert any("not visible" in note for note in run.outcome.notes)


def test_a_conversation_that_this_process_does_not_know_is_held_at_a_stated_figure() -> None:
    from mas_guard.prices import held_history as _history

    assert _history.unseen_tokens({"conversation": {"id": "conv_elsewhere"}}, 1_000_000) == 32_768
    assert _history.unseen_tokens({"previous_response_id": "resp_elsewhere"}, 8_192) == 8_192
    assert _history.unseen_tokens({"input": "Hi"}, 8_192) == 0
    assert _history.unseen_tokens({"tools": [{"type": "web_search"}, FLAT_TOOL]}, None) == 16_384
