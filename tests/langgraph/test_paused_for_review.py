"""`REVIEW__CHANNEL=interrupt`: a tool call that a person must see suspends the graph, and the resume is the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.doubtful_results import from_another_process, reviews_in
from tests.langgraph.apps import QUESTION, model

CONFIG = {"configurable": {"thread_id": "1"}}


@pytest.fixture(autouse=True)
def rule(refunds_need_a_person: None) -> None:
    """In every test here."""


@pytest.fixture
def settings(queue: dict[str, Any]) -> dict[str, Any]:
    return {"review": {**queue, "channel": "interrupt"}}


class Desk:
    """An app that refunds each of *amounts* in turn, and what it paid."""

    def __init__(self, amounts: list[int], settings: dict[str, Any], *, saver: Any = None) -> None:
        self.paid: list[int] = []

        def script(request: Request) -> Reply:
            done = sum(message["role"] == "tool" for message in request.messages)
            return call("refund", amount=amounts[done]) if done < len(amounts) else text("Done.")

        def refund(amount: int) -> str:
            """Give money back."""
            self.paid.append(amount)
            return f"paid {amount}"

        self.server = ModelServer(script)
        app = create_agent(model(self.server.url), [refund], checkpointer=saver or InMemorySaver(), name="desk")
        self.app = mas_guard.wrap(app, **settings)

    def answers(self, result: Any) -> list[str]:
        return [message.content for message in result["messages"] if message.type == "tool"]


@pytest.fixture
def desk(settings: dict[str, Any]) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(*amounts: int, **options: Any) -> Desk:
        made.append(Desk(list(amounts), settings, **options))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


async def go(desk: Desk, input: Any, asynchronous: bool) -> Any:
    return await desk.app.ainvoke(input, CONFIG) if asynchronous else desk.app.invoke(input, CONFIG)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_graph_is_suspended_with_what_the_person_must_see(
    desk: Any, settings: dict[str, Any], asynchronous: bool
) -> None:
    app = desk(80)
    result = await go(app, QUESTION, asynchronous)
    (pause,) = result["__interrupt__"]
    assert pause.value["shown"] == {"tool": "refund", "arguments": {"amount": 80}}
    assert pause.value["answers"] == ["approve", "reject", "edit", "answer"]
    assert app.paid == [] and mas_guard.outcome(result).rule == "interrupt"

    result = await go(app, Command(resume={"decision": "approve", "by": "anna"}), asynchronous)
    assert app.paid == [80] and app.answers(result) == ["paid 80"]
    assert mas_guard.reviewed(pause.value["review"], **settings).by == "anna"


def test_a_rejection_is_the_tools_answer(desk: Any) -> None:
    app = desk(80)
    app.app.invoke(QUESTION, CONFIG)
    result = app.app.invoke(Command(resume={"decision": "reject", "reason": "not our fault"}), CONFIG)
    assert app.paid == []
    assert app.answers(result) == ["not executed: a person rejected it: not our fault. Do without it."]


def test_an_approval_is_for_one_call(desk: Any) -> None:
    app = desk(80, 80)
    app.app.invoke(QUESTION, CONFIG)
    result = app.app.invoke(Command(resume=True), CONFIG)
    assert app.paid == [80]
    (again,) = result["__interrupt__"]
    assert again.value["shown"]["arguments"] == {"amount": 80}
    app.app.invoke(Command(resume=True), CONFIG)
    assert app.paid == [80, 80]


def test_an_answer_that_may_mean_anything_is_asked_for_again(desk: Any) -> None:
    app = desk(80)
    app.app.invoke(QUESTION, CONFIG)
    result = app.app.invoke(Command(resume="why not"), CONFIG)
    (again,) = result["__interrupt__"]
    assert "This is no answer to a review" in again.value["problem"] and app.paid == []
    app.app.invoke(Command(resume="approve"), CONFIG)
    assert app.paid == [80]


def test_an_answer_from_another_terminal_counts_before_what_the_app_is_resumed_with(
    desk: Any, settings: dict[str, Any]
) -> None:
    app = desk(80)
    (pause,) = app.app.invoke(QUESTION, CONFIG)["__interrupt__"]
    from_another_process(settings["review"], "reject", pause.value["review"])
    app.app.invoke(Command(resume=True), CONFIG)
    assert app.paid == []


def test_a_pause_of_the_tools_own_comes_after_ours(settings: dict[str, Any]) -> None:
    seen: list[Any] = []

    def refund(amount: int) -> str:
        """Give money back."""
        seen.append(interrupt("which account?"))
        return "paid"

    def script(request: Request) -> Reply:
        return text("Done.") if request.messages[-1]["role"] == "tool" else call("refund", amount=80)

    with ModelServer(script) as server:
        app = create_agent(model(server.url), [refund], checkpointer=InMemorySaver(), name="desk")
        app = mas_guard.wrap(app, **settings)
        app.invoke(QUESTION, CONFIG)
        (second,) = app.invoke(Command(resume=True), CONFIG)["__interrupt__"]
        assert second.value == "which account?"
        result = app.invoke(Command(resume="the savings"), CONFIG)
    assert seen == ["the savings"]
    assert [message.content for message in result["messages"] if message.type == "tool"] == ["paid"]


def test_two_calls_of_one_step_are_asked_for_apart(settings: dict[str, Any]) -> None:
    paid: list[int] = []

    def refund(amount: int) -> str:
        """Give money back."""
        paid.append(amount)
        return f"paid {amount}"

    def script(request: Request) -> Reply:
        if request.messages[-1]["role"] == "tool":
            return text("Done.")
        both = [call("refund", amount=amount).tool_calls[0] for amount in (20, 30)]
        return Reply(tool_calls=tuple(both))

    with ModelServer(script) as server:
        app = create_agent(model(server.url), [refund], checkpointer=InMemorySaver(), name="desk")
        app = mas_guard.wrap(app, **settings)
        pauses = app.invoke(QUESTION, CONFIG)["__interrupt__"]
        answers = {pause.id: pause.value["shown"]["arguments"]["amount"] == 20 for pause in pauses}
        assert sorted(answers.values()) == [False, True]
        app.invoke(Command(resume=answers), CONFIG)
    assert paid == [20]


def test_without_a_checkpointer_the_call_is_answered_with_the_reviews_id(settings: dict[str, Any]) -> None:
    def refund(amount: int) -> str:
        """Give money back."""
        raise AssertionError("nobody approved it")

    def script(request: Request) -> Reply:
        return text("Done.") if request.messages[-1]["role"] == "tool" else call("refund", amount=80)

    with ModelServer(script) as server:
        app = mas_guard.wrap(create_agent(model(server.url), [refund], name="desk"), **settings)
        result = app.invoke(QUESTION)
    (answer,) = [message.content for message in result["messages"] if message.type == "tool"]
    (review,) = reviews_in(settings["review"])
    assert f"waits for a person (review {review.id})" in answer
