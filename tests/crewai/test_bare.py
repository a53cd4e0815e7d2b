"""What a bare crew does where it is compared with a guarded one: how often it asks, what it loses, what it passes on.

Nothing is guarded here. Where a newer CrewAI behaves otherwise, these tests say so first.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from crewai import Task
from crewai.tools import tool

from mas_guard.testing import ModelServer, Reply, Request, fault, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    AT_ONCE,
    CONCLUSION,
    CREWS,
    DELEGATE,
    MANAGER,
    REPORT,
    RESEARCHER,
    WRITER,
    agent,
    charge_for_ever,
    charge_in_text,
    charge_then,
    charging_crew,
    circle,
    crew_of,
    delegate_for_ever,
    endless_manager,
    failing,
    hand_on_for_ever,
    heard_crew,
    kickoff,
    one_task,
    own_model,
    raws,
    refused_crew,
    report_crew,
    report_script,
    role_of,
    streaming_crew,
    typed_crew,
    with_answers,
)
from tests.crewai.more_crews import (
    APART,
    ASKING_WAYS,
    FAILING,
    AsyncFlow,
    Batch,
    SelfEvaluation,
    ask_for_ever,
    asking_crew,
    content_after,
    graph_with_crew,
    long_crew,
    loops_on,
    mixed_crew,
    parallel_crew,
    step_script,
    topic_crew,
    topics,
)

SHORTENED = ANSWERS[WRITER].partition(":")[0]
LAST = {"typed": REPORT.model_dump_json(), "guardrails": SHORTENED}
NO_LUCK = fault(500, "no luck", headers=AT_ONCE)


class Watched:
    """A script that keeps the requests it was given."""

    def __init__(self, script: Callable[[Request], Reply]) -> None:
        self._script = script
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return self._script(request)

    def of(self, role: str) -> list[Request]:
        return [request for request in self.requests if role_of(request) == role]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("name", CREWS)
def test_a_crew_of_three_tasks_leaves_three_results(name: str, api: str) -> None:
    make, script = CREWS[name]
    with ModelServer(script) as server:
        crew = make(server.url, api)
        result = kickoff(crew)
        # A manager asks twice and its worker once for each task.
        assert server.count == (9 if name == "hierarchical" else 3)
    assert raws(crew) == [ANSWERS[RESEARCHER], ANSWERS[ANALYST], LAST.get(name, ANSWERS[WRITER])]
    assert (result.raw, result.pydantic) == (raws(crew)[-1], REPORT if name == "typed" else None)


def test_the_other_client_leaves_the_same_results() -> None:
    with ModelServer(report_script) as server:
        crew = report_crew(server.url, "litellm")
        kickoff(crew)
        assert (raws(crew), server.count) == (list(ANSWERS.values()), 3)


def test_callbacks_are_given_what_the_tasks_left() -> None:
    heard: list[tuple[str, str]] = []
    with ModelServer(report_script) as server:
        kickoff(heard_crew(server.url, heard))
    # The step callback hears of no answer that is given without a tool.
    assert heard == [("task", ANSWERS[RESEARCHER]), *[("crew", answer) for answer in ANSWERS.values()]]


def test_a_stream_shows_what_the_tasks_leave() -> None:
    with ModelServer(report_script) as server:
        stream = streaming_crew(server.url).kickoff()
        assert server.count == 0
        shown = "".join(chunk.content for chunk in stream)
    assert shown == "".join(ANSWERS.values())


# Attempts.


@pytest.mark.parametrize(("status", "requests"), [(429, 27), (500, 9), (400, 3)])
def test_what_fails_is_tried_again_in_every_layer(status: int, requests: int) -> None:
    with ModelServer(failing(status)) as server:
        with pytest.raises(Exception, match=f"Error code: {status}"):
            kickoff(report_crew(server.url))
        assert server.count == requests


def test_a_second_kickoff_has_no_tries_left() -> None:
    with ModelServer(failing()) as server:
        crew = report_crew(server.url)
        for expected in (9, 12):
            with pytest.raises(Exception, match="no luck"):
                kickoff(crew)
            assert server.count == expected


def test_a_side_effect_comes_again_with_every_try() -> None:
    charged: list[str] = []
    with ModelServer(charge_then(NO_LUCK)) as server:
        with pytest.raises(Exception, match="no luck"):
            kickoff(charging_crew(server.url, charged))
        assert (charged, server.count) == (["7"] * 3, 12)


def test_a_tool_that_raises_runs_six_times_where_tools_are_called_in_text() -> None:
    tried: list[str] = []

    @tool("charge")
    def charge(order: str) -> str:
        """Charge the card for an order."""
        tried.append(order)
        raise ValueError("order refused")

    def script(request: Request) -> Reply:
        return text("Final Answer: refused") if tried else charge_in_text(request)

    with ModelServer(script) as server:
        worker = agent(RESEARCHER, own_model(server.url), tools=[charge])
        result = kickoff(crew_of([Task(description="Charge.", expected_output="Done", agent=worker)]))
        assert (result.raw, server.count) == ("refused", 2)
    assert tried == ["7"] * 6


def test_a_guardrail_that_always_refuses_has_the_task_done_four_times() -> None:
    with ModelServer(report_script) as server:
        with pytest.raises(Exception, match="failed guardrail validation after 3 retries"):
            kickoff(refused_crew(server.url))
        assert server.count == 4


# Chat Completions: every try of the task fails where the answer is parsed. Responses: the text is taken, and then
# three times asked to be put into the type.
@pytest.mark.parametrize(("api", "requests"), [("chat", 2 + 3), ("responses", 2 + 1 + 3)])
def test_a_model_that_ignores_the_type_ends_the_crew(api: str, requests: int) -> None:
    with ModelServer(report_script) as server:
        with pytest.raises(Exception, match="Report|Pydantic"):
            kickoff(typed_crew(server.url, api))
        assert server.count == requests


# What the writer is given.


def test_an_empty_answer_is_asked_for_three_times_and_ends_the_crew() -> None:
    script = Watched(with_answers({RESEARCHER: text("")}))
    with ModelServer(script) as server:
        crew = report_crew(server.url)
        with pytest.raises(ValueError, match="None or empty"):
            kickoff(crew)
        assert server.count == 3
    assert (script.of(WRITER), raws(crew)) == ([], ["", "", ""])


BAD_ANSWERS = {
    "blank": Reply(text=" \n"),
    "truncated": Reply(text="High water comes every", finish_reason="length"),
    "apology": Reply(text="I'm sorry, I cannot access the internet."),
    "exception": Reply(text="Traceback (most recent call last): ConnectionError: timed out"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_the_writers_context_and_becomes_a_report(name: str) -> None:
    script = Watched(with_answers({RESEARCHER: BAD_ANSWERS[name]}))
    with ModelServer(script) as server:
        crew = report_crew(server.url)
        result = kickoff(crew)
        assert (result.raw, server.count) == (ANSWERS[WRITER], 3)
    given = f"This is the context you're working with:\n{BAD_ANSWERS[name].text}"
    assert all(given in request.last_text for role in (ANALYST, WRITER) for request in script.of(role))


@pytest.mark.parametrize("at_once", [False, True])
def test_a_task_that_fails_takes_the_independent_ones_with_it(at_once: bool) -> None:
    script = Watched(lambda request: NO_LUCK if role_of(request) == FAILING else step_script(request))
    with ModelServer(script) as server:
        crew = mixed_crew(server.url, at_once)
        with pytest.raises(Exception, match="no luck"):
            kickoff(crew)
        assert len(script.of(FAILING)) == 9
    assert not script.of(f"{APART}2")
    # What was started beside it is finished, and belongs to no result.
    assert len(script.of(APART)) == (1 if at_once else 0)


# What comes to no end of its own.


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_manager_delegates_until_its_iterations_are_used_up(api: str) -> None:
    script = Watched(delegate_for_ever)
    with ModelServer(script) as server:
        assert kickoff(endless_manager(server.url, api)).raw == CONCLUSION
        # For each of the three tasks: 25 delegations, the work for each, and the answer that is forced in the end.
        assert server.count == 3 * (25 + 25 + 1)
    assert sum(DELEGATE in request.tool_names for request in script.of(MANAGER)) == 75


def test_coworkers_in_a_circle_multiply_their_iterations() -> None:
    script = Watched(hand_on_for_ever)
    with ModelServer(script) as server:
        assert kickoff(circle(server.url, 3, max_iter=3)).raw == CONCLUSION
    # The last one finds the first one busy, and asks it again all the same.
    assert [len(script.of(f"Worker{place}")) for place in range(3)] == [4, 3 * 4, 3 * 3 * 4]


def test_a_tool_is_called_until_the_iterations_are_used_up() -> None:
    charged: list[str] = []
    with ModelServer(charge_for_ever) as server:
        assert kickoff(charging_crew(server.url, charged)).raw == CONCLUSION
        assert (len(charged), server.count) == (25, 26)


@pytest.mark.parametrize("way", ASKING_WAYS)
def test_a_tools_own_model_calls_come_on_top(way: str) -> None:
    with ModelServer(ask_for_ever) as server:
        assert kickoff(asking_crew(server.url, way, max_iter=3)).raw == CONCLUSION
        assert server.count == 3 + 3 + 1


def test_a_self_evaluation_goes_on_until_the_reviewer_is_content() -> None:
    with ModelServer(content_after(3)) as server:
        assert (SelfEvaluation(server.url).kickoff(), server.count) == ("Draft 3.", 6)
    with ModelServer(content_after(None), max_requests=12) as server:
        with pytest.raises(Exception, match="The server gave up"):
            SelfEvaluation(server.url).kickoff()
        assert server.count > 12


# Apps that are well.


def apps(url: str) -> dict[str, tuple[Callable[[], Any], int]]:
    """Each app, and how many requests it takes."""
    return {
        "twenty tasks": (lambda: kickoff(long_crew(url)), 20),
        "tasks at the same time": (lambda: kickoff(parallel_crew(url)), 7),
        "flow of kickoffs": (lambda: Batch(url).kickoff(inputs={"count": 12}), 12),
        "inputs": (lambda: topic_crew(url).kickoff_for_each(topics(4)), 4),
    }


@pytest.mark.parametrize("name", apps(""))
def test_a_healthy_app_asks_once_for_each_task(name: str) -> None:
    with ModelServer(step_script) as server:
        run, requests = apps(server.url)[name]
        run()
        assert server.count == requests


async def test_an_async_flow_awaits_crews_and_agents() -> None:
    with ModelServer(report_script) as server:
        assert await AsyncFlow(server.url).kickoff_async() == ANSWERS[WRITER]
        assert server.count == 4


async def test_one_looping_input_of_a_batch_costs_its_iterations() -> None:
    with ModelServer(loops_on("topic-2")) as server:
        results = await topic_crew(server.url).kickoff_for_each_async(topics(4))
        assert isinstance(results, list)
        assert [result.raw == CONCLUSION for result in results] == [False, False, True, False]
        assert server.count == 3 + 26


@pytest.mark.skipif(importlib.util.find_spec("langgraph") is None, reason="LangGraph is not installed here")
def test_a_graph_kicks_a_crew_off() -> None:
    with ModelServer(lambda request: report_script(request) if role_of(request) else text("Moon!")) as server:
        result = graph_with_crew(server.url).invoke({"question": "When do the tides come?"})
        assert (result["report"], result["headline"], server.count) == (ANSWERS[WRITER], "Moon!", 4)


def test_one_task_asks_once() -> None:
    with ModelServer(report_script) as server:
        assert (kickoff(one_task(server.url)).raw, server.count) == (ANSWERS[RESEARCHER], 1)
