"""A conversation of many turns, whichever agent each of them starts at: guarded, each as a run of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest
from agents import Agent, Handoff, RunErrorHandlerResult, Runner, SQLiteSession, handoff
from openai import OpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.openai_agents.apps import NAMES, OWNER_ANSWER, circle, hand_on_for_ever, model, run_in

TURNS = 10


def hands_on_once(request: Request) -> Reply:
    """Whoever gets the user's message hands it on; whoever was handed it answers."""
    if request.messages[-1]["role"] == "user":
        return call(request.tool_names[0])
    return text(f"answer {request.index}")


def hands_on_for_ever_at(turn: int) -> Any:
    """One turn of the conversation runs away."""

    def script(request: Request) -> Reply:
        asked = sum(message["role"] == "user" and "message" in message["content"] for message in request.messages)
        return hand_on_for_ever(request) if asked == turn else hands_on_once(request)

    return script


class Turns:
    """Plays turns and keeps each one's outcome."""

    def __init__(self, agent: Agent[Any], **settings: Any) -> None:
        self.outcomes: list[mas_guard.Outcome] = []
        self.wrapped = mas_guard.wrap(agent, on_outcome=self.outcomes.append, **settings)
        self.agent = agent
        self.history: list[Any] = []

    async def take(self, number: int, *, way: str = "run", session: Any = None) -> Any:
        """One turn, at the agent that had control last."""
        message = {"role": "user", "content": f"message {number}"}
        task: Any = message["content"] if session is not None else [*self.history, message]
        result = await run_in(way, self.agent, task, session=session)
        self.agent = result.last_agent
        self.history = [] if session is not None else result.to_input_list()
        return result


@pytest.mark.parametrize("kept", ["list", "session"])
@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_every_turn_is_a_run_under_the_same_policy_and_one_owner(way: str, kept: str) -> None:
    session = SQLiteSession("7") if kept == "session" else None
    started = []
    with ModelServer(hands_on_once) as server:
        turns = Turns(circle(server.url), budget={"model_calls": 4}, max_hops=2)
        for number in range(TURNS):
            started.append(turns.agent.name)
            result = await turns.take(number, way=way, session=session)
            assert mas_guard.outcome(result) is turns.outcomes[-1]
        assert server.count == 2 * TURNS
    assert started == [NAMES[number % 3] for number in range(TURNS)]
    outcomes = turns.outcomes
    assert len({outcome.run_id for outcome in outcomes}) == TURNS
    assert {outcome.run.owner for outcome in outcomes} == {"alice"}
    assert {(outcome.status, outcome.hops, outcome.spent.model_calls) for outcome in outcomes} == {("completed", 1, 2)}
    assert {outcome.unspent.model_calls for outcome in outcomes} == {2}


@pytest.mark.parametrize("kept", ["list", "session"])
@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_a_turn_that_runs_away_goes_back_to_the_wrapped_agent_and_the_conversation_goes_on(
    way: str, kept: str
) -> None:
    session = SQLiteSession("7") if kept == "session" else None
    with ModelServer(hands_on_for_ever_at(3)) as server:
        turns = Turns(circle(server.url), max_hops=4)
        for number in range(2):
            await turns.take(number, way=way, session=session)
        assert turns.agent.name == "carol"
        stopped = await turns.take(2, way=way, session=session)
        assert (stopped.final_output, stopped.last_agent) == (OWNER_ANSWER, turns.wrapped)
        for number in range(3, 6):
            await turns.take(number, way=way, session=session)
    found = [(outcome.status, outcome.rule, outcome.hops) for outcome in turns.outcomes]
    assert found == [("completed", "", 1)] * 2 + [("partial", "hops", 4)] + [("completed", "", 1)] * 3
    assert {outcome.run.owner for outcome in turns.outcomes} == {"alice"}


async def test_a_turn_that_starts_at_another_agent_is_stopped_by_the_wrapped_ones_limits() -> None:
    with ModelServer(hand_on_for_ever) as server:
        alice = circle(server.url)
        mas_guard.wrap(alice, budget={"model_calls": 3}, on_limit="abort")
        bob = alice.handoffs[0]
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            await Runner.run(bob, "Settle it.")
        assert server.count == 3
    assert (caught.value.run.name, caught.value.run.owner) == ("alice", "alice")


async def test_an_agent_used_as_a_tool_is_guarded_where_it_is_run_by_itself() -> None:
    with ModelServer(lambda request: text("done")) as server:
        worker = Agent[Any](name="worker", model=model(server.url))
        front = Agent[Any](name="front", model=model(server.url), tools=[worker.as_tool("ask", "Ask it.")])
        mas_guard.wrap(front)
        result = await Runner.run(worker, "Settle it.")
    assert mas_guard.outcome(result).run.owner == "front"


# -- agents that no handoff tells of -------------------------------------------------------------------------------


def dynamic(name: str, make: Any) -> Handoff[Any, Any]:
    """A handoff whose target only its own code knows."""

    async def invoke(context: Any, arguments: str) -> Agent[Any]:
        found: Agent[Any] = make()
        return found

    return Handoff(
        tool_name=f"transfer_to_{name}",
        tool_description="Hand over.",
        input_json_schema={"type": "object", "properties": {}, "additionalProperties": False},
        on_invoke_handoff=invoke,
        agent_name=name,
    )


@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_an_agent_made_by_a_handoffs_own_code_stays_guarded_when_the_app_goes_on_from_it(way: str) -> None:
    with ModelServer(hands_on_once) as server:
        chat = model(server.url)

        def clerk() -> Agent[Any]:
            return Agent[Any](name="clerk", model=chat, handoffs=[dynamic("porter", porter)])

        def porter() -> Agent[Any]:
            return Agent[Any](name="porter", model=chat, handoffs=[dynamic("clerk", clerk)])

        desk = Agent[Any](name="desk", model=chat, handoffs=[dynamic("clerk", clerk)])
        turns = Turns(desk, budget={"model_calls": 5})
        for number in range(4):
            await turns.take(number, way=way)
    assert [outcome.path for outcome in turns.outcomes] == [
        ("desk", "clerk"),
        ("clerk", "porter"),
        ("porter", "clerk"),
        ("clerk", "porter"),
    ]
    assert {outcome.run.owner for outcome in turns.outcomes} == {"desk"}
    assert {outcome.unspent.model_calls for outcome in turns.outcomes} == {3}


async def test_a_handoff_added_after_wrapping_leads_to_guarded_agents() -> None:
    with ModelServer(lambda request: text("done")) as server:
        desk = Agent[Any](name="desk", model=model(server.url))
        turns = Turns(desk)
        late = Agent[Any](name="late", model=model(server.url))
        desk.handoffs.append(handoff(late))
        await Runner.run(late, "Settle it.")
    assert turns.outcomes[0].run.owner == "desk"


# -- what is wrapped, and what is not ------------------------------------------------------------------------------


async def test_an_unwrapped_app_beside_a_wrapped_one_runs_bare_and_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ModelServer(lambda request: text("done")) as server:
        turns = Turns(Agent[Any](name="wrapped", model=model(server.url)))
        beside = Agent[Any](name="passer-by", model=model(server.url))
        with caplog.at_level(logging.WARNING, "mas_guard"):
            for way in ("run", "run_streamed", "run"):
                assert (await run_in(way, beside, "hello")).final_output == "done"
            await Runner.run(turns.wrapped, "hello")
    told = [record.getMessage() for record in caplog.records if "runs unguarded beside" in record.getMessage()]
    assert len(told) == 1
    assert "'passer-by'" in told[0]
    assert len(turns.outcomes) == 1


async def test_without_a_wrapped_app_nothing_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with ModelServer(lambda request: text("done")) as server:
        wrapped = mas_guard.wrap(Agent[Any](name="wrapped", model=model(server.url)))
        del wrapped
        gc.collect()
        with caplog.at_level(logging.WARNING, "mas_guard"):
            await Runner.run(Agent[Any](name="alone", model=model(server.url)), "hello")
    assert not [record for record in caplog.records if record.name == "mas_guard"]


async def test_wrapping_again_can_only_narrow() -> None:
    with ModelServer(hand_on_for_ever) as server:
        alice = circle(server.url)
        for limits, hops in (({"max_hops": 3}, 3), ({"max_hops": 8}, 3), ({"max_hops": 2}, 2), ({}, 2)):
            assert mas_guard.wrap(alice, **limits) is alice
            assert mas_guard.outcome(await Runner.run(alice, "Settle it.")).hops == hops


async def test_wrapping_again_keeps_what_the_first_one_was_told() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(lambda request: text("done")) as server:
        agent = Agent[Any](name="wrapped", model=model(server.url))
        mas_guard.wrap(agent, on_outcome=outcomes.append, tenant="acme")
        mas_guard.wrap(agent, max_hops=2)
        await Runner.run(agent, "hello")
    assert [outcome.run.tenant for outcome in outcomes] == ["acme"]


async def test_a_tenant_is_asked_for_in_every_turn() -> None:
    tenants = iter(("acme", "umbrella"))
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(hands_on_once) as server:
        alice = mas_guard.wrap(circle(server.url), tenant=lambda: next(tenants), on_outcome=outcomes.append)
        first = await Runner.run(alice, "message 1")
        await Runner.run(first.last_agent, "message 2")
    assert [outcome.run.tenant for outcome in outcomes] == ["acme", "umbrella"]


@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_a_turn_that_is_refused_before_it_begins_ends_at_once(way: str) -> None:
    with ModelServer(lambda request: text("done")) as server:
        agent = mas_guard.wrap(Agent[Any](name="wrapped", model=model(server.url)))
        with mas_guard.group("nightly", model_calls=1) as group:
            await run_in(way, agent, "message 1")
            refused = asyncio.create_task(run_in(way, agent, "message 2"))
            await asyncio.wait([refused], timeout=5)  # a stream that nothing is put into never ends
        assert isinstance(refused.exception(), mas_guard.BudgetExceeded)
        assert server.count == 1
    assert [outcome.status for outcome in group.outcomes] == ["completed", "aborted"]


async def test_a_callback_that_raises_changes_nothing() -> None:
    def fails(outcome: mas_guard.Outcome) -> None:
        raise ZeroDivisionError("a bug in the app")

    with ModelServer(lambda request: text("done")) as server:
        agent = mas_guard.wrap(Agent[Any](name="wrapped", model=model(server.url)), on_outcome=fails)
        assert (await Runner.run(agent, "hello")).final_output == "done"


async def test_a_wrapped_agent_that_is_gone_leaves_nothing_behind() -> None:
    with ModelServer(hands_on_once) as server:
        await Runner.run(circle(server.url), "Settle it.")  # starts the event loop's worker threads
        alice = mas_guard.wrap(circle(server.url), on_outcome=lambda outcome: None)
        result = await Runner.run(alice, "Settle it.")
        gone = [weakref.ref(agent) for agent in (alice, alice.handoffs[0], result)]
        del alice, result
        gc.collect()
        assert [reference() for reference in gone] == [None] * 3


async def test_a_stopped_run_does_not_keep_its_agents() -> None:
    with ModelServer(hand_on_for_ever) as server:
        await run_in("run", circle(server.url), "Settle it.", max_turns=3, error_handlers={"max_turns": ended})
        alice = mas_guard.wrap(circle(server.url), max_hops=2)
        outcome = mas_guard.outcome(await Runner.run(alice, "Settle it."))
        gone = [weakref.ref(agent) for agent in (alice, alice.handoffs[0])]
        del alice
        gc.collect()
        assert [reference() for reference in gone] == [None] * 2
    assert outcome.rule == "hops"


def ended(data: Any) -> Any:
    return RunErrorHandlerResult("ended")


async def test_a_worker_thread_that_a_run_started_does_not_keep_its_agents() -> None:
    with ModelServer(hands_on_once) as server:
        alice = mas_guard.wrap(circle(server.url))
        await Runner.run(alice, "Settle it.")  # the client looks its platform up in a thread, which stays
        gone = [weakref.ref(agent) for agent in (alice, alice.handoffs[0])]
        del alice
        gc.collect()
        assert [reference() for reference in gone] == [None] * 2


async def test_a_worker_thread_that_a_run_started_is_not_in_that_run_for_ever() -> None:
    with ModelServer(lambda request: text("done")) as server:
        client = OpenAI(base_url=server.url, api_key="unused", max_retries=0)

        def ask() -> str:
            reply = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
            return str(reply.choices[0].message.content)

        agent = mas_guard.wrap(Agent[Any](name="asks", model=model(server.url)), budget={"model_calls": 1})
        outcome = mas_guard.outcome(await Runner.run(agent, "hello"))  # starts the event loop's first worker thread
        assert await asyncio.get_running_loop().run_in_executor(None, ask) == "done"
    assert outcome.run.spent().model_calls == 1


async def test_after_uninstrument_the_conversation_goes_on_bare_and_may_be_wrapped_anew() -> None:
    with ModelServer(hands_on_once) as server:
        turns = Turns(circle(server.url))
        await turns.take(0)
        assert mas_guard.uninstrument() == []
        await turns.take(1)
        assert len(turns.outcomes) == 1
        mas_guard.wrap(turns.agent, on_outcome=turns.outcomes.append)
        await turns.take(2)
    assert [outcome.run.owner for outcome in turns.outcomes] == ["alice", "carol"]


async def test_under_instrument_every_turn_is_owned_by_the_agent_that_it_starts_at() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(hands_on_once) as server:
        mas_guard.instrument(on_outcome=outcomes.append)
        agent = circle(server.url)
        for number in range(3):
            agent = (await Runner.run(agent, f"message {number}")).last_agent
    assert [outcome.run.owner for outcome in outcomes] == list(NAMES)


async def test_a_wrapped_agents_policy_stands_above_the_process_s() -> None:
    with ModelServer(hand_on_for_ever) as server:
        mas_guard.instrument(max_hops=5)
        alice = mas_guard.wrap(circle(server.url), max_hops=3)
        assert mas_guard.outcome(await Runner.run(alice, "Settle it.")).hops == 3
        assert mas_guard.outcome(await Runner.run(alice.handoffs[0], "Settle it.")).hops == 3
        assert mas_guard.outcome(await Runner.run(circle(server.url), "Settle it.")).hops == 5
