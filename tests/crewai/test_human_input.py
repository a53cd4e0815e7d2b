"""A task that asks for human input is put to a person through the review channel, not to the console of a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewai import Crew, Task
from crewai.core.providers import human_input

import mas_guard
from mas_guard.testing import ModelServer
from tests.crewai.crews import ANSWERS, RESEARCHER, agent, crew_of, model, report_script
from tests.doubtful_results import FALLBACK, from_another_process, reviews_in

ANSWER = ANSWERS[RESEARCHER]


def asking(url: str) -> Crew:
    worker = agent(RESEARCHER, model(url))
    return crew_of([Task(description="Find out.", expected_output="Times", agent=worker, human_input=True)])


def test_nobody_waits_and_the_answer_is_decided_elsewhere(queue: dict[str, Any]) -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(asking(server.url), review=queue)
        with pytest.raises(mas_guard.EscalationRequired) as caught:
            crew.kickoff()
        assert server.count == 1
    (review,) = reviews_in(queue)
    assert caught.value.review == review.id and caught.value.outcome.status == "escalated"
    assert (review.shown["result"], review.agent) == (ANSWER, RESEARCHER)
    from_another_process(queue, "reject", review.id)
    assert mas_guard.reviewed(review.id, review=queue).result == FALLBACK


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_function_that_approves_lets_it_leave(monkeypatch: pytest.MonkeyPatch, asynchronous: bool) -> None:
    from mas_guard.reviews import Resolution, callables

    monkeypatch.setattr(callables, "_registered", [lambda review: Resolution("approved", by="a rule")])
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(asking(server.url), review={"channel": "callable"})
        result = asyncio.run(crew.akickoff()) if asynchronous else crew.kickoff()
    assert result.raw == ANSWER and mas_guard.outcome(result).status == "completed"


def test_an_edited_answer_is_what_the_task_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from mas_guard.reviews import Resolution, callables

    edited = Resolution("approved", "At noon.", edited=True)
    monkeypatch.setattr(callables, "_registered", [lambda review: edited])
    with ModelServer(report_script) as server:
        result = mas_guard.wrap(asking(server.url), review={"channel": "callable"}).kickoff()
    assert result.raw == "At noon."


def test_a_provider_of_the_apps_own_stays_in_charge(queue: dict[str, Any]) -> None:
    class Own(human_input.SyncHumanInputProvider):
        def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
            formatted_answer.output = "as the app's own provider says"
            return formatted_answer

    token = human_input.set_provider(Own())
    try:
        with ModelServer(report_script) as server:
            result = mas_guard.wrap(asking(server.url), review=queue).kickoff()
    finally:
        human_input.reset_provider(token)
    assert result.raw == "as the app's own provider says" and reviews_in(queue) == []


def test_without_a_channel_the_console_is_asked_as_ever() -> None:
    with ModelServer(report_script) as server, pytest.raises(AssertionError, match="asked on the console"):
        mas_guard.wrap(asking(server.url)).kickoff()
