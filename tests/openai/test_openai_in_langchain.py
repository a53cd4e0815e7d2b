"""Inside LangChain a request is an attempt of LangChain's call; a client inside a tool makes calls of its own."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from ways import MODEL, QUESTION

import mas_guard
from mas_guard.testing.replies import Reply, fault

REPLY = Reply(text="Paid.", input_tokens=20, output_tokens=5)
FLAVOURS = {
    "chat": {},
    "chat with headers": {"include_response_headers": True},
    "responses": {"use_responses_api": True},
}


@pytest.fixture(params=FLAVOURS.values(), ids=FLAVOURS.keys())
def model(request: Any) -> Any:
    """Makes chat models of one flavour."""

    def make(server: Any, **more: Any) -> ChatOpenAI:
        options = {"model": MODEL, "api_key": "x", "base_url": server.url, "max_retries": 0, **request.param}
        return ChatOpenAI(**{**options, **more})

    return make


@pytest.fixture(autouse=True)
def _langchain_is_guarded() -> None:
    import langgraph.pregel  # noqa: F401 - arms its adapter with the run

    mas_guard.instrument()


def _is_one_call(run: Any, server: Any) -> None:
    assert (run.spent.model_calls, run.spent.tokens) == (1, 25)
    assert server.count == 1


def test_an_invocation_is_one_call(serve: Any, model: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        assert model(server).invoke("Hi").text == "Paid."
    _is_one_call(run, server)


def test_a_stream_is_one_call(serve: Any, model: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        assert "".join(chunk.text for chunk in model(server).stream("Hi")) == "Paid."
    _is_one_call(run, server)


async def test_an_asynchronous_invocation_is_one_call(serve: Any, model: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        await model(server).ainvoke("Hi")
    _is_one_call(run, server)


async def test_an_asynchronous_stream_is_one_call(serve: Any, model: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x") as run:
        assert [chunk async for chunk in model(server).astream("Hi")]
    _is_one_call(run, server)


def test_several_messages_at_once_are_as_many_calls(serve: Any, model: Any) -> None:
    server = serve([REPLY])
    with mas_guard.run("x", budget={"model_calls": 3}) as run:
        model(server).generate([[HumanMessage(word)] for word in ("One", "Two", "Three")])
    assert run.spent.model_calls == server.count == 3


def test_retries_inside_langchain_are_counted(serve: Any, model: Any) -> None:
    busy = fault(500, "busy", headers={"retry-after-ms": "1"})
    server = serve([busy, busy, REPLY])
    with mas_guard.run("x") as run:
        model(server, max_retries=2).invoke("Hi")
    assert run.spent.model_calls == server.count == 3


def test_retries_inside_langchain_never_pass_the_budget(serve: Any, model: Any) -> None:
    server = serve([fault(500, "busy", headers={"retry-after-ms": "1"})])
    with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("x", budget={"model_calls": 4}):
        for _ in range(5):
            try:
                model(server, max_retries=2).invoke("Hi")
            except Exception:
                pass
    assert server.count == 4


def test_a_client_inside_a_tool_makes_calls_of_its_own(serve: Any, client: Any) -> None:
    server = serve([REPLY])

    @tool
    def look_up(name: str) -> str:
        """Look a name up."""
        return str(client(server).chat.completions.create(model=MODEL, messages=QUESTION).choices[0].message.content)

    with mas_guard.run("x", budget={"model_calls": 2}) as run:
        assert look_up.invoke({"name": "Ada"}) == "Paid."
        assert client(server).chat.completions.create(model=MODEL, messages=QUESTION)
    assert (run.spent.model_calls, run.spent.tool_calls) == (2, 1)
    assert server.count == 2


def test_the_deadline_inside_langchain_is_the_runs_stop(serve: Any, model: Any) -> None:
    from threading import Event

    never = Event()
    server = serve([Reply(wait_for=never)])
    try:
        with (
            pytest.raises(mas_guard.DeadlineExceeded),
            mas_guard.run("x", deadline=0.4),
            pytest.raises(mas_guard.DeadlineExceeded),
        ):
            model(server, max_retries=3).invoke("Hi")
        assert server.count == 1
    finally:
        never.set()
