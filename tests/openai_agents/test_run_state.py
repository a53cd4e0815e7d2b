"""A run that waits for an approval goes on where it was, in whatever process: its spend, its hops, and its stop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Runner
from agents.run_state import SUPPORTED_SCHEMA_VERSIONS

import mas_guard
from mas_guard._engine import Engine
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.clock import Clock
from tests.openai_agents.apps import OWNER_ANSWER, QUESTION, run_in
from tests.openai_agents.resumed_app import load, manager, refunds

ROOT = Path(__file__).parents[2]


def asked_for(request: Request) -> list[str]:
    return [asked["name"] for message in request.messages for asked in message.get("tool_calls", ())]


def pays_once(request: Request) -> Reply:
    """The desk hands over, the cashier asks for a refund, then for an answer."""
    if "refund" not in request.tool_names:
        return call(request.tool_names[0])
    return text("All is settled.") if "refund" in asked_for(request) else call("refund", order="7")


def pays_and_hands_on_for_ever(request: Request) -> Reply:
    if request.body.get("tool_choice") == "none":
        return text(OWNER_ANSWER)
    if "refund" in request.tool_names and "refund" not in asked_for(request):
        return call("refund", order="7")
    return call(next(name for name in request.tool_names if name.startswith("transfer_to_")))


async def until_it_waits(agent: Any, way: str = "run") -> str:
    """The state of a run that waits for an approval, written down."""
    result = await run_in(way, agent, QUESTION, max_turns=100)
    assert [asked.name for asked in result.interruptions] == ["refund"]
    return str(result.to_state().to_string())


def in_a_process_of_its_own(server: ModelServer, path: Path, *actions: str, **settings: str) -> list[dict[str, Any]]:
    found = subprocess.run(
        [sys.executable, "-m", "tests.openai_agents.resumed_app", server.url, str(path), *actions],
        cwd=ROOT,
        env={**os.environ, **{f"MAS_GUARD_{name}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


async def test_another_process_approves_and_goes_on_with_hops_and_spend(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with ModelServer(pays_once) as server:
        path.write_text(await until_it_waits(mas_guard.wrap(refunds(server.url))))
        first = mas_guard.last_outcome()
        assert first is not None
        assert (first.status, first.rule, first.hops, first.spent.model_calls) == ("partial", "interrupt", 1, 2)
        approved, rejected = in_a_process_of_its_own(server, path, "approve", "reject+streamed")
        answers = [message["content"] for message in server.requests[2].messages if message["role"] == "tool"]
        assert server.count == 4
    assert answers[-1] == "order 7 is refunded"
    assert (approved["answer"], approved["status"], approved["run"]) == ("All is settled.", "completed", first.run_id)
    assert (approved["hops"], approved["calls"]) == (1, 3)
    assert approved["tokens"] > first.spent.tokens
    assert (rejected["status"], rejected["run"], rejected["hops"]) == ("completed", first.run_id, 1)


async def test_in_another_process_a_stopped_run_raises_the_same_stop_until_it_is_topped_up(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    settings = {"MAX_HOPS": "3", "ON_LIMIT": "abort"}
    with ModelServer(pays_and_hands_on_for_ever) as server:
        path.write_text(await until_it_waits(mas_guard.wrap(refunds(server.url), max_hops=3, on_limit="abort")))
        first = mas_guard.last_outcome()
        assert first is not None
        (stopped,) = in_a_process_of_its_own(server, path, "approve+streamed", **settings)
        sent = server.count
        again, more = in_a_process_of_its_own(server, path, "resume", "resume+top_up", **settings)
        assert server.count - sent == 3  # two more hops, and the one that was refused
    assert (stopped["raised"], stopped["hops"], stopped["run"]) == ("HopLimitExceeded", 3, first.run_id)
    assert (again["raised"], again["message"]) == (stopped["raised"], stopped["message"])
    assert (again["calls"], again["run"]) == (stopped["calls"], first.run_id)
    assert (more["hops"], more["calls"], more["run"]) == (5, stopped["calls"] + 3, first.run_id)


# -- in one process, with a guard of its own for each that there would be -----------------------------------------


class Process:
    """What another process has: an empty ledger, and a clock of its own."""

    def __init__(self, url: str, build: Callable[..., Agent[Any]] = refunds, **settings: Any) -> None:
        self.clock = Clock()
        self.outcomes: list[mas_guard.Outcome] = []
        self.guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=self.clock))
        self.agent = self.guard.wrap(build(url), on_outcome=self.outcomes.append, **settings)

    @property
    def outcome(self) -> mas_guard.Outcome:
        return self.outcomes[-1]

    async def go_on(self, written: str, way: str = "run") -> Any:
        return await run_in(way, self.agent, await load(self.agent, written, decide="approve"))


@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_the_deadlines_clock_stands_still_while_the_run_waits(way: str) -> None:
    clock = Clock()

    def takes_ten_seconds(request: Request) -> Reply:
        clock.advance(10)
        return pays_once(request)

    with ModelServer(takes_ten_seconds) as server:
        first = Process(server.url, deadline=35, on_limit="abort")
        first.clock = clock
        first.guard.engine.now = clock
        waits = await run_in(way, first.agent, QUESTION)
        clock.advance(1000)
        written = waits.to_state().to_string()
        assert (await first.go_on(written, way)).final_output == "All is settled."
        assert first.outcome.status == "completed"
        assert json.loads(written)["mas_guard"]["elapsed"] == 20
        clock.advance(1000)
        with pytest.raises(mas_guard.DeadlineExceeded, match="20.0 s of active time; its deadline is 20 s"):
            later = Process(server.url, deadline=20, on_limit="abort")
            later.guard.engine.now = clock
            await later.go_on(written, way)
        assert later.outcome.run_id == first.outcome.run_id


@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_a_budget_spans_the_wait(way: str) -> None:
    with ModelServer(pays_once) as server:
        written = await until_it_waits(Process(server.url, budget={"model_calls": 2}, on_limit="abort").agent, way)
        again = Process(server.url, budget={"model_calls": 2}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded, match="2 spent"):
            await again.go_on(written, way)
        assert server.count == 2
        more = Process(server.url, budget={"model_calls": 3}, on_limit="abort")
        assert (await more.go_on(written, way)).final_output == "All is settled."
    assert more.outcome.spent.model_calls == 3


@pytest.mark.parametrize("rule", ["hops", "budget"])
@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_a_state_whose_run_was_stopped_sends_nothing_until_it_is_topped_up(rule: str, way: str) -> None:
    with ModelServer(pays_and_hands_on_for_ever) as server:
        limits = {"max_hops": 3} if rule == "hops" else {"budget": {"model_calls": 4}}
        process = Process(server.url, on_limit="abort", **limits)
        state = await load(process.agent, await until_it_waits(process.agent), decide="approve")
        messages, sent = [], []
        for _ in range(3):
            with pytest.raises(mas_guard.GuardStopped) as caught:
                await run_in(way, process.agent, state, max_turns=100)
            messages.append(str(caught.value))
            sent.append(server.count)
        assert len(set(messages)) == 1
        assert sent == sent[:1] * 3
        caught.value.run.top_up(hops=2, model_calls=2)
        with pytest.raises(mas_guard.GuardStopped):
            await run_in(way, process.agent, state, max_turns=100)
        assert server.count > sent[0]
    assert process.outcome.run_id == process.outcomes[0].run_id


async def test_what_is_written_after_a_stop_carries_the_stop() -> None:
    with ModelServer(pays_and_hands_on_for_ever) as server:
        process = Process(server.url, on_limit="abort", max_hops=3)
        state = await load(process.agent, await until_it_waits(process.agent), decide="approve")
        with pytest.raises(mas_guard.HopLimitExceeded):
            await run_in("run", process.agent, state, max_turns=100)
    written = state.to_json()["mas_guard"]
    assert written["hops"] == 3
    assert written["stop"]["rule"] == "hops"


async def test_a_streamed_resume_of_a_stopped_run_raises_its_stop() -> None:
    with ModelServer(pays_and_hands_on_for_ever) as server:
        process = Process(server.url, on_limit="abort", max_hops=3)
        state = await load(process.agent, await until_it_waits(process.agent), decide="approve")
        stopped = Runner.run_streamed(process.agent, state, max_turns=100)
        with pytest.raises(mas_guard.HopLimitExceeded) as first:
            [event async for event in stopped.stream_events()]
        sent = server.count
        later = Process(server.url, on_limit="abort", max_hops=3)
        again = await load(later.agent, stopped.to_state().to_string())
        ending = asyncio.create_task(run_in("run_streamed", later.agent, again))
        await asyncio.wait([ending], timeout=5)  # a stream that nothing is put into never ends
        assert ending.done()
        assert server.count == sent
    assert str(ending.exception()) == str(first.value)


async def test_with_new_run_an_approved_run_has_new_limits() -> None:
    with ModelServer(pays_once) as server:
        process = Process(server.url, budget={"model_calls": 2}, on_limit="abort", resume="new_run")
        await process.go_on(await until_it_waits(process.agent))
    first, second = process.outcomes
    assert first.run_id != second.run_id
    assert (second.status, second.spent.model_calls, second.hops) == ("completed", 1, 0)


async def test_a_new_message_after_a_wait_is_a_new_run() -> None:
    with ModelServer(pays_once) as server:
        process = Process(server.url)
        await until_it_waits(process.agent)
        await until_it_waits(process.agent)
    assert len({outcome.run_id for outcome in process.outcomes}) == 2
    assert [outcome.spent.model_calls for outcome in process.outcomes] == [2, 2]


# -- what is written ----------------------------------------------------------------------------------------------


def script_with_ids(script: Callable[[Request], Reply], name: str) -> Callable[[Request], Reply]:
    """Call ids that no other run of this process has: the SDK keeps what it knows of nested runs by them."""

    def scripted(request: Request) -> Reply:
        reply = script(request)
        return Reply(
            reply.text,
            tuple(ToolCallReply(asked.name, asked.arguments, f"{name}_{request.index}") for asked in reply.tool_calls),
        )

    return scripted


def asks_the_cashier(request: Request) -> Reply:
    if "ask_cashier" in request.tool_names:
        return text("All done.") if asked_for(request) else call("ask_cashier", input="pay, please")
    return pays_once(request)


@pytest.mark.parametrize("way", ["run", "run_streamed"])
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(("build", "script"), [(refunds, pays_once), (manager, asks_the_cashier)])
async def test_a_guarded_runs_state_is_the_bare_ones_and_one_key(build: Any, script: Any, api: str, way: str) -> None:
    written = []
    for guarded in (False, True):
        name = f"{'guarded' if guarded else 'unguard'}_{build.__name__}_{api}_{way}"
        with ModelServer(script_with_ids(script, name)) as server:
            agent = build(server.url, api)
            if guarded:
                mas_guard.wrap(agent)
            waits = await until_it_waits(agent, way)
            result = await run_in(way, agent, await load(agent, waits, decide="approve"))
            assert server.count == (3 if build is refunds else 4)
        states = [waits, result.to_state().to_string()]
        written.append([json.loads(state.replace(name, "id")) for state in states])
    bare, guarded_ones = written
    for state, theirs in zip(guarded_ones, bare, strict=True):
        assert state.pop("mas_guard")["v"] == 1
        assert state == theirs


async def test_the_state_is_plain_json() -> None:
    with ModelServer(pays_once) as server:
        agent = mas_guard.wrap(refunds(server.url), max_hops=5)
        result = await Runner.run(agent, QUESTION, max_turns=7)
        state = result.to_state().to_json()
    assert json.loads(json.dumps(state)) == state
    assert type(state["max_turns"]) is int
    assert all(type(value) in (dict, list, str, int, float, bool, type(None)) for value in state["mas_guard"].values())


@pytest.mark.parametrize("way", ["run", "run_streamed"])
async def test_an_approval_within_an_agent_used_as_a_tool_goes_on_with_the_run(way: str) -> None:
    with ModelServer(script_with_ids(asks_the_cashier, f"nested_{way}")) as server:
        first = Process(server.url, manager)
        written = await until_it_waits(first.agent, way)
        second = Process(server.url, manager)
        assert (await second.go_on(written, way)).final_output == "All done."
        assert server.count == second.outcome.spent.model_calls == 4
    assert (first.outcome.status, first.outcome.rule) == ("partial", "interrupt")
    assert (second.outcome.status, second.outcome.run_id) == ("completed", first.outcome.run_id)


async def test_an_approval_within_an_agent_used_as_a_tool_is_stopped_by_the_runs_budget() -> None:
    with ModelServer(script_with_ids(asks_the_cashier, "nested_stop")) as server:
        first = Process(server.url, manager, budget={"model_calls": 2}, on_limit="abort")
        written = await until_it_waits(first.agent)
        second = Process(server.url, manager, budget={"model_calls": 2}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded):
            await second.go_on(written)
        assert server.count == 2
    assert second.outcome.status == "aborted"


@pytest.mark.parametrize("version", sorted(SUPPORTED_SCHEMA_VERSIONS, key=lambda version: int(version.split(".")[1])))
async def test_states_of_every_schema_version_that_the_sdk_reads_go_on(version: str) -> None:
    with ModelServer(pays_once) as server:
        first = Process(server.url)
        state = json.loads(await until_it_waits(first.agent))
        state["$schemaVersion"] = version
        second = Process(server.url)
        assert (await second.go_on(json.dumps(state))).final_output == "All is settled."
    assert (second.outcome.run_id, second.outcome.spent.model_calls) == (first.outcome.run_id, 3)


async def test_a_state_that_was_written_without_mas_guard_starts_a_run() -> None:
    with ModelServer(pays_once) as server:
        written = await until_it_waits(refunds(server.url))
        assert "mas_guard" not in json.loads(written)
        process = Process(server.url)
        assert (await process.go_on(written)).final_output == "All is settled."
    assert (process.outcome.status, process.outcome.spent.model_calls, process.outcome.hops) == ("completed", 1, 0)


async def test_an_unguarded_process_reads_a_guarded_ones_state() -> None:
    with ModelServer(pays_once) as server:
        process = Process(server.url)
        written = await until_it_waits(process.agent)
        process.guard.uninstrument()
        agent = refunds(server.url)
        result = await Runner.run(agent, await load(agent, written, decide="approve"))
        assert result.final_output == "All is settled."
        assert "mas_guard" not in result.to_state().to_json()
    assert len(process.outcomes) == 1


@pytest.mark.parametrize(
    "damage",
    [{"v": 2}, {"v": 1, "id": ""}, [], None, {"v": 1, "id": 7}, {"v": 1, "id": "7", "mode": "enforce", "spent": "?"}],
)
async def test_a_key_that_is_not_ours_is_no_reason_to_fail_or_to_go_on_unguarded(damage: Any) -> None:
    with ModelServer(pays_once) as server:
        process = Process(server.url)
        state = json.loads(await until_it_waits(process.agent))
        state["mas_guard"] = damage
        assert (await process.go_on(json.dumps(state))).final_output == "All is settled."
    assert [outcome.status for outcome in process.outcomes] == ["partial", "completed"]
    assert process.outcome.spent.model_calls >= 1
