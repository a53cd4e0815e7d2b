"""A worker node fails silently: bare, its output is read as data; guarded, the next agent is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool as as_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.langgraph.apps import fan_out, model
from tests.silent_failures import AT_THE_MODEL, STALE, SilentFailure

REPORT = "Here is the report on the harbour, as far as it could be written."
FINDING = "The harbour was closed for three days."
ENVELOPE = '\n<<envelope {"status": "success", "confidence": 0.9, "reason": "all sources agree"}>>'
QUESTION = {"messages": [("user", "Write about the harbour.")]}


def newsroom(url: str, checkpointer: Any = None, **options: Any) -> Any:
    """A researcher, then a writer: each an agent of its own."""
    chat = model(url, **options)
    graph = StateGraph(MessagesState)
    for name in ("researcher", "writer"):
        graph.add_node(name, create_agent(chat, [], system_prompt=f"You are the {name}.", name=name))
    graph.add_edge(START, "researcher")
    graph.add_edge("researcher", "writer")
    graph.add_edge("writer", END)
    return graph.compile(checkpointer=checkpointer)


def is_researcher(request: Request) -> bool:
    return "You are the researcher." in str(request.messages[0]["content"])


def script_of(reply: Callable[[], Reply], report: str = REPORT) -> Callable[[Request], Reply]:
    return lambda request: reply() if is_researcher(request) else text(report)


def writers_last(server: ModelServer) -> str:
    asked = (request for request in reversed(server.requests) if "was received, but" not in request.last_text)
    return str(next(request.body for request in asked if not is_researcher(request)))


@pytest.mark.parametrize("failure", AT_THE_MODEL, ids=lambda failure: failure.name)
def test_bare_a_silent_failure_is_handed_on_as_data(failure: SilentFailure) -> None:
    with ModelServer(script_of(failure.reply)) as server:
        result = newsroom(server.url).invoke(QUESTION)
        assert result["messages"][-1].content == REPORT
        assert "mas-guard" not in writers_last(server)


@pytest.mark.parametrize("failure", AT_THE_MODEL, ids=lambda failure: failure.name)
def test_by_default_what_is_proven_is_told_and_the_rest_stands_in_the_outcome(failure: SilentFailure) -> None:
    with ModelServer(script_of(failure.reply)) as server:
        result = mas_guard.wrap(newsroom(server.url)).invoke(QUESTION)
        told = writers_last(server)
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "envelope")
    assert failure.reason in outcome.envelopes["researcher"].reason
    assert (failure.reason in told) == failure.proven
    assert "mas-guard" not in str(result)


@pytest.mark.parametrize("failure", AT_THE_MODEL, ids=lambda failure: failure.name)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
def test_where_envelopes_are_required_every_failure_is_told(failure: SilentFailure, streaming: bool) -> None:
    with ModelServer(script_of(failure.reply)) as server:
        app = mas_guard.wrap(newsroom(server.url, streaming=streaming), envelopes="require")
        result = app.invoke(QUESTION)
        told = writers_last(server)
    assert failure.reason in told
    assert "status failed" in told or "status partial" in told
    assert mas_guard.outcome(result).status == "partial"


class Desk(TypedDict):
    """A state of plain values."""

    question: str
    finding: str
    report: str


def desk(url: str, finding: Any) -> Any:
    """A researcher that asks its model and then writes *finding*; and a writer."""
    chat = model(url)

    def researcher(state: Desk) -> dict[str, Any]:
        chat.invoke([("system", "You are the researcher."), ("user", state["question"])])
        return {"finding": finding}

    def writer(state: Desk) -> dict[str, Any]:
        said = chat.invoke([("system", "You are the writer."), ("user", f"Finding: {state['finding']}")])
        return {"report": said.content}

    graph = StateGraph(Desk)
    graph.add_node("researcher", researcher)
    graph.add_node("writer", writer)
    graph.add_edge(START, "researcher")
    graph.add_edge("researcher", "writer")
    graph.add_edge("writer", END)
    return graph.compile()


@pytest.mark.parametrize(
    ("finding", "reason", "proven"),
    [
        ("", "the output is empty", False),
        (None, "the output is null", False),
        ({}, "is declared str", True),
        (42, "is declared str", True),
        ("N/A", "the output is null", False),
        ("Error: connection refused", "text of an error", False),
    ],
)
@pytest.mark.parametrize("envelopes", ["infer", "require"])
def test_what_a_node_writes_is_looked_at_too(finding: Any, reason: str, proven: bool, envelopes: str) -> None:
    settings = {"agents": {"researcher": {"is_agent": True}, "writer": {"is_agent": True}}}
    with ModelServer(script_of(lambda: text(FINDING))) as server:
        app = mas_guard.wrap(desk(server.url, finding), envelopes=envelopes, **settings)
        result = app.invoke({"question": "the harbour"})
        told = writers_last(server)
    assert reason in mas_guard.outcome(result).envelopes["researcher"].reason
    assert (reason in told) == (proven or envelopes == "require")


def test_an_exception_that_the_tool_node_turned_into_text_is_told() -> None:
    def script(request: Request) -> Reply:
        if is_researcher(request):
            return Reply(status=400, error_message="bad request")
        return (
            text(REPORT)
            if request.messages[-1]["role"] != "user" or "mas-guard" in request.last_text
            else call("research", question="the harbour")
        )

    with ModelServer(script) as server:
        chat = model(server.url)
        worker = create_agent(chat, [], system_prompt="You are the researcher.", name="researcher")

        @as_tool
        def research(question: str) -> str:
            """Ask the researcher."""
            try:
                return str(worker.invoke({"messages": [("user", question)]})["messages"][-1].content)
            except Exception as error:
                return f"Error: {error}"

        writer = create_agent(chat, [research], system_prompt="You are the writer.", name="writer")
        result = mas_guard.wrap(writer).invoke(QUESTION)
        told = writers_last(server)
    assert "it ended in an error" in told
    assert mas_guard.outcome(result).envelopes["researcher"].status == "failed"


def test_the_same_answer_to_another_question_is_stale() -> None:
    def script(request: Request) -> Reply:
        if is_researcher(request):
            return text(STALE)
        done = sum(message["role"] == "tool" for message in request.messages)
        return call("research", question=("in May", "in June")[done]) if done < 2 else text(REPORT)

    with ModelServer(script) as server:
        chat = model(server.url)
        worker = create_agent(chat, [], system_prompt="You are the researcher.", name="researcher")

        @as_tool
        def research(question: str) -> str:
            """Ask the researcher."""
            return str(worker.invoke({"messages": [("user", question)]})["messages"][-1].content)

        writer = create_agent(chat, [research], system_prompt="You are the writer.", name="writer")
        mas_guard.wrap(writer, envelopes="require").invoke(QUESTION)
        assert "same as for an earlier, different request" in writers_last(server)


# -- envelopes that are asked for ---------------------------------------------------------------------


def with_envelope(request: Request) -> Reply:
    """A model that gives the envelope wherever it is asked for one."""
    answer = FINDING if is_researcher(request) else REPORT
    return text(answer + ENVELOPE if "<<envelope" in str(request.body) else answer)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_required_envelopes_leave_messages_and_streams_as_they_were(streaming: bool) -> None:
    async def said(app: Any) -> tuple[list[str], list[str], list[str]]:
        config = {"configurable": {"thread_id": "1"}}
        tokens = [chunk.content async for chunk, _ in app.astream(QUESTION, config, stream_mode="messages")]
        state = [message.content for message in (await app.aget_state(config)).values["messages"]]
        events = [
            event["data"]["output"].content
            async for event in app.astream_events(QUESTION, {"configurable": {"thread_id": "2"}}, version="v2")
            if event["event"] == "on_chat_model_end"
        ]
        return "".join(tokens), state, events  # type: ignore[return-value]

    with ModelServer(with_envelope) as server:
        bare = await said(newsroom(server.url, InMemorySaver(), streaming=streaming))
    with ModelServer(with_envelope) as server:
        app = mas_guard.wrap(newsroom(server.url, InMemorySaver(), streaming=streaming), envelopes="require")
        guarded = await said(app)
        assert server.count == 4
    assert guarded == bare
    outcome = mas_guard.last_outcome()
    assert outcome is not None and outcome.envelopes["researcher"].confidence == 0.9


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
def test_a_model_that_ignores_the_request_is_asked_once_more_and_no_oftener(streaming: bool) -> None:
    with ModelServer(script_of(lambda: text(FINDING))) as server:
        app = mas_guard.wrap(newsroom(server.url, streaming=streaming), envelopes="require")
        result = app.invoke(QUESTION)
        assert server.count == 2 + 2
    outcome = mas_guard.outcome(result)
    assert [message.content for message in result["messages"]][1:] == [FINDING, REPORT]
    assert outcome.envelopes["researcher"] == mas_guard.Envelope("success")
    assert outcome.status == "completed"


def test_an_envelope_that_stays_broken_is_a_failure() -> None:
    def script(request: Request) -> Reply:
        return text(FINDING + '\n<<envelope {"status": "done"}>>') if "<<envelope" in str(request.body) else text("")

    with ModelServer(script) as server:
        result = mas_guard.wrap(newsroom(server.url), envelopes="require").invoke(QUESTION)
    assert mas_guard.outcome(result).envelopes["researcher"].status == "failed"


def test_what_a_worker_says_of_itself_reaches_the_next() -> None:
    said = '\n<<envelope {"status": "partial", "confidence": 0.4, "reason": "two sources are missing"}>>'

    def script(request: Request) -> Reply:
        return text(FINDING + said) if is_researcher(request) else text(REPORT + ENVELOPE)

    with ModelServer(script) as server:
        mas_guard.wrap(newsroom(server.url), envelopes="require").invoke(QUESTION)
        assert "has the status partial: two sources are missing" in writers_last(server)


def test_one_of_many_workers_of_one_name_that_failed_is_not_mended_by_the_others() -> None:
    def worker(url: str) -> Any:
        chat = model(url)
        return lambda state: {"answers": [chat.invoke([("user", f"job {state['job']}")]).content]}

    def script(request: Request) -> Reply:
        if request.last_text == "job 0":
            return text("Half of it", finish_reason="length")
        return text(f"The whole answer to {request.last_text}.")

    with ModelServer(script) as server:
        result = mas_guard.wrap(fan_out(worker(server.url))).invoke({"jobs": list(range(8)), "answers": []})
    outcome = mas_guard.outcome(result)
    assert outcome.status == "partial"
    assert "cut off" in outcome.envelopes["worker"].reason
