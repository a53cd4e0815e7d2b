"""A tool call that a rule wants a person to see: it waits, and what is approved is exactly what was shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Runner, function_tool

import mas_guard
from mas_guard.reviews import Desk
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.openai_agents.apps import model


@pytest.fixture(autouse=True)
def rule(refunds_need_a_person: None) -> None:
    """In every test here."""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"review": {"channel": "queue", "store": f"sqlite:///{tmp_path / 'reviews.db'}"}}


class Clerk:
    """An app with a refund tool, and what it paid."""

    def __init__(self, url: str) -> None:
        self.paid: list[int] = []

        @function_tool
        def refund(amount: int) -> str:
            """Give money back."""
            self.paid.append(amount)
            return f"paid {amount}"

        self.agent = Agent[Any](name="clerk", instructions="You refund.", model=model(url), tools=[refund])


def run(settings: dict[str, Any], amounts: list[int], decide: Any) -> tuple[Clerk, list[str]]:
    """Ask for refunds of *amounts* one after the other; *decide* is given the desk before each but the first."""
    desk = Desk(mas_guard.load_policy(settings))

    def script(request: Request) -> Reply:
        done = sum(message["role"] == "tool" for message in request.messages)
        if done:
            decide(desk)
        return call("refund", amount=amounts[done]) if done < len(amounts) else text("Done.")

    with ModelServer(script) as server:
        clerk = Clerk(server.url)
        Runner.run_sync(mas_guard.wrap(clerk.agent, **settings), "Give it back.")
        answers = [message["content"] for message in server.requests[-1].messages if message["role"] == "tool"]
    return clerk, answers


def approve(desk: Desk) -> None:
    for review, resolution in desk.records():
        assert resolution is None
        desk.approve(review.id, by="Ada")


def test_without_an_approval_the_call_waits_and_the_run_goes_on(settings: dict[str, Any]) -> None:
    clerk, answers = run(settings, [80], lambda desk: None)
    assert clerk.paid == []
    assert answers[0].startswith("not executed: it waits for a person (review rv_")


def test_an_approved_call_goes_through_once(settings: dict[str, Any]) -> None:
    clerk, answers = run(settings, [80, 80, 80], approve)
    assert clerk.paid == [80]
    assert answers[1] == "paid 80" and "waits for a person" in answers[2]


def test_an_approval_does_not_hold_for_changed_arguments(settings: dict[str, Any]) -> None:
    clerk, answers = run(settings, [80, 8000], approve)
    assert clerk.paid == []
    assert "waits for a person" in answers[1]


def test_a_rejected_call_is_told_as_that(settings: dict[str, Any]) -> None:
    def reject(desk: Desk) -> None:
        for review, _ in desk.records():
            desk.reject(review.id, reason="too much")

    clerk, answers = run(settings, [80, 80], reject)
    assert clerk.paid == []
    assert answers[1] == "not executed: a person rejected it: too much. Do without it."


def test_without_a_channel_the_rules_word_is_only_recorded() -> None:
    clerk, answers = run({}, [80], lambda desk: None)
    assert clerk.paid == [80] and answers == ["paid 80"]
