"""No budget and no deadline is passed, however deep or wide the calls are made, and nothing swallows the stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from agents import Agent, ModelBehaviorError, ModelSettings, Runner, function_tool
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.clock import Clock
from tests.openai_agents.apps import (
    APIS,
    OWNER_ANSWER,
    QUESTION,
    TOOLS_THAT_RUN_AN_AGENT,
    agent_as_tool,
    circle,
    desk,
    hand_on_for_ever,
    model,
    run_in,
    run_in_tool,
    run_in_tool_that_swallows_everything,
    with_helper,
)

AWAITED = ("run", "run_streamed")
LEFT = 0.2  # seconds of real time that a call which never returns is waited for


def held(outcome: mas_guard.Outcome) -> list[Any]:
    """What the run's accounts, and those of its groups, still hold."""
    return [outcome.run.ledger.read(account).held for account in outcome.run.accounts]


NOTHING = (0, 0, 0, 0)


async def ended(way: str, agent: Agent[Any], **options: Any) -> mas_guard.Outcome:
    """How a run ended, whether it gave a result or raised the guard's stop."""
    try:
        return mas_guard.outcome(await run_in(way, agent, QUESTION, **options))
    except mas_guard.GuardStopped as stop:
        return mas_guard.outcome(stop)


# -- a run inside of a tool -----------------------------------------------------------------------------


def asks_for_ever(request: Request) -> Reply:
    """The front asks its helper thirty times, each time something new."""
    if not request.tool_names:
        return text("helped")
    enough = request.index >= 60 or request.body.get("tool_choice") == "none"
    return text(OWNER_ANSWER) if enough else call("ask", input=f"part {request.index}")


def front_with(tool: Callable[[Agent[Any]], Any], url: str, api: str = "chat") -> Agent[Any]:
    # A client each: one that is used on two event loops mixes up their connections.
    worker = Agent[Any](name="helper", instructions="You help.", model=model(url, api))
    return Agent[Any](name="front", instructions="You ask.", model=model(url, api), tools=[tool(worker)])


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize("tool", TOOLS_THAT_RUN_AN_AGENT, ids=lambda tool: tool.__name__)
async def test_thirty_runs_inside_of_a_tool_stay_within_eight_calls_and_the_owner_answers(tool: Any, way: str) -> None:
    with ModelServer(asks_for_ever) as server:
        app = mas_guard.wrap(front_with(tool, server.url), budget={"model_calls": 8})
        result = await run_in(way, app, QUESTION, max_turns=200)
        assert server.count == 8
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule, outcome.spent.model_calls) == ("partial", "budget", 8)
    assert result.final_output == OWNER_ANSWER and held(outcome) == [NOTHING]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("tool", TOOLS_THAT_RUN_AN_AGENT, ids=lambda tool: tool.__name__)
async def test_with_abort_the_boundary_raises_whatever_the_tool_does_with_errors(tool: Any, api: str) -> None:
    with ModelServer(asks_for_ever) as server:
        app = mas_guard.wrap(front_with(tool, server.url, api), budget={"model_calls": 8}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            await Runner.run(app, QUESTION, max_turns=200)
        assert server.count == 8
    outcome = caught.value.outcome
    assert (outcome.status, outcome.spent.model_calls, held(outcome)) == ("aborted", 8, [NOTHING])


async def test_bare_all_sixty_calls_are_sent() -> None:
    with ModelServer(asks_for_ever) as server:
        await Runner.run(front_with(run_in_tool, server.url), QUESTION, max_turns=200)
        assert server.count == 61


# -- many at once ---------------------------------------------------------------------------------------


def fans_out(request: Request) -> Reply:
    """Fifty questions in one reply; every call is billed with a thousand tokens in and out."""
    if request.body.get("tool_choice") == "none":
        return text(OWNER_ANSWER, input_tokens=1000, output_tokens=1000)
    if request.tool_names and request.index == 0:
        calls = [ToolCallReply("ask", {"question": f"part {part}: " + "word " * 800}) for part in range(50)]
        return Reply(tool_calls=calls, input_tokens=1000, output_tokens=1000)
    return text("done", input_tokens=1000, output_tokens=1000)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
async def test_fifty_tool_calls_at_once_with_an_agent_each_are_never_above_the_budget(way: str, api: str) -> None:
    with ModelServer(fans_out) as server:
        app = mas_guard.wrap(with_helper(server.url, api), budget={"model_calls": 8})
        outcome = await ended(way, app)
        assert server.count == 8
    assert (outcome.status, outcome.rule, outcome.spent.model_calls) == ("partial", "budget", 8)
    assert held(outcome) == [NOTHING]


@pytest.mark.parametrize("on_limit", ["owner,abort", "abort"])
@pytest.mark.parametrize(
    ("budget", "unit", "limit"),
    [({"tokens": 50_000}, "tokens", 50_000), ({"usd": "0.01875"}, "nano_usd", 18_750_000)],
    ids=["tokens", "usd"],
)
async def test_tokens_and_dollars_are_never_above_and_mostly_usable(
    budget: dict[str, Any], unit: str, limit: int, on_limit: str
) -> None:
    with ModelServer(fans_out) as server:
        # 1,000 tokens in and out of gpt-4o-mini cost 750,000 nano-USD: 25 of the 50 calls fit into each budget.
        outcome = await ended("run", mas_guard.wrap(with_helper(server.url), budget=budget, on_limit=on_limit))
        assert server.count == outcome.spent.model_calls
    assert limit * 3 // 4 <= getattr(outcome.spent, unit) <= limit
    assert outcome.rule == "budget" and held(outcome) == [NOTHING]


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(
    ("limits", "unit", "limit"),
    [
        ({"model_calls": 8}, "model_calls", 8),
        ({"tokens": 16_500}, "tokens", 16_500),
        ({"usd": 0.0062}, "nano_usd", 6.2e6),
    ],
    ids=["calls", "tokens", "usd"],
)
async def test_twenty_runs_at_once_share_the_budget_of_their_group(
    limits: Any, unit: str, limit: int, way: str
) -> None:
    with ModelServer(lambda request: text("done", input_tokens=1000, output_tokens=1000)) as server:
        app = Agent[Any](name="clerk", instructions="word " * 1000, model=model(server.url))
        app.model_settings = ModelSettings(max_tokens=1000)
        mas_guard.wrap(app)
        with mas_guard.group("nightly", **limits) as group:
            outcomes = await asyncio.gather(*(ended(way, app) for _ in range(20)))
        assert server.count == group.spent.model_calls
    assert limit // 2 <= getattr(group.spent, unit) <= limit
    refused = [outcome for outcome in outcomes if outcome.status == "aborted"]
    assert len(refused) == 20 - server.count
    assert {(outcome.rule, outcome.spent.model_calls) for outcome in refused} == {("budget", 0)}
    assert len(group.outcomes) == 20 and held(outcomes[0]) == [NOTHING, NOTHING]


# -- an agent's own budget ------------------------------------------------------------------------------


@function_tool
def look_up(page: int) -> str:
    """Look a page up."""
    return f"page {page}"


def billing_looks_up_for_ever(request: Request) -> Reply:
    if "You settle" in request.system:
        return call("look_up", page=request.index)
    if any(message["role"] == "tool" for message in request.messages):
        return text("Billing did not get through.")
    return call(request.tool_names[0], **({"input": "settle it"} if request.tool_names[0] == "ask" else {}))


def handing_over(url: str, api: str) -> Agent[Any]:
    triage = desk(url, api)
    triage.handoffs[0].tools = [look_up]
    return triage


def asking_as_tool(url: str, api: str) -> Agent[Any]:
    triage = handing_over(url, api)
    triage.tools, triage.handoffs = [agent_as_tool(triage.handoffs[0])], []
    return triage


def asking_in_a_tool(url: str, api: str) -> Agent[Any]:
    triage = handing_over(url, api)
    triage.tools, triage.handoffs = [run_in_tool_that_swallows_everything(triage.handoffs[0])], []
    return triage


OWN_BUDGETS: dict[str, dict[str, Any]] = {
    "agents.NAME model calls": {"agents": {"billing": {"budget": {"model_calls": 3}}}},
    "agents.NAME tool calls": {"agents": {"billing": {"budget": {"tool_calls": 2}}}},
    "AGENT_BUDGET": {"agent_budget": {"model_calls": 3}},
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize("settings", OWN_BUDGETS.values(), ids=OWN_BUDGETS)
@pytest.mark.parametrize("team", [handing_over, asking_as_tool, asking_in_a_tool], ids=lambda team: team.__name__)
async def test_an_agents_own_budget_ends_it_and_control_goes_back_to_who_asked(
    team: Any, settings: dict[str, Any], way: str, api: str
) -> None:
    with ModelServer(billing_looks_up_for_ever, max_requests=20) as server:
        app = mas_guard.wrap(team(server.url, api), **settings)
        result = await run_in(way, app, QUESTION)
        assert server.count == 5
        assert "status failed" in server.requests[-1].last_text and "'billing'" in server.requests[-1].last_text
    assert (result.last_agent, result.final_output) == (app, "Billing did not get through.")
    assert "Do not hand over" not in str(result.to_input_list())
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "budget") and "billing" in outcome.reason


@pytest.mark.parametrize("way", AWAITED)
async def test_the_entry_agents_own_budget_is_raised_to_the_app_with_its_outcome(way: str) -> None:
    with ModelServer(billing_looks_up_for_ever) as server:
        app = mas_guard.wrap(handing_over(server.url, "chat").handoffs[0], agent_budget={"model_calls": 3})
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            await run_in(way, app, QUESTION)
        assert server.count == 3
    outcome = mas_guard.outcome(caught.value)
    assert (outcome.status, outcome.rule) == ("aborted", "budget")


# -- a reply that the guard's own cap cut off -----------------------------------------------------------


class Letter(BaseModel):
    """What a writer with an output type writes."""

    body: str


def says_too_much(request: Request) -> Reply:
    typed = "response_format" in request.body or "format" in (request.body.get("text") or {})
    if "[mas-guard]" in request.last_text:
        return text('{"body": "short"}' if typed else OWNER_ANSWER, output_tokens=20)
    return text('{"body": "' * typed + "word " * 4000, input_tokens=20, output_tokens=5000)


def writer(url: str, api: str = "chat") -> Agent[Any]:
    return Agent[Any](name="writer", instructions="You write at length.", model=model(url, api))


def typed_writer(url: str, api: str) -> Agent[Any]:
    return Agent[Any](name="typist", model=model(url, api), handoffs=[writer(url)], output_type=Letter)


@pytest.mark.parametrize("app", [writer, desk, typed_writer], ids=lambda app: app.__name__)
@pytest.mark.parametrize("budget", [{"tokens": 6000}, {"usd": "0.004"}], ids=["tokens", "usd"])
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
async def test_a_reply_cut_by_the_guards_cap_is_said_to_be_and_no_unexplained_error(
    way: str, api: str, budget: dict[str, Any], app: Any
) -> None:
    with ModelServer(says_too_much) as server:
        outcome = await ended(way, mas_guard.wrap(app(server.url, api), budget=budget))
        cap = server.requests[0].body.get("max_output_tokens") or server.requests[0].body["max_tokens"]
    assert outcome.rule == "budget" and outcome.status in (("aborted", "partial") if app is writer else ("partial",))
    assert any(f"{cap} tokens" in said for said in (*outcome.notes, outcome.reason))


@pytest.mark.parametrize("way", AWAITED)
async def test_a_reply_cut_by_the_apps_own_cap_ends_as_in_the_bare_app(way: str) -> None:
    seen: list[Any] = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(says_too_much) as server:
            app = writer(server.url, "responses")
            app.model_settings = ModelSettings(max_tokens=50)
            try:
                seen.append((await run_in(way, wrap(app), QUESTION)).final_output)
            except ModelBehaviorError as error:
                seen.append((type(error), str(error)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("way", AWAITED)
async def test_what_a_run_was_given_is_in_its_outcome_even_where_its_first_call_is_refused(way: str) -> None:
    with ModelServer([]) as server:
        outcome = await ended(way, mas_guard.wrap(writer(server.url), budget={"tokens": 9}))
    assert outcome.status == "aborted" and outcome.partial == [{"role": "user", "content": QUESTION}]


# -- the deadline ---------------------------------------------------------------------------------------


def working(clock: Clock, url: str, api: str = "chat", seconds: float = 25) -> Agent[Any]:
    """An agent with a tool that takes *seconds*, and one that never returns."""

    @function_tool
    def work(page: int) -> str:
        """Work."""
        clock.advance(seconds)
        return f"page {page}"

    @function_tool
    async def hang(page: int) -> str:
        """Work for ever."""
        try:
            return str(await asyncio.Event().wait())
        finally:
            clock.advance(100)

    chat = model(url, api, max_retries=2)
    return Agent[Any](name="reader", instructions="You read.", model=chat, tools=[work, hang])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
async def test_after_the_deadline_no_call_is_sent(guard: mas_guard.Guard, clock: Clock, way: str, api: str) -> None:
    with ModelServer(lambda request: call("work", page=request.index)) as server:
        with pytest.raises(mas_guard.DeadlineExceeded) as caught:
            await run_in(way, guard.wrap(working(clock, server.url, api), deadline=60), QUESTION)
        assert server.count == 3
    assert caught.value.seconds == 60 and caught.value.outcome.spent.tool_calls == 3


@pytest.mark.parametrize("way", AWAITED)
async def test_the_owner_concludes_in_the_share_that_is_kept_for_it(
    guard: mas_guard.Guard, clock: Clock, way: str
) -> None:
    def script(request: Request) -> Reply:
        clock.advance(30 if request.body.get("tool_choice") != "none" else 0)
        return hand_on_for_ever(request)

    with ModelServer(script) as server:
        result = await run_in(way, guard.wrap(circle(server.url), deadline=100), QUESTION)
        assert server.count == 4 and "10 s of it are kept" in server.requests[-1].last_text
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule, result.final_output) == ("partial", "deadline", OWNER_ANSWER)


@pytest.mark.parametrize("hangs", ["the model", "its stream", "a tool"])
@pytest.mark.parametrize("way", AWAITED)
async def test_what_never_returns_is_cut_and_no_retry_leaves(
    guard: mas_guard.Guard, clock: Clock, way: str, hangs: str
) -> None:
    never = threading.Event()

    def script(request: Request) -> Reply:
        if request.index == 0:
            return call("work", page=1)
        if hangs == "a tool":
            return call("hang", page=2)
        clock.advance(100)
        return text("too late, and long", wait_for=never, hold_stream_after=2 if hangs == "its stream" else None)

    with ModelServer(script) as server:
        app = guard.wrap(working(clock, server.url, seconds=60 - LEFT), deadline=60)
        with pytest.raises(mas_guard.DeadlineExceeded) as caught:
            await run_in(way, app, QUESTION)
        assert server.count == 2
    outcome = caught.value.outcome
    assert (outcome.status, outcome.spent.model_calls, held(outcome)) == ("aborted", 2, [NOTHING])
