"""No budget is passed, however a crew comes to its model calls, and nothing swallows the stop or hangs over it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from crewai import Crew, Task
from crewai.tools import tool
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.crewai.crews import (
    CONCLUSION,
    RESEARCHER,
    ROLES,
    Script,
    agent,
    charge_for_ever,
    charging_crew,
    circle,
    crew_of,
    delegate_for_ever,
    endless_manager,
    failing,
    hand_on_for_ever,
    kickoff,
    model,
    one_task,
    own_model,
    react_crew,
    refused_crew,
    report_crew,
    report_script,
    role_of,
    streaming_crew,
    tools_of,
)
from tests.crewai.endings import NOTHING, awaited, crew_ended, ended, in_time
from tests.crewai.more_crews import (
    ASKING_WAYS,
    ask_for_ever,
    asking_crew,
    long_crew,
    parallel_crew,
    step_script,
    topic_crew,
    topics,
)

EIGHT = {"model_calls": 8}
ACTIONS = ("owner,abort", "abort", "partial")
ONLY_THE_BUDGET: dict[str, Any] = {"max_hops": None, "repetition": {"redirect": None, "block": None, "stop": None}}


def plain(url: str) -> Crew:
    """Tasks one after the other."""
    return long_crew(url, 12)


def streaming(url: str) -> Crew:
    return long_crew(url, 12, stream=True)


def in_a_thread(url: str) -> Crew:
    """The executor runs in a thread of CrewAI's."""
    return charging_crew(url, [], max_execution_time=600)


def calling_in_text(url: str) -> Crew:
    """A model without native tool calls."""

    @tool("charge")
    def charge(order: str) -> str:
        """Charge the card for an order."""
        return f"order {order} was charged"

    worker = agent(RESEARCHER, own_model(url), tools=[charge])
    return crew_of([Task(description="Charge them all.", expected_output="Done", agent=worker)])


def writes_calls_for_ever(request: Request) -> Reply:
    return text(f'Thought: I charge.\nAction: charge\nAction Input: {{"order": "{request.index}"}}')


def several_at_once(request: Request) -> Reply:
    """Five tools in one reply: CrewAI runs them at the same time."""
    if not tools_of(request):
        return text(CONCLUSION)
    return Reply(tool_calls=[ToolCallReply("ask", {"question": f"{request.index}.{part}"}) for part in range(5)])


RUNAWAYS: dict[str, tuple[Callable[[str], Any], Script]] = {
    "one after the other": (plain, step_script),
    "at the same time": (lambda url: parallel_crew(url, 12), step_script),
    "streaming": (streaming, step_script),
    **{f"asking, {way}": (lambda url, way=way: asking_crew(url, way), ask_for_ever) for way in ASKING_WAYS},
    **{f"asking at once, {way}": (lambda url, way=way: asking_crew(url, way), several_at_once) for way in ASKING_WAYS},
    "circle": (circle, hand_on_for_ever),
    "manager": (endless_manager, delegate_for_ever),
    "tool": (lambda url: charging_crew(url, []), charge_for_ever),
    "tool in a thread": (in_a_thread, charge_for_ever),
    "tool called in text": (calling_in_text, writes_calls_for_ever),
}


@pytest.mark.parametrize("on_limit", ACTIONS)
@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_budget_of_eight_calls_is_never_passed(name: str, on_limit: str) -> None:
    make, script = RUNAWAYS[name]
    with ModelServer(script) as server:
        app = mas_guard.wrap(make(server.url), budget=EIGHT, on_limit=on_limit, **ONLY_THE_BUDGET)
        ending = crew_ended(app)
        assert server.wait_for_in_flight(0)
        assert server.count == 8
    assert (ending.outcome.rule, ending.outcome.spent.model_calls, ending.held) == ("budget", 8, [NOTHING])
    assert mas_guard.status()["internal_errors"] == 0
    if on_limit == "abort":
        assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.outcome.status == "aborted"
    if on_limit == "partial":
        assert ending.error is None and ending.outcome.status == "partial"


@pytest.mark.parametrize("name", ["at the same time", "asking, quiet", "circle", "tool"])
def test_awaited_it_is_not_passed_either(name: str) -> None:
    make, script = RUNAWAYS[name]
    with ModelServer(script) as server:
        app = mas_guard.wrap(make(server.url), budget=EIGHT, on_limit="abort", **ONLY_THE_BUDGET)
        ending = awaited(app.akickoff)
        assert server.wait_for_in_flight(0)
        assert server.count == 8
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]


@pytest.mark.parametrize("name", ["asking, crew", "circle", "tool"])
def test_every_kickoff_of_one_crew_has_a_budget_of_its_own(name: str) -> None:
    make, script = RUNAWAYS[name]
    with ModelServer(script) as server:
        app = mas_guard.wrap(make(server.url), budget=EIGHT, on_limit="abort", **ONLY_THE_BUDGET)
        for kickoffs in (1, 2):
            assert isinstance(crew_ended(app).error, mas_guard.BudgetExceeded)
            assert server.count == 8 * kickoffs


# -- what CrewAI does again by itself ------------------------------------------------------------------------------

REPEATED: dict[str, tuple[Callable[[str], Any], Script]] = {
    "429": (report_crew, failing(429, ROLES)),
    "500": (report_crew, failing(500, ROLES)),
    "429, another client": (lambda url: report_crew(url, "litellm"), failing(429, ROLES)),
    "guardrail": (refused_crew, report_script),
    "empty": (report_crew, lambda request: text("")),
}


@pytest.mark.parametrize("retries", [{}, {"retries": {"per_call": None, "per_task": None}}], ids=["tamed", "bare"])
@pytest.mark.parametrize("name", REPEATED)
def test_what_is_tried_again_stays_within_the_budget(name: str, retries: dict[str, Any]) -> None:
    make, script = REPEATED[name]
    with ModelServer(script) as server:
        ending = crew_ended(mas_guard.wrap(make(server.url), budget={"model_calls": 2}, on_limit="abort", **retries))
        sent = min(2, server.count)
        assert server.count == sent
    assert ending.outcome.spent.model_calls == sent and ending.held == [NOTHING]
    if not (retries == {} and name == "empty"):
        assert isinstance(ending.error, mas_guard.BudgetExceeded)


class Wanted(BaseModel):
    """What a task returns."""

    title: str


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ({"output_pydantic": Wanted}, "No JSON."),
        ({"output_json": Wanted}, "No JSON."),
        ({"guardrail": "It must be a poem.", "guardrail_max_retries": 9}, '{"valid": false, "feedback": "No poem."}'),
    ],
    ids=["pydantic", "json", "guardrail that asks a model"],
)
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_what_puts_a_result_into_its_type_stays_within_the_budget(task: dict[str, Any], answer: str, api: str) -> None:
    limits: dict[str, Any] = {"budget": {"model_calls": 2}, "retries": {"per_task": None}, "on_limit": "abort"}
    with ModelServer(lambda request: text(answer)) as server:
        ending = crew_ended(mas_guard.wrap(one_task(server.url, api, task=task), **limits))
        assert server.count == 2
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]


def test_a_plan_made_beforehand_is_paid_from_the_same_budget() -> None:
    plan = {"list_of_plans_per_task": [{"task_number": 1, "task": "Step", "plan": "Take it."}]}

    def script(request: Request) -> Reply:
        return step_script(request) if "Worker" in role_of(request) else text(json.dumps(plan))

    with ModelServer(script) as server:
        crew = long_crew(server.url, 5, planning=True, planning_llm=model(server.url))
        ending = crew_ended(mas_guard.wrap(crew, budget={"model_calls": 3}, on_limit="abort"))
        assert [role_of(request) for request in server.requests[1:]] == ["Worker0", "Worker1"]
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]


# -- tokens and dollars --------------------------------------------------------------------------------------------


def bills(request: Request) -> Reply:
    """Every call is billed with a thousand tokens in and out: 750,000 nano-USD."""
    return text(f"{role_of(request)} is done.", input_tokens=1000, output_tokens=1000)


def billed(url: str) -> Crew:
    """Each worker is given much to read."""
    crew = parallel_crew(url, 30)
    for task in crew.tasks[:-1]:
        task.description += " word" * 1000
    return crew


@pytest.mark.parametrize("on_limit", ["owner,abort", "abort"])
@pytest.mark.parametrize(
    ("budget", "unit", "limit"),
    [({"tokens": 40_000}, "tokens", 40_000), ({"usd": "0.015"}, "nano_usd", 15_000_000)],
    ids=["tokens", "usd"],
)
def test_tokens_and_dollars_are_never_passed_and_mostly_usable(
    budget: dict[str, Any], unit: str, limit: int, on_limit: str
) -> None:
    with ModelServer(bills) as server:
        ending = crew_ended(mas_guard.wrap(billed(server.url), budget=budget, on_limit=on_limit))
        assert server.wait_for_in_flight(0)
        assert server.count == ending.outcome.spent.model_calls
    assert limit // 2 <= getattr(ending.outcome.spent, unit) <= limit
    assert (ending.outcome.rule, ending.held) == ("budget", [NOTHING])


@pytest.mark.parametrize("api", ["chat", "responses", "litellm", "own"])
def test_each_call_is_booked_once_with_what_it_used(api: str) -> None:
    with ModelServer(bills) as server:
        crew = react_crew(server.url) if api == "own" else report_crew(server.url, api)
        outcome = crew_ended(mas_guard.wrap(crew, budget={"usd": 1})).outcome
        assert server.count == 3
    assert (outcome.status, outcome.spent.model_calls) == ("completed", 3)
    assert (outcome.spent.tokens, outcome.spent.nano_usd) == (6000, 2_250_000)
    assert outcome.notes == ()


def test_a_stream_is_booked_with_what_it_used() -> None:
    with ModelServer(bills) as server:
        outcome = crew_ended(mas_guard.wrap(streaming_crew(server.url))).outcome
    assert (outcome.spent.tokens, outcome.spent.model_calls) == (6000, 3)


# -- many kickoffs under one budget --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["kickoff_for_each_async", "akickoff_for_each"])
def test_fifty_kickoffs_at_once_share_the_budget_of_their_group(way: str) -> None:
    groups: list[Any] = []
    with ModelServer(lambda request: text("All about it.")) as server:
        crew = mas_guard.wrap(topic_crew(server.url))

        async def each() -> Any:
            with mas_guard.group("nightly", **EIGHT) as group:
                groups.append(group)
                return await getattr(crew, way)(inputs=topics(50))

        ending = awaited(each)
        assert server.wait_for_in_flight(0)
        assert server.count == 8
    group = groups[0]
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and group.spent.model_calls == 8
    assert Counter(outcome.status for outcome in group.outcomes) == {"completed": 8, "aborted": 42}
    assert ending.held == [NOTHING, NOTHING]
    assert sum(bool(result.raw) for result in ending.error.results) == 8  # type: ignore[attr-defined]


def test_crews_on_one_event_loop_all_end_when_their_groups_budget_is_gone() -> None:
    given: list[Any] = []

    async def at_once(url: str) -> None:
        crews = [mas_guard.wrap(report_crew(url), on_limit="abort") for _ in range(6)]
        with mas_guard.group("nightly", **EIGHT):
            given.extend(await asyncio.gather(*(crew.akickoff() for crew in crews), return_exceptions=True))

    with ModelServer(step_script) as server:
        in_time(lambda: asyncio.run(at_once(server.url)))
        assert server.count == 8
    assert len(given) == 6 and any(isinstance(result, mas_guard.BudgetExceeded) for result in given)


def test_a_crew_that_a_tool_kicks_off_for_each_of_many_inputs_is_part_of_the_run() -> None:
    with ModelServer(lambda request: call("each") if tools_of(request) == ["each"] else text("Done.")) as server:

        @tool("each")
        def each() -> str:
            """Do it for each."""
            return str(len(topic_crew(server.url).kickoff_for_each(topics(20))))

        ending = crew_ended(mas_guard.wrap(one_task(server.url, tools=[each]), budget=EIGHT, on_limit="abort"))
        assert server.count == 8
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]


def test_a_thread_that_a_tool_starts_is_part_of_the_run() -> None:
    with ModelServer(ask_for_ever) as server:

        @tool("ask")
        def ask(question: str) -> str:
            """Ask an expert."""
            said: list[str] = []
            thread = threading.Thread(target=lambda: said.append(str(model(server.url).call(question))))
            thread.start()
            thread.join()
            return "".join(said) or "nothing"

        ending = crew_ended(mas_guard.wrap(one_task(server.url, tools=[ask]), budget=EIGHT, on_limit="abort"))
        assert server.count == 8
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]


# -- what users' code does with errors -----------------------------------------------------------------------------


def test_a_user_who_catches_everything_gets_no_further() -> None:
    with ModelServer(step_script) as server:
        with pytest.raises(mas_guard.BudgetExceeded):
            with mas_guard.run("task", budget=EIGHT, on_limit="abort"):
                for _ in range(20):
                    try:
                        kickoff(report_crew(server.url))
                    except Exception:
                        continue
        assert server.count == 8


def test_agents_that_are_kicked_off_by_themselves_have_a_budget() -> None:
    with ModelServer(charge_for_ever) as server:
        (worker,) = charging_crew(server.url, []).agents
        ending = ended(lambda: mas_guard.wrap(worker, budget=EIGHT, on_limit="abort").kickoff("Charge them all."))
        assert server.count == 8
    assert isinstance(ending.error, mas_guard.BudgetExceeded) and ending.held == [NOTHING]
