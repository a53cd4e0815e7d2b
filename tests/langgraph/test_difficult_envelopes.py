"""Envelopes that are asked of models that misplace them, give them twice, or leave them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool as as_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.doubtful_results import ANSWER, doubtful, envelope
from tests.langgraph.apps import QUESTION, model

THREAD = {"configurable": {"thread_id": "1"}, "recursion_limit": 200}


def clerk(url: str, *tools: Any, checkpointer: Any = None, **options: Any) -> Any:
    return create_agent(model(url, **options), list(tools), system_prompt="You are clerk.", checkpointer=checkpointer)


async def streamed(app: Any) -> str:
    """The tokens of a run as its reader gets them, in the same context as the reader's."""
    return "".join([str(chunk.content) async for chunk, _ in app.astream(QUESTION, THREAD, stream_mode="messages")])


def asked(answer: str, bare: str = ANSWER) -> Callable[[Request], Reply]:
    return lambda request: text(answer if "<<envelope" in str(request.body) else bare)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (f"One.{envelope(0.9)}\nTwo.", "One.\nTwo."),
        (f"{envelope(0.9)}\n{ANSWER}", f"\n{ANSWER}"),
        (ANSWER + '\n<<envelope {"status": "success"', ANSWER),
        (f"{ANSWER}\n", f"{ANSWER}\n"),
        ("One is <", "One is <"),
    ],
    ids=["in the middle", "first", "without its end", "a break at the end", "what may begin the line at the end"],
)
async def test_a_misplaced_envelope_is_never_seen(answer: str, shown: str, streaming: bool) -> None:
    with ModelServer(asked(answer)) as server:
        agent = clerk(server.url, checkpointer=InMemorySaver(), streaming=streaming)
        app = mas_guard.wrap(agent, envelopes="require")
        tokens = await streamed(app)
        state = (await app.aget_state(THREAD)).values["messages"][-1].content
    assert (tokens, state) == (shown, shown)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_an_envelope_that_is_given_twice_is_never_seen(streaming: bool) -> None:
    with ModelServer(asked(f"{ANSWER}{envelope(0.9)}{envelope(0.9)}")) as server:
        app = mas_guard.wrap(clerk(server.url, streaming=streaming), envelopes="require")
        assert await streamed(app) == ANSWER


def looks_up(request: Request) -> Reply:
    """A model that gives the envelope with its tool calls, too."""
    last = envelope(0.9) if "<<envelope" in str(request.body) else ""
    if request.messages[-1]["role"] == "user" and "tool" not in {message["role"] for message in request.messages}:
        return Reply(text=f"I look it up.{last}", tool_calls=call("look_up", page=1).tool_calls)
    return text(f"{ANSWER}{last}")


@as_tool
def look_up(page: int) -> str:
    """Look a page up."""
    return f"page {page}: 80 EUR"


@pytest.mark.parametrize(
    "streaming",
    [
        False,
        True,
    ],
    ids=["plain", "streamed"],
)
async def test_an_envelope_beside_tool_calls_is_never_seen(streaming: bool) -> None:
    with ModelServer(looks_up) as server:
        agent = clerk(server.url, look_up, checkpointer=InMemorySaver(), streaming=streaming)
        app = mas_guard.wrap(agent, envelopes="require")
        await app.ainvoke(QUESTION, THREAD)
        said = [message.content for message in (await app.aget_state(THREAD)).values["messages"]]
        assert server.count == 2
    assert said[1:] == ["I look it up.", "page 1: 80 EUR", ANSWER]


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_an_envelope_in_a_list_of_parts_is_taken_off(streaming: bool) -> None:
    with ModelServer(doubtful) as server:
        agent = clerk(server.url, checkpointer=InMemorySaver(), streaming=streaming, use_responses_api=True)
        app = mas_guard.wrap(agent, envelopes="require")
        result = await app.ainvoke(QUESTION, THREAD)
        assert server.count == 1
    assert [part["text"] for part in result["messages"][-1].content] == [ANSWER]
    assert "envelope" not in str((await app.aget_state(THREAD)).values)
    assert mas_guard.outcome(result).envelopes["model"].confidence == 0.4


@pytest.mark.parametrize("limit", ["budget", "agent_budget"])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
def test_a_repair_that_does_not_fit_the_budget_stops_nothing(limit: str, streaming: bool) -> None:
    with ModelServer(lambda request: text(ANSWER)) as server:
        settings: dict[str, Any] = {limit: {"model_calls": 1}}
        app = mas_guard.wrap(clerk(server.url, streaming=streaming), envelopes="require", **settings)
        result = app.invoke(QUESTION)
        assert server.count == 1
    assert result["messages"][-1].content == ANSWER
    assert mas_guard.outcome(result).status == "completed"


def test_a_repair_that_the_provider_refuses_takes_nothing_away() -> None:
    def script(request: Request) -> Reply:
        return Reply(status=400, error_message="bad request") if request.index else text(ANSWER)

    with ModelServer(script) as server:
        result = mas_guard.wrap(clerk(server.url), envelopes="require").invoke(QUESTION)
    assert result["messages"][-1].content == ANSWER


def test_a_reason_that_cannot_be_sent_does_not_break_the_next_agent() -> None:
    def script(request: Request) -> Reply:
        said = '\n<<envelope {"status": "partial", "reason": "half a pair: \\ud800"}>>'
        return text(ANSWER + said if "You are one." in str(request.body) else ANSWER + envelope(0.9))

    with ModelServer(script) as server:
        graph: Any = StateGraph(MessagesState)
        for name in ("one", "two"):
            graph.add_node(name, create_agent(model(server.url), [], system_prompt=f"You are {name}.", name=name))
        graph.add_edge(START, "one")
        graph.add_edge("one", "two")
        graph.add_edge("two", END)
        app = mas_guard.wrap(graph.compile(), envelopes="require")
        assert app.invoke(QUESTION)["messages"][-1].content == ANSWER
