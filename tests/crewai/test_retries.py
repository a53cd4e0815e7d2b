"""One layer tries again what failed, the provider's client; every attempt counts, and no side effect happens twice."""

from __future__ import annotations

from typing import Any

import pytest
from crewai import Crew, Task
from crewai.tools import tool

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, fault, text
from tests.crewai.crews import (
    ANSWERS,
    AT_ONCE,
    RESEARCHER,
    agent,
    charge_then,
    charging_crew,
    crew_of,
    failing,
    model,
    one_task,
    own_model,
    report_crew,
    report_script,
    role_of,
)
from tests.crewai.endings import NOTHING, Ending, awaited, crew_ended

NO_LUCK = fault(500, "no luck", headers=AT_ONCE)
FAULTS: dict[str, Reply] = {
    "429": fault(429, "slow down", headers=AT_ONCE),
    "500": NO_LUCK,
    "503": fault(503, "overloaded", headers=AT_ONCE),
    "dropped": Reply(drop_connection=True),
}


def crew(url: str, api: str, **options: Any) -> Crew:
    """A researcher alone, on one of CrewAI's clients or a class of the user's own."""
    if api != "own":
        return one_task(url, api, **options)
    worker = agent(RESEARCHER, own_model(url), **options)
    return crew_of([Task(description="Find out when the tides come.", expected_output="Times", agent=worker)])


def sent(script: Any, api: str = "chat", make: Any = crew, **settings: Any) -> tuple[int, Ending]:
    """How many requests the server has seen, and how the crew ended."""
    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(make(server.url, api), **settings))
        return server.count, ending


# The user's own class makes its client without retries: its task is run again, as by CrewAI alone.
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize(("api", "requests"), [("chat", 3), ("responses", 3), ("litellm", 3), ("own", 3)])
def test_what_fails_is_tried_again_by_its_client_alone(api: str, requests: int, name: str) -> None:
    count, ending = sent(lambda request: FAULTS[name], api)
    assert count == ending.outcome.spent.model_calls == requests
    assert ending.error is not None and not isinstance(ending.error, mas_guard.GuardStopped)
    assert (ending.outcome.status, ending.outcome.rule, ending.held) == ("aborted", "", [NOTHING])


def test_the_error_is_the_one_that_the_bare_crew_raises() -> None:
    errors = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(failing(500)) as server:
            try:
                wrap(one_task(server.url)).kickoff()
            except Exception as error:
                errors.append((type(error), str(error)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("way", ["kickoff", "akickoff"])
def test_what_succeeds_at_the_third_attempt_succeeds(way: str) -> None:
    def script(request: Request) -> Reply:
        return FAULTS["429"] if request.index < 2 else text("At last.", input_tokens=100, output_tokens=5)

    with ModelServer(script) as server:
        app = mas_guard.wrap(one_task(server.url))
        ending = crew_ended(app) if way == "kickoff" else awaited(app.akickoff)
        assert server.count == 3
    assert (ending.raw, ending.outcome.status) == ("At last.", "completed")
    assert (ending.outcome.spent.model_calls, ending.outcome.spent.tokens) == (3, 105)


@pytest.mark.parametrize(
    ("retries", "status", "requests"),
    [
        ({"per_call": 0}, 429, 1),
        ({"per_call": 1}, 429, 2),
        ({"per_call": 1}, 500, 2),
        ({"per_call": 9}, 429, 3),  # the client's own number of retries is never raised
        ({"per_task": 1}, 429, 3 * 2),
        ({"per_task": 1}, 500, 3 * 2),
        ({"per_task": 9}, 500, 3 * 3),
        ({"per_call": 0, "per_task": 1}, 500, 2),
        ({"per_task": None}, 429, 3 * 3),
        ({"per_call": None}, 429, 3 * 3),
        ({"per_call": None}, 500, 3),
        ({"per_call": None, "per_task": None}, 429, 3 * 3 * 3),
        ({"per_call": None, "per_task": None}, 500, 3 * 3),
    ],
)
def test_the_settings_say_how_often(retries: dict[str, Any], status: int, requests: int) -> None:
    count, ending = sent(failing(status), retries=retries)
    assert count == ending.outcome.spent.model_calls == requests


def test_the_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_RETRIES__PER_CALL", "none")
    monkeypatch.setenv("MAS_GUARD_RETRIES__PER_TASK", "1")
    count, _ = sent(failing(429))
    assert count == 3 * 3 * 2


@pytest.mark.parametrize(("per_task", "requests"), [(0, 3), (1, 6), (None, 3)])
def test_an_empty_answer_is_asked_for_again_as_the_settings_say(per_task: int | None, requests: int) -> None:
    count, ending = sent(lambda request: text(""), retries={"per_task": per_task})
    assert count == ending.outcome.spent.model_calls == requests
    assert isinstance(ending.error, ValueError)


def test_the_outcome_says_that_a_task_was_not_run_again_and_which_setting_it_was() -> None:
    _, ending = sent(failing(500))
    assert any(RESEARCHER in note and "RETRIES__PER_TASK=0" in note for note in ending.outcome.notes)


# -- side effects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", [NO_LUCK, FAULTS["429"], text("")], ids=["500", "429", "empty"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_side_effect_happens_once_where_a_later_call_fails(api: str, then: Reply) -> None:
    charged: list[str] = []
    with ModelServer(charge_then(then)) as server:
        ending = crew_ended(mas_guard.wrap(charging_crew(server.url, charged, api)))
        assert server.count == 4
    assert charged == ["7"] and ending.error is not None


def test_awaited_it_happens_once_too() -> None:
    charged: list[str] = []
    with ModelServer(charge_then(NO_LUCK)) as server:
        awaited(mas_guard.wrap(charging_crew(server.url, charged)).akickoff)
    assert charged == ["7"]


def test_in_a_thread_of_crewais_it_happens_once_too() -> None:
    charged: list[str] = []
    with ModelServer(charge_then(NO_LUCK)) as server:
        crew_ended(mas_guard.wrap(charging_crew(server.url, charged, max_execution_time=600)))
    assert charged == ["7"]


def test_a_second_run_of_the_task_is_made_where_the_settings_allow_it() -> None:
    charged: list[str] = []
    with ModelServer(charge_then(NO_LUCK)) as server:
        crew_ended(mas_guard.wrap(charging_crew(server.url, charged), retries={"per_task": 1}))
    assert charged == ["7", "7"]


def test_a_task_that_fails_for_another_reason_is_run_again_as_by_crewai() -> None:
    """A callback that fails is no call that failed."""
    broken: list[Any] = []

    def breaks_once(step: Any) -> None:
        broken.append(step)
        if len(broken) == 1:
            raise LookupError("a bug of the app's")

    charged: list[str] = []
    with ModelServer(charge_then(text("Charged."))) as server:
        made = charging_crew(server.url, charged)
        made.step_callback = breaks_once
        ending = crew_ended(mas_guard.wrap(made))
    assert (ending.raw, charged) == ("Charged.", ["7", "7"])


def test_a_second_kickoff_has_as_many_attempts_as_the_first() -> None:
    with ModelServer(failing(500)) as server:
        made = mas_guard.wrap(one_task(server.url))
        for kickoffs in (1, 2, 3, 4):
            crew_ended(made)
            assert server.count == 3 * kickoffs


def test_a_delegated_task_is_not_run_again_either() -> None:
    def script(request: Request) -> Reply:
        if role_of(request) == "Worker":
            return NO_LUCK
        return charge_then(text("It did not work."))(request)

    with ModelServer(script) as server:

        @tool("charge")
        def charge(order: str) -> str:
            """Have it charged."""
            worker = agent("Worker", model(server.url))
            return str(crew_of([Task(description=order, expected_output="Done", agent=worker)]).kickoff().raw)

        ending = crew_ended(mas_guard.wrap(one_task(server.url, tools=[charge])))
        assert server.count == 1 + 3 + 1
    assert ending.raw == "It did not work."


# -- observing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        (failing(429), 27),
        (failing(500), 9),
        (failing(400), 3),
        (lambda request: text("") if role_of(request) == RESEARCHER else report_script(request), 3),
    ],
    ids=["429", "500", "400", "empty"],
)
def test_observed_everything_is_tried_as_often_as_bare(script: Any, requests: int) -> None:
    count, ending = sent(script, make=report_crew, mode="observe")
    assert count == ending.outcome.spent.model_calls == requests


def test_observed_a_side_effect_comes_again_with_every_try() -> None:
    charged: list[str] = []
    with ModelServer(charge_then(NO_LUCK)) as server:
        crew_ended(mas_guard.wrap(charging_crew(server.url, charged), mode="observe"))
        assert (charged, server.count) == (["7"] * 3, 12)


def test_what_does_not_fail_is_asked_once() -> None:
    count, ending = sent(report_script, make=report_crew)
    assert (count, ending.raw) == (3, list(ANSWERS.values())[-1])
