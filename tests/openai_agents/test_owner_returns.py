"""A run that reaches its limit goes back to its owner, who answers with what there is, in every way of running it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    AgentHooks,
    MaxTurnsExceeded,
    RunConfig,
    RunHooks,
    Runner,
    RunResult,
    RunResultStreaming,
    SQLiteSession,
    function_tool,
    handoff,
)
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, fault, text
from tests.openai_agents.apps import APIS, OWNER_ANSWER, QUESTION, WAYS, circle, hand_on_for_ever, model, run_in

AWAITED = ("run", "run_streamed")
BRIEF = "[mas-guard]"


class Settlement(BaseModel):
    """What the owner's answer must look like."""

    amount: int


def concluding_with(reply: Reply) -> Any:
    """Every agent hands on, and says so, for ever; the concluding turn is *reply*."""

    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none":
            return reply
        return Reply(text=f"note {request.index}", tool_calls=[ToolCallReply(request.tool_names[0])])

    return script


def look_up_for_ever(request: Request) -> Reply:
    return call("look_up", page=request.index)


@function_tool
def look_up(page: int) -> str:
    """Look a page up."""
    return f"page {page}"


def reader(url: str) -> Agent[Any]:
    """An agent without any other."""
    return Agent[Any](name="reader", instructions="You read.", model=model(url), tools=[look_up])


def go(way: str, agent: Agent[Any], **options: Any) -> tuple[Any, mas_guard.Outcome | None]:
    """The result, and what `last_outcome()` says where the app ran it."""
    if way == "run_sync":
        return Runner.run_sync(agent, QUESTION, **options), mas_guard.last_outcome()

    async def run() -> tuple[Any, mas_guard.Outcome | None]:
        return await run_in(way, agent, QUESTION, **options), mas_guard.last_outcome()

    return asyncio.run(run())


# -- it returns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("options", "rule", "hops", "calls"),
    [({"max_turns": 200}, "hops", 12, 14), ({}, "turns", 10, 11)],
    ids=["twelve hops", "ten turns"],
)
def test_a_loop_of_handoffs_ends_with_the_owners_answer(
    way: str, api: str, options: dict[str, Any], rule: str, hops: int, calls: int
) -> None:
    with ModelServer(hand_on_for_ever) as server:
        alice = mas_guard.wrap(circle(server.url, api))
        result, last = go(way, alice, **options)
        assert server.count == calls
        concluding = [request for request in server.requests if BRIEF in request.last_text]
        assert concluding == server.requests[-1:]
        assert "You are alice." in concluding[0].system and concluding[0].body["tool_choice"] == "none"
    assert type(result) is (RunResultStreaming if way == "run_streamed" else RunResult)
    assert (result.last_agent, result.final_output) == (alice, OWNER_ANSWER)
    assert result.max_turns == options.get("max_turns", 10)
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule, outcome.hops) == ("partial", rule, hops)
    assert outcome.envelope is not None and outcome.envelope.result == OWNER_ANSWER
    assert last is outcome


@pytest.mark.parametrize("way", AWAITED)
async def test_bare_the_same_loop_ends_in_max_turns_exceeded(way: str) -> None:
    with ModelServer(hand_on_for_ever) as server:
        with pytest.raises(MaxTurnsExceeded):
            await run_in(way, circle(server.url), QUESTION)
        assert server.count == 10


async def test_a_run_that_starts_at_another_agent_returns_to_the_wrapped_one() -> None:
    with ModelServer(hand_on_for_ever) as server:
        alice = mas_guard.wrap(circle(server.url))
        bob = alice.handoffs[0]
        result = await Runner.run(bob, QUESTION, max_turns=200)
    assert result.last_agent is alice and result.final_output == OWNER_ANSWER


@pytest.mark.parametrize("way", AWAITED)
async def test_a_named_owner_answers_in_place_of_the_entry_agent(way: str) -> None:
    with ModelServer(hand_on_for_ever) as server:
        alice = mas_guard.wrap(circle(server.url), owner="bob")
        result = await run_in(way, alice, QUESTION)
        assert "You are bob." in server.requests[-1].system
    assert result.last_agent is alice.handoffs[0] and result.final_output == OWNER_ANSWER


def test_an_owner_that_no_agent_leads_to_is_refused_with_the_nearest_name() -> None:
    with ModelServer([]) as server:
        with pytest.raises(mas_guard.ConfigError, match="did you mean 'bob'") as near:
            mas_guard.wrap(circle(server.url), owner="bbo")
        with pytest.raises(mas_guard.ConfigError, match="alice, bob, carol"):
            mas_guard.wrap(circle(server.url), owner="zebra")
    assert near.value.key == "OWNER"


# -- max_turns stays the app's own ----------------------------------------------------------------------


AS_IN_THE_BARE_APP: dict[str, tuple[str, Any, Any]] = {
    "observe mode": ("MODE=observe", circle, hand_on_for_ever),
    "the rule observed": ("RULES__TURNS__MODE=observe", circle, hand_on_for_ever),
    "abort": ("ON_LIMIT=abort", circle, hand_on_for_ever),
    "partial": ("ON_LIMIT=partial", circle, hand_on_for_ever),
    "no other agent": ("ON_LIMIT=owner,abort", reader, look_up_for_ever),
}


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(("setting", "app", "script"), AS_IN_THE_BARE_APP.values(), ids=AS_IN_THE_BARE_APP)
async def test_max_turns_exceeded_stays_as_it_is_in_the_bare_app(
    way: str, setting: str, app: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*f"MAS_GUARD_{setting}".split("="))
    with ModelServer(script) as server:
        with pytest.raises(MaxTurnsExceeded) as caught:
            await run_in(way, mas_guard.wrap(app(server.url)), QUESTION)
        assert server.count == 10
    assert type(caught.value) is MaxTurnsExceeded and str(caught.value) == "Max turns (10) exceeded"
    assert len(caught.value.run_data.raw_responses) == 10


@pytest.mark.parametrize("way", AWAITED)
async def test_a_run_that_ended_in_the_bare_max_turns_exceeded_is_not_called_completed(way: str) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(look_up_for_ever) as server:
        app = mas_guard.wrap(reader(server.url), on_outcome=outcomes.append)
        with pytest.raises(MaxTurnsExceeded):
            await run_in(way, app, QUESTION)
    assert [outcome.status for outcome in outcomes] == ["aborted"]
    assert "MaxTurnsExceeded" in outcomes[0].reason


@pytest.mark.parametrize("way", AWAITED)
async def test_the_apps_own_error_handler_answers(way: str) -> None:
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(circle(server.url))
        handlers = {"max_turns": lambda data: f"handled after {len(data.run_data.raw_responses)}"}
        result = await run_in(way, app, QUESTION, error_handlers=handlers)
        assert server.count == 10
    assert result.final_output == "handled after 10" and result.last_agent.name == "bob"


async def test_in_observe_mode_it_is_recorded_that_enforce_would_have_returned_at_max_turns(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(hand_on_for_ever) as server, pytest.raises(MaxTurnsExceeded):
        await Runner.run(mas_guard.wrap(circle(server.url), mode="observe", events=str(events)), QUESTION)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["rule"] for line in lines if line["event"] == "would_stop"] == ["turns"]


# -- the owner's answer ---------------------------------------------------------------------------------

NO_ANSWER = {
    "empty": (text(""), "empty"),
    "a handoff": (call("transfer_to_bob"), "called transfer_to_bob"),
    "abort": (text("ABORT: nobody knows it\nand more"), "decided to abort: nobody knows it"),
    "a fault": (fault(500, "down"), "failed"),
}


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(("reply", "reason"), NO_ANSWER.values(), ids=NO_ANSWER)
async def test_without_an_answer_of_the_owner_both_errors_are_raised(way: str, reply: Reply, reason: str) -> None:
    with ModelServer(concluding_with(reply)) as server:
        app = mas_guard.wrap(circle(server.url), on_limit="owner,abort")
        with pytest.raises(mas_guard.TurnLimitExceeded) as caught:
            await run_in(way, app, QUESTION)
        assert server.count == 11
    error = caught.value
    assert isinstance(error, MaxTurnsExceeded) and error.turns == 10 and "Max turns (10)" in error.message
    assert (error.outcome.status, error.outcome.rule) == ("aborted", "turns") and reason in error.outcome.reason


@pytest.mark.parametrize("way", AWAITED)
async def test_the_raised_error_holds_the_runs_data_as_the_sdks_own_does(way: str) -> None:
    with ModelServer(concluding_with(text(""))) as server, pytest.raises(MaxTurnsExceeded) as caught:
        await run_in(way, mas_guard.wrap(circle(server.url)), QUESTION)
    assert len(caught.value.run_data.raw_responses) >= 10


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
async def test_an_owner_with_an_output_type_answers_in_it(way: str, api: str) -> None:
    with ModelServer(concluding_with(text('{"amount": 7}'))) as server:
        alice = circle(server.url, api)
        alice.output_type = Settlement
        result = await run_in(way, mas_guard.wrap(alice), QUESTION)
    assert result.final_output == Settlement(amount=7)
    assert mas_guard.outcome(result).status == "partial"


@pytest.mark.parametrize("on_limit", ["owner,abort", "owner,partial"])
@pytest.mark.parametrize("way", AWAITED)
async def test_an_answer_that_is_not_of_the_owners_output_type_leads_to_the_next_action(
    way: str, on_limit: str
) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(concluding_with(text("about seven"))) as server:
        alice = circle(server.url)
        alice.output_type = Settlement
        app = mas_guard.wrap(alice, on_limit=on_limit, on_outcome=outcomes.append)
        with pytest.raises(mas_guard.TurnLimitExceeded) as caught:  # nothing partial can be built for a type
            await run_in(way, app, QUESTION)
    assert "output type" in outcomes[0].reason
    assert outcomes[0].status == "aborted" and caught.value.outcome is outcomes[0]


async def test_a_decision_to_abort_is_read_and_never_shown() -> None:
    session, seen = SQLiteSession("1"), []
    with ModelServer(concluding_with(text("ABORT: nobody knows it\nand more", chunk_count=9))) as server:
        result = Runner.run_streamed(mas_guard.wrap(circle(server.url)), QUESTION, session=session)
        with pytest.raises(mas_guard.TurnLimitExceeded):
            async for event in result.stream_events():
                seen.append(repr(event))
    assert seen and not any("ABORT" in event or "nobody" in event or BRIEF in event for event in seen)
    assert "ABORT" not in repr(await session.get_items()) + repr(result.to_input_list())


@pytest.mark.parametrize("way", AWAITED)
async def test_with_partial_the_last_thing_said_is_the_result(way: str) -> None:
    with ModelServer(concluding_with(text("not asked for"))) as server:
        app = mas_guard.wrap(circle(server.url), on_limit="partial", max_hops=4)
        result = await run_in(way, app, QUESTION)
        assert server.count == 5
    assert result.final_output == "note 4"
    assert (mas_guard.outcome(result).status, mas_guard.outcome(result).rule) == ("partial", "hops")


# -- nothing of the guard's stays behind ----------------------------------------------------------------


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
async def test_the_brief_is_nowhere_but_in_the_concluding_request(way: str, api: str, tmp_path: Path) -> None:
    session, events = SQLiteSession("1"), tmp_path / "events.jsonl"
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(circle(server.url, api), max_hops=2, events=str(events))
        result = await run_in(way, app, QUESTION, session=session)
        kept = [await session.get_items(), result.to_input_list(), result.new_items, events.read_text()]
        assert not any(BRIEF in str(one) or "concluding turn" in str(one) for one in kept)
        await run_in(way, app, "And now?", session=session)  # refused by the server if a call were left open
        assert server.count == 8


@pytest.mark.parametrize("way", AWAITED)
async def test_replies_and_usage_are_those_of_real_calls(way: str) -> None:
    with ModelServer(hand_on_for_ever) as server:
        app = mas_guard.wrap(circle(server.url), budget={"model_calls": 5})
        result = await run_in(way, app, QUESTION)
        assert server.count == 5
    assert len(result.raw_responses) == 5 and all(reply.output for reply in result.raw_responses)
    assert result.context_wrapper.usage.requests == 5
    assert mas_guard.outcome(result).spent.model_calls == 5


async def test_agents_tools_and_models_are_as_they_were() -> None:
    with ModelServer(hand_on_for_ever) as server:
        alice = circle(server.url)
        alice.tools, alice.handoffs = [look_up], [handoff(alice.handoffs[0])]
        bob = alice.handoffs[0]._agent_ref()
        things = [alice, bob, bob.handoffs[0], look_up, alice.handoffs[0], alice.model, alice.model_settings]
        with pytest.raises(MaxTurnsExceeded):
            await Runner.run(alice, QUESTION)  # the SDK itself notes a thing or two on agents, once
        before = [{**vars(thing), "type": type(thing)} for thing in things]
        lists = [(list(agent.tools), list(agent.handoffs)) for agent in things[:3]]
        await Runner.run(mas_guard.wrap(alice), QUESTION)
    for thing, was in zip(things, before, strict=True):
        now = {**vars(thing), "type": type(thing)}
        assert now.keys() == was.keys() and all(now[name] is was[name] for name in was), thing
    assert lists == [(agent.tools, agent.handoffs) for agent in things[:3]]


class Story(RunHooks[Any]):
    """What the run's hooks were told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        self.told.append(f"{agent.name} starts")

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.told.append(f"{agent.name} ends: {output}")

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.told.append(f"{from_agent.name} to {to_agent.name}")

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.told.append(f"{agent.name} replied")


class OwnStory(AgentHooks[Any]):
    """What one agent's hooks were told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_start(self, context: Any, agent: Any) -> None:
        self.told.append("start")

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.told.append(f"end: {output}")


@pytest.mark.parametrize("way", AWAITED)
async def test_hooks_see_the_owner_start_once_more_and_end_with_its_answer(way: str) -> None:
    story, own = Story(), OwnStory()
    with ModelServer(hand_on_for_ever) as server:
        alice = circle(server.url)
        alice.hooks = own
        await run_in(way, mas_guard.wrap(alice, max_hops=2), QUESTION, hooks=story)
    assert story.told == [
        "alice starts", "alice replied", "alice to bob", "bob starts", "bob replied", "bob to carol",
        "carol starts", "carol replied", "alice starts", "alice replied", f"alice ends: {OWNER_ANSWER}",
    ]  # fmt: skip
    assert own.told == ["start", "start", f"end: {OWNER_ANSWER}"]


@pytest.mark.parametrize("where", ["the handoff's", "the run's"])
@pytest.mark.parametrize("way", AWAITED)
async def test_an_input_filter_of_the_apps_is_not_applied_to_the_return(way: str, where: str) -> None:
    filtered: list[Any] = []

    def forget_everything(data: Any) -> Any:
        filtered.append(data)
        return data.clone(input_history=(), pre_handoff_items=(), new_items=())

    with ModelServer(hand_on_for_ever) as server:
        alice = circle(server.url)
        carol = alice.handoffs[0].handoffs[0]
        config = RunConfig(handoff_input_filter=forget_everything) if where == "the run's" else None
        if config is None:
            carol.handoffs = [handoff(alice, input_filter=forget_everything)]
        result = await run_in(way, mas_guard.wrap(alice, max_hops=2), QUESTION, run_config=config)
        asked = [message["content"] for message in server.requests[-1].messages]
    assert len(filtered) == (2 if config is not None else 0)
    assert result.final_output == OWNER_ANSWER
    assert "not transferred: the hop limit of this run is reached" in asked
