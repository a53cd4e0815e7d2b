"""Under the defaults, normal use leaves byte for byte as without the guard, and nothing is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.langgraph.apps import QUESTION, chain, fan_out, interrupt_chat, model, swarm, talking_node, toolbox

THREAD = {"configurable": {"thread_id": "1"}}
LONG = "The invoice says one thing and the order another. " * 8_000  # 400 000 characters: 100 000 tokens

Play = Callable[[Callable[[Any], Any], ModelServer], Any]


def unwrapped(app: Any) -> Any:
    return app


def is_the_same(script: Any, play: Play, *, at_once: int = 0) -> mas_guard.Outcome:
    """Play an app bare and guarded: the same requests leave, as many at once. Returns the last run's outcome."""
    sent, most = [], []
    for wrap in (unwrapped, mas_guard.wrap):
        with ModelServer(script, repeat_last=isinstance(script, list), release_when_in_flight=at_once) as server:
            play(wrap, server)
            sent.append(sorted(request.raw for request in server.requests))
            most.append(server.most_in_flight)
    assert sent[0] and sent[0] == sent[1]
    if at_once:
        assert most == [at_once, at_once]
    outcome = mas_guard.last_outcome()
    assert outcome is not None and (outcome.status, outcome.notes) == ("completed", ())
    return outcome


def test_a_first_call_of_a_hundred_thousand_tokens_is_sent() -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        node = talking_node(model(server.url), "reader")
        wrap(chain(node)).invoke({"messages": [("user", LONG)]})

    outcome = is_the_same([text("Read.")], play)
    assert outcome.spent.tokens >= 100_000


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
def test_a_fan_out_of_ten_without_a_cap_runs_ten_at_once(asynchronous: bool) -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        run_jobs(wrap, model(server.url), range(10), asynchronous)

    is_the_same([text("done")], play, at_once=10)


def test_a_fan_out_of_fifty_on_a_model_with_a_large_maximum_is_in_flight_as_a_whole() -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        run_jobs(wrap, model(server.url, model="gpt-5-mini"), range(50), asynchronous=True)

    is_the_same([text("done")], play, at_once=50)


def test_six_equal_samples_drawn_in_parallel_are_no_repetition() -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        run_jobs(wrap, model(server.url), [7] * 6, asynchronous=True)

    is_the_same([text("The same long answer, word for word, from each of the six samples drawn.")], play, at_once=6)


def run_jobs(wrap: Any, chat: Any, jobs: Any, asynchronous: bool) -> None:
    def worker(state: dict[str, Any]) -> dict[str, Any]:
        return {"answers": [chat.invoke(f"job {state['job']}").text]}

    async def async_worker(state: dict[str, Any]) -> dict[str, Any]:
        return {"answers": [(await chat.ainvoke(f"job {state['job']}")).text]}

    given = {"jobs": list(jobs), "answers": []}
    if asynchronous:
        state = asyncio.run(wrap(fan_out(async_worker)).ainvoke(given))
    else:
        state = wrap(fan_out(worker)).invoke(given, {"max_concurrency": len(given["jobs"])})
    assert len(state["answers"]) == len(given["jobs"])


def test_three_hundred_messages_on_one_thread_are_three_hundred_runs() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer([text("fine")], repeat_last=True) as server:
        chat = model(server.url)

        def answer(state: MessagesState) -> dict[str, Any]:
            return {"messages": [chat.invoke([state["messages"][-1]])]}

        app = mas_guard.wrap(chain(answer, checkpointer=InMemorySaver()), on_outcome=outcomes.append)
        for number in range(300):
            app.invoke({"messages": [("user", f"message {number}")]}, THREAD)
        assert server.count == 300
    assert {outcome.status for outcome in outcomes} == {"completed"}
    assert len({outcome.run_id for outcome in outcomes}) == 300
    assert {outcome.spent.model_calls for outcome in outcomes} == {1}


def test_after_a_stopped_message_the_next_one_on_the_thread_is_served() -> None:
    def script(request: Request) -> Reply:
        if request.last_text == "And now?" or request.body.get("tool_choice") == "none":
            return text("Here I am.")
        return call(request.tool_names[0])

    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(script) as server:
        app = mas_guard.wrap(swarm(server.url, checkpointer=InMemorySaver()), on_outcome=outcomes.append)
        app.invoke(QUESTION, THREAD)
        app.invoke({"messages": [("user", "And now?")]}, THREAD)
    assert [(outcome.status, outcome.hops) for outcome in outcomes] == [("partial", 12), ("completed", 0)]


def test_a_chain_of_twenty_agents_is_no_loop() -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        chat = model(server.url)
        wrap(chain(*(talking_node(chat, f"agent {place}") for place in range(20)))).invoke(QUESTION)

    outcome = is_the_same([text("passed on")], play)
    assert (outcome.hops, outcome.spent.model_calls) == (0, 20)


def test_a_research_loop_of_forty_calls_whose_results_change_goes_on() -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        pages = iter(range(100))

        def search(topic: str) -> str:
            """Search for a topic."""
            return f"page {next(pages)}"

        wrap(toolbox(server.url, search)).invoke(QUESTION)

    def script(request: Request) -> Reply:
        asked = sum(len(message.get("tool_calls", ())) for message in request.messages)
        if asked == 40:
            return text("Found.")
        return Reply(tool_calls=(ToolCallReply("search", {"topic": "invoice"}),))

    outcome = is_the_same(script, play)
    assert outcome.spent.tool_calls == 40


def answers_after_one_handoff(request: Request) -> Reply:
    """Each message is handed to the other agent, which answers."""
    if request.messages[-1]["role"] == "user":
        return call(request.tool_names[0])
    return text("What else?")


def test_a_chat_by_interrupt_over_forty_messages_with_handoffs_goes_on() -> None:
    def play(wrap: Any, server: ModelServer) -> None:
        app = wrap(interrupt_chat(server.url, checkpointer=InMemorySaver()))
        app.invoke(QUESTION, THREAD)
        for number in range(39):
            app.invoke(Command(resume=f"message {number}"), THREAD)
        state = app.invoke(Command(resume="bye"), THREAD)
        assert len([message for message in state["messages"] if message.type == "human"]) == 41
        assert "__interrupt__" not in state

    outcome = is_the_same(answers_after_one_handoff, play)
    assert outcome.spent.model_calls == 80


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_stream_looks_the_same_though_it_is_asked_for_its_usage(asynchronous: bool) -> None:
    seen, bodies = [], []
    for wrap in (unwrapped, mas_guard.wrap):
        with ModelServer([text("streamed in pieces")], repeat_last=True) as server:
            app = wrap(toolbox(server.url, search))
            seen.append(asyncio.run(astreamed(app)) if asynchronous else streamed(app))
            bodies.append([dict(request.body) for request in server.requests])
    assert seen[0] == seen[1]
    assert bodies[1][0].pop("stream_options") == {"include_usage": True}
    assert bodies[0] == bodies[1]
    outcome = mas_guard.last_outcome()
    assert outcome is not None and outcome.notes == () and outcome.spent.tokens > 0


def search(topic: str) -> str:
    """Search for a topic."""
    return topic


def readable(chunk: Any) -> tuple[Any, ...]:
    return chunk.content, chunk.usage_metadata, chunk.chunk_position, chunk.response_metadata.get("finish_reason")


def streamed(app: Any) -> list[Any]:
    return [readable(chunk) for chunk, _ in app.stream(QUESTION, stream_mode="messages")]


async def astreamed(app: Any) -> list[Any]:
    return [readable(chunk) async for chunk, _ in app.astream(QUESTION, stream_mode="messages")]


def test_an_endpoint_that_refuses_to_be_asked_for_usage_is_asked_once_more_without() -> None:
    with ModelServer([text("streamed")], repeat_last=True, refuse_stream_options=True) as server:
        app = mas_guard.wrap(toolbox(server.url, search))
        first = [text for text, *_ in streamed(app)]
        asked = server.count
        second = [text for text, *_ in streamed(app)]
        assert (asked, server.count) == (2, 3)
    assert "".join(first) == "".join(second) == "streamed"
    outcome = mas_guard.last_outcome()
    assert outcome is not None and any("estimated" in note for note in outcome.notes)
