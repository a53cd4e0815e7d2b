"""Many kickoffs: each is a run of its own, one item's stop stops no other, and a common cap is said of whom it refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from crewai import Crew
from crewai.types.streaming import CrewStreamingOutput

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.crewai.crews import ANSWERS, CONCLUSION, RESEARCHER, Script, charging_crew, one_task, report_script, tools_of
from tests.crewai.endings import NOTHING, Ending, awaited, ended
from tests.crewai.more_crews import (
    Batch,
    long_crew,
    loops_on,
    parallel_crew,
    step_script,
    topic_crew,
    topics,
)

MANY = 200  # more kickoffs than a run may make model calls under the defaults
WAYS = ("kickoff_for_each", "kickoff_for_each_async", "akickoff_for_each")
ABOUT_IT = "All about it."
# A researcher alone owns its run where it is named so; it is stopped well before CrewAI's own 25 rounds end its loop.
OWNED: dict[str, Any] = {"owner": RESEARCHER, "budget": {"tool_calls": 10}}


def each(way: str, crew: Crew, inputs: list[dict[str, str]]) -> Ending:
    """Kick *crew* off for each of *inputs*."""
    if way == "kickoff_for_each":
        return ended(lambda: crew.kickoff_for_each(inputs=inputs))
    return awaited(lambda: getattr(crew, way)(inputs=inputs))


class Outcomes:
    """Keeps the outcome of every run."""

    def __init__(self) -> None:
        self.all: list[mas_guard.Outcome] = []

    def statuses(self) -> Counter[str]:
        return Counter(outcome.status for outcome in self.all)


def heard(crew: Any, **settings: Any) -> tuple[Any, Outcomes]:
    outcomes = Outcomes()
    return mas_guard.wrap(crew, on_outcome=outcomes.all.append, **settings), outcomes


# -- one of them loops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_of_many_inputs_the_one_that_loops_ends_alone_with_a_conclusion_in_its_place(way: str) -> None:
    with ModelServer(loops_on("topic-7")) as server:
        crew, outcomes = heard(topic_crew(server.url), **OWNED)
        ending = each(way, crew, topics(MANY if way == "kickoff_for_each" else 30))
    raws = [result.raw for result in ending.result]
    assert [place for place, raw in enumerate(raws) if raw != ABOUT_IT] == [7] and raws[7] == CONCLUSION
    assert outcomes.statuses() == {"completed": len(raws) - 1, "partial": 1}
    assert len({outcome.run_id for outcome in outcomes.all}) == len(raws)


@pytest.mark.parametrize("way", WAYS)
def test_of_many_inputs_the_one_that_is_stopped_stops_no_other(way: str) -> None:
    with ModelServer(loops_on("topic-7")) as server:
        crew, outcomes = heard(topic_crew(server.url), budget={"model_calls": 5}, on_limit="abort")
        ending = each(way, crew, topics(20))
        assert server.count == 19 + 5
    assert isinstance(ending.error, mas_guard.BudgetExceeded)
    raws = [result.raw for result in ending.error.results]  # type: ignore[attr-defined]
    assert raws == [ABOUT_IT] * 7 + [""] + [ABOUT_IT] * 12
    assert outcomes.statuses() == {"completed": 19, "aborted": 1}
    assert ending.error.outcome.status == "aborted" and ending.held == [NOTHING]


@pytest.mark.parametrize("way", WAYS)
def test_the_owner_answers_in_the_place_of_an_item_that_it_was_given_back(way: str) -> None:
    """A crew of several: something is kept for its owner, who concludes."""

    def script(request: Request) -> Reply:
        if "Do step 1" not in str(request.messages) or not tools_of(request):
            return text(ABOUT_IT)
        return call("charge", order=str(request.index))

    with ModelServer(script) as server:
        made = long_crew(server.url, 3)
        made.tasks[1].tools = charging_crew(server.url, []).agents[0].tools
        crew, outcomes = heard(made, budget={"model_calls": 6})
        ending = each(way, crew, topics(4))
        assert server.count == 4 * 6
    assert ending.error is None and outcomes.statuses() == {"partial": 4}
    assert [result.raw for result in ending.result] == [ABOUT_IT] * 4


@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_the_apps_comes_out_as_bare(way: str) -> None:
    def script(request: Request) -> Reply:
        return Reply(status=400, error_message="no luck") if "topic-3." in str(request.messages) else text(ABOUT_IT)

    seen = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(script) as server:
            crew = wrap(topic_crew(server.url))
            error: BaseException | None = None
            try:
                if way == "kickoff_for_each":
                    crew.kickoff_for_each(inputs=topics(5))
                else:
                    asyncio.run(getattr(crew, way)(inputs=topics(5)))
            except Exception as raised:
                error = raised
        seen.append((type(error), str(error)))
    assert seen[0] == seen[1] and "no luck" in seen[0][1]


# -- a common cap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_with_a_common_cap_the_rest_are_refused_before_their_first_call_and_listed(way: str) -> None:
    groups: list[Any] = []
    inputs = topics(MANY if way == "kickoff_for_each" else 25)
    refused = len(inputs) - 10
    with ModelServer(lambda request: text(ABOUT_IT)) as server:
        crew = mas_guard.wrap(topic_crew(server.url))

        def capped() -> Any:
            with mas_guard.group("nightly", model_calls=10) as group:
                groups.append(group)
                return crew.kickoff_for_each(inputs=inputs)

        async def capped_async() -> Any:
            with mas_guard.group("nightly", model_calls=10) as group:
                groups.append(group)
                return await getattr(crew, way)(inputs=inputs)

        ending = ended(capped) if way == "kickoff_for_each" else awaited(capped_async)
        assert server.count == 10
    assert isinstance(ending.error, mas_guard.BudgetExceeded)
    assert Counter(outcome.status for outcome in groups[0].outcomes) == {"completed": 10, "aborted": refused}
    assert sum(outcome.spent.model_calls for outcome in groups[0].outcomes) == 10
    raws = [result.raw for result in ending.error.results]  # type: ignore[attr-defined]
    assert sorted(raws) == [""] * refused + [ABOUT_IT] * 10
    if way == "kickoff_for_each":
        assert raws == [ABOUT_IT] * 10 + [""] * refused


def test_a_dry_group_refuses_a_single_kickoff_with_its_own_error() -> None:
    with ModelServer(lambda request: text(ABOUT_IT)) as server:
        crew = mas_guard.wrap(topic_crew(server.url))
        with mas_guard.group("nightly", model_calls=1) as group:
            crew.kickoff(inputs={"topic": "one"})
            with pytest.raises(mas_guard.BudgetExceeded, match="nightly"):
                crew.kickoff(inputs={"topic": "two"})
        assert (server.count, len(group.outcomes)) == (1, 2)


# -- flows that kick many off --------------------------------------------------------------------------------------


def topic(url: str) -> Crew:
    """A crew with a tool, which loops where its model does."""
    return charging_crew(url, [])


def loops_at(kickoff: int) -> Script:
    """The model charges for ever in this kickoff alone."""
    begun: list[int] = []

    def reply(request: Request) -> Reply:
        if not any(message["role"] == "tool" for message in request.messages):
            begun.append(request.index)
            if len(begun) != kickoff:
                return text(ABOUT_IT)
        return call("charge", order=str(request.index)) if tools_of(request) else text(CONCLUSION)

    return reply


def test_many_kickoffs_inside_one_flow_are_runs_of_their_own() -> None:
    with ModelServer(report_script) as server:
        flow, outcomes = heard(Batch(server.url))
        ending = ended(lambda: flow.kickoff(inputs={"count": MANY}))
        assert server.count == MANY
    assert ending.result == [ANSWERS[RESEARCHER]] * MANY
    assert outcomes.statuses() == {"completed": MANY + 1}


def test_a_looping_kickoff_inside_a_flow_ends_alone() -> None:
    with ModelServer(loops_at(3)) as server:
        kickoffs = Outcomes()
        inner = partial(mas_guard.wrap, on_outcome=kickoffs.all.append, **OWNED)
        flow, outcomes = heard(Batch(server.url, lambda url: inner(topic(url))))
        ending = ended(lambda: flow.kickoff(inputs={"count": MANY}))
    assert ending.result == [ABOUT_IT] * 2 + [CONCLUSION] + [ABOUT_IT] * (MANY - 3)
    assert kickoffs.statuses() == {"completed": MANY - 1, "partial": 1} and outcomes.statuses() == {"completed": 1}


def test_a_limit_that_is_set_on_the_flow_caps_the_sum_of_its_crews() -> None:
    with ModelServer(report_script) as server:
        flow, outcomes = heard(Batch(server.url), budget={"model_calls": 10}, on_limit="abort")
        ending = ended(lambda: flow.kickoff(inputs={"count": 30}))
        assert server.count == 10
    assert isinstance(ending.error, mas_guard.BudgetExceeded)
    assert ending.error.outcome.spent.model_calls == 10
    assert outcomes.all[-1].run.name == "Batch" and outcomes.statuses() == {"completed": 10, "aborted": 2}
    assert all(held == NOTHING for outcome in outcomes.all for held in Ending(None, None, outcome).held)


@pytest.mark.parametrize("on_limit", ["owner,abort", "partial"])
def test_a_user_who_catches_everything_in_a_flow_passes_no_limit_of_the_flow(on_limit: str) -> None:
    with ModelServer(report_script) as server:
        flow = mas_guard.wrap(Batch(server.url, cast("Any", Swallowing)), budget={"model_calls": 5}, on_limit=on_limit)
        ended(lambda: flow.kickoff(inputs={"count": 30}))
        assert server.count == 5


class Swallowing:
    """A crew that is kicked off by somebody who takes every error for an answer."""

    raw = "all is well"

    def __init__(self, url: str) -> None:
        self._crew = one_task(url)

    def kickoff(self) -> Any:
        try:
            return self._crew.kickoff()
        except Exception:
            return self


def test_settings_that_are_not_set_on_the_flow_hold_for_each_of_its_crews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_BUDGET__MODEL_CALLS", "4")
    with ModelServer(report_script) as server:
        flow, outcomes = heard(Batch(server.url))
        ended(lambda: flow.kickoff(inputs={"count": 12}))
        assert server.count == 12
    assert outcomes.statuses() == {"completed": 13}


def test_a_crew_wrapped_with_limits_of_its_own_keeps_them_inside_a_flow() -> None:
    with ModelServer(loops_at(2)) as server:
        flow = Batch(server.url, lambda url: mas_guard.wrap(topic(url), budget={"model_calls": 3}, on_limit="abort"))
        mas_guard.wrap(flow)
        ending = ended(lambda: flow.kickoff(inputs={"count": 3}))
        assert server.count == 1 + 3
    assert isinstance(ending.error, mas_guard.BudgetExceeded)


# -- what is well --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda url: long_crew(url, 20), lambda url: parallel_crew(url, 14)])
def test_a_crew_of_many_tasks_under_the_defaults_is_untouched(make: Callable[[str], Crew]) -> None:
    sent, given = [], []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(step_script) as server:
            crew = wrap(make(server.url))
            result = crew.kickoff()
            given.append((result.raw, [task.raw for task in result.tasks_output], result.token_usage.total_tokens))
            sent.append(sorted(request.raw for request in server.requests))
    assert given[0] == given[1] and sent[0] == sent[1]
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.hops, outcome.notes) == ("completed", 0, ())


@pytest.mark.parametrize("way", ["kickoff_for_each", "kickoff_for_each_async"])
def test_a_batch_of_streams_can_be_read(way: str) -> None:
    with ModelServer(lambda request: text(ABOUT_IT)) as server:
        crew, outcomes = heard(topic_crew(server.url, stream=True))

        def read() -> list[str]:
            given: Any = crew.kickoff_for_each(inputs=topics(3))
            assert all(isinstance(one, CrewStreamingOutput) for one in given)
            return ["".join(chunk.content for chunk in one) for one in given]

        async def read_async() -> list[str]:
            stream: Any = await crew.kickoff_for_each_async(inputs=topics(3))
            async for _ in stream:
                pass
            return [result.raw for result in stream.results]

        ending = ended(read) if way == "kickoff_for_each" else awaited(read_async)
    assert ending.result == [ABOUT_IT] * 3 and outcomes.statuses() == {"completed": 3}
