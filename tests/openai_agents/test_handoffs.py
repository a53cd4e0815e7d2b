"""Handoffs go where they may, with what they take, and are refused with a reason that the model can use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from agents import (
    Agent,
    ModelBehaviorError,
    RunConfig,
    RunHooks,
    Runner,
    RunState,
    SQLiteSession,
    function_tool,
    handoff,
)
from pydantic import AfterValidator, BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.openai_agents.apps import APIS, OWNER_ANSWER, QUESTION, circle, desk, hand_on_for_ever, model, run_in

AWAITED = ("run", "run_streamed")


class Case(BaseModel):
    """What billing wants to be told."""

    order: int
    reason: str


def billing_desk(url: str, api: str = "chat", tools: tuple[Any, ...] = (), **options: Any) -> Agent[Any]:
    """A triage that hands over to billing, whose handoff has *options*, and to refunds."""
    triage = desk(url, api)
    triage.handoffs = [handoff(triage.handoffs[0], **options), triage.handoffs[1]]
    triage.tools = list(tools)
    return triage


def asks_first_for(*calls: tuple[str, Any], said: str = "") -> Callable[[Request], Reply]:
    """The first reply asks for *calls*; whoever has control then answers."""

    def script(request: Request) -> Reply:
        if request.index == 0:
            return Reply(text=said, tool_calls=[ToolCallReply(name, arguments) for name, arguments in calls])
        return text(f"settled by: {request.system}")

    return script


def answers_in(request: Request) -> list[str]:
    """What the tool calls in a request were answered with."""
    return [message["content"] for message in request.messages if message["role"] == "tool"]


def ignore(context: Any, case: Case) -> None:
    """An app's own callback."""


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, Any], str]] = {
    "undeclared": ({}, ("transfer_to_zoe", {}), "zoe does not exist"),
    "disabled": ({"is_enabled": False}, ("transfer_to_billing", {}), "billing is disabled"),
    "disabled now": ({"is_enabled": lambda context, agent: False}, ("transfer_to_billing", {}), "billing is disabled"),
    "disabled, own name": ({"is_enabled": False, "tool_name_override": "ask_billing"}, ("ask_billing", {}), "disabled"),
    "a wrong type": (
        {"input_type": Case, "on_handoff": ignore},
        ("transfer_to_billing", {"order": "seven", "reason": "r"}),
        "order: Input should be a valid integer",
    ),
    "a missing field": (
        {"input_type": Case, "on_handoff": ignore},
        ("transfer_to_billing", {"order": 7}),
        "reason: Field required",
    ),
    "no JSON": ({"input_type": Case, "on_handoff": ignore}, ("transfer_to_billing", "{order"), "Invalid JSON"),
    "no input": ({"input_type": Case, "on_handoff": ignore}, ("transfer_to_billing", ""), "Invalid JSON"),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(("options", "asked", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_handoff_that_cannot_be_is_denied_with_a_reason_and_the_run_goes_on(
    options: dict[str, Any], asked: tuple[str, Any], reason: str, way: str, api: str
) -> None:
    with ModelServer(asks_first_for(asked)) as server:
        app = mas_guard.wrap(billing_desk(server.url, api, **options))
        result = await run_in(way, app, QUESTION)
        (told,) = answers_in(server.requests[1])
        assert server.count == 2
    assert told.startswith("not transferred: ") and reason in told and "You can transfer to: " in told
    assert result.last_agent is app and result.final_output == "settled by: You send people on."
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.hops, outcome.path) == ("completed", 0, ("triage",))


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(("options", "asked", "reason"), REFUSED.values(), ids=REFUSED)
async def test_bare_it_ends_the_run(options: dict[str, Any], asked: tuple[str, Any], reason: str, way: str) -> None:
    with ModelServer(asks_first_for(asked)) as server, pytest.raises(ModelBehaviorError):
        await run_in(way, billing_desk(server.url, **options), QUESTION)


class Witness(RunHooks[Any]):
    """What the run's hooks and the handoff's own callback were told of handoffs."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.told.append((from_agent.name, to_agent.name))

    def callback(self, context: Any, case: Case) -> None:
        self.told.append(case)


@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        ({"order": 7, "reason": "r"}, {}, [Case(order=7, reason="r"), ("triage", "billing")]),
        ({"order": "seven", "reason": "r"}, {}, []),
        ({"order": 7, "reason": "r"}, {"agents": {"triage": {"targets": ["refunds"]}}}, []),
    ],
    ids=["allowed", "invalid", "outside the targets"],
)
async def test_callbacks_and_hooks_hear_of_a_handoff_only_where_it_happens(
    way: str, arguments: dict[str, Any], settings: dict[str, Any], told: list[Any]
) -> None:
    witness = Witness()
    with ModelServer(asks_first_for(("transfer_to_billing", arguments))) as server:
        app = billing_desk(server.url, input_type=Case, on_handoff=witness.callback)
        await run_in(way, mas_guard.wrap(app, **settings), QUESTION, hooks=witness)
    assert witness.told == told


@pytest.mark.parametrize("way", AWAITED)
async def test_a_target_outside_the_users_list_is_denied(way: str) -> None:
    with ModelServer(asks_first_for(("transfer_to_billing", {}))) as server:
        app = mas_guard.wrap(desk(server.url), agents={"triage": {"targets": ["refunds"]}})
        result = await run_in(way, app, QUESTION)
        (told,) = answers_in(server.requests[1])
    assert "billing is not among its allowed targets" in told and "You can transfer to: refunds" in told
    assert result.last_agent is app and mas_guard.outcome(result).hops == 0


async def test_in_observe_mode_nothing_is_denied() -> None:
    settings = {"mode": "observe", "agents": {"triage": {"targets": ["refunds"]}}}
    with ModelServer(asks_first_for(("transfer_to_billing", {}))) as server:
        result = await Runner.run(mas_guard.wrap(desk(server.url), **settings), QUESTION)
        assert result.last_agent.name == "billing"
    with ModelServer(asks_first_for(("transfer_to_zoe", {}))) as server, pytest.raises(ModelBehaviorError):
        await Runner.run(mas_guard.wrap(desk(server.url), mode="observe"), QUESTION)


@pytest.mark.parametrize("name", ["transfer_to_zoe", "transfer_to_billing"])
async def test_the_apps_own_handling_of_missing_tools_stays(name: str) -> None:
    seen = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(asks_first_for((name, {}))) as server:
            config = RunConfig(tool_not_found_behavior="return_error_to_model")
            app = wrap(billing_desk(server.url, is_enabled=False))
            result = await Runner.run(app, QUESTION, run_config=config)
            seen.append((result.final_output, [request.raw for request in server.requests]))
    assert seen[0] == seen[1] and name.encode() in seen[0][1][1]


# -- the same again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
async def test_the_same_handoff_with_the_same_content_is_redirected_then_blocked_then_stopped(
    way: str, api: str
) -> None:
    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none":
            return text(OWNER_ANSWER)
        if request.system.startswith("You settle"):
            return call("transfer_to_triage")
        return call("transfer_to_billing", order=7, reason="as before")

    witness = Witness()
    with ModelServer(script) as server:
        app = billing_desk(server.url, api, input_type=Case, on_handoff=witness.callback)
        app.handoffs[0]._agent_ref().handoffs = [app]
        result = await run_in(way, mas_guard.wrap(app), QUESTION, max_turns=200)
        told = answers_in(server.requests[-1])
        assert server.count == 9  # two there and back, four that were refused, the owner's answer
    assert len(witness.told) == 2
    assert "Do not repeat it" in told[4]
    assert told[5].startswith("blocked") and told[6].startswith("blocked") and len(told) == 8
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule, outcome.hops) == ("partial", "repetition", 4)
    assert result.final_output == OWNER_ANSWER


async def test_handoffs_with_other_content_are_no_repeats() -> None:
    def script(request: Request) -> Reply:
        if request.system.startswith("You settle"):
            return call("transfer_to_triage")
        done = request.index >= 10
        return text("settled") if done else call("transfer_to_billing", order=request.index, reason="as before")

    with ModelServer(script) as server:
        app = billing_desk(server.url, input_type=Case, on_handoff=ignore)
        app.handoffs[0]._agent_ref().handoffs = [app]
        result = await Runner.run(mas_guard.wrap(app), QUESTION, max_turns=200)
    assert result.final_output == "settled" and mas_guard.outcome(result).hops == 10


# -- beside other calls ---------------------------------------------------------------------------------


@function_tool
def look_up(page: int) -> str:
    """Look a page up."""
    return f"page {page}"


@function_tool(needs_approval=True)
def pay(amount: int) -> str:
    """Pay money back."""
    return f"paid {amount}"


IGNORED = "not executed: one handoff at a time"
SEVERAL: dict[str, tuple[tuple[str, ...], list[str], str]] = {
    "undeclared, then allowed": (("transfer_to_zoe", "transfer_to_billing"), ["zoe does not", IGNORED], "triage"),
    "allowed, then undeclared": (("transfer_to_billing", "transfer_to_zoe"), ["ignoring", "billing"], "billing"),
    "two allowed": (("transfer_to_refunds", "transfer_to_billing"), ["ignoring", "refunds"], "refunds"),
    "a tool beside": (("look_up", "transfer_to_billing"), ["page 7", "billing"], "billing"),
    "a tool beside a denied one": (("transfer_to_zoe", "look_up"), ["page 7", "zoe does not"], "triage"),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(("names", "told", "agent"), SEVERAL.values(), ids=SEVERAL)
async def test_every_call_of_a_reply_is_answered_whatever_becomes_of_its_handoff(
    names: tuple[str, ...], told: list[str], agent: str, way: str, api: str
) -> None:
    session = SQLiteSession("1")
    asked = [(name, {"page": 7} if name == "look_up" else {}) for name in names]
    with ModelServer(asks_first_for(*asked)) as server:
        app = mas_guard.wrap(billing_desk(server.url, api, tools=(look_up,)))
        result = await run_in(way, app, QUESTION, session=session)
        answers = answers_in(server.requests[1])
        await run_in(way, result.last_agent, "And now?", session=session)
        assert server.count == 3
    assert result.last_agent.name == agent
    assert all(part in answer for part, answer in zip(told, answers, strict=True))


async def test_after_a_limit_in_the_same_reply_control_does_not_pass_on() -> None:
    asked = [("look_up", {"page": 1}), ("look_up", {"page": 2}), ("transfer_to_billing", {})]
    with ModelServer(asks_first_for(*asked)) as server:
        app = billing_desk(server.url, tools=(look_up,))
        result = await Runner.run(mas_guard.wrap(app, budget={"tool_calls": 1}), QUESTION)
        assert answers_in(server.requests[1]) == ["page 1", *["not executed: limit reached"] * 2]
    assert result.last_agent is app and mas_guard.outcome(result).rule == "budget"


@pytest.mark.parametrize("in_another_process", [False, True], ids=["same state", "state as JSON"])
@pytest.mark.parametrize("name", ["transfer_to_zoe", "transfer_to_billing"])
async def test_a_denied_handoff_beside_a_tool_that_waits_for_approval_is_answered_when_resumed(
    name: str, in_another_process: bool
) -> None:
    with ModelServer(asks_first_for(("pay", {"amount": 7}), (name, {}))) as server:
        app = billing_desk(server.url, tools=(pay,), is_enabled=False)
        state = (await Runner.run(mas_guard.wrap(app), QUESTION)).to_state()
        if in_another_process:
            state = await RunState.from_json(app, json.loads(json.dumps(state.to_json())))
        state.approve(state.get_interruptions()[0])
        result = await Runner.run(app, state)
        paid, denied = answers_in(server.requests[1])
    assert paid == "paid 7" and denied.startswith("not transferred: ")
    assert result.final_output == "settled by: You send people on."


async def test_handoffs_of_an_agent_that_is_used_as_a_tool_count_for_the_same_run() -> None:
    def script(request: Request) -> Reply:
        if "You lead." not in request.system:
            return hand_on_for_ever(request)
        return text(OWNER_ANSWER) if request.body.get("tool_choice") == "none" else call("team", input="settle it")

    with ModelServer(script) as server:
        team = circle(server.url).as_tool("team", "The team.", max_turns=200)
        lead = Agent[Any](name="lead", instructions="You lead.", model=model(server.url), tools=[team])
        result = await Runner.run(mas_guard.wrap(lead), QUESTION)
        assert server.count == 1 + 13 + 1
    assert result.final_output == OWNER_ANSWER and mas_guard.outcome(result).hops == 12


# -- the record -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", [False, True], ids=["sizes and hashes", "content"])
async def test_every_handoff_is_recorded_and_its_content_only_where_that_is_wanted(
    capture: bool, tmp_path: Path
) -> None:
    secret, events = "order-4711-of-Jane", tmp_path / "events.jsonl"

    def script(request: Request) -> Reply:
        if request.system.startswith("You settle"):
            return text("settled")
        names = ("transfer_to_zoe", "transfer_to_billing")
        return Reply(text="Jane waits.", tool_calls=[ToolCallReply(names[request.index], {"case": secret})])

    with ModelServer(script) as server:
        app = mas_guard.wrap(desk(server.url), events=str(events), capture_content=capture)
        await Runner.run(app, QUESTION)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    denied, allowed = (line for line in lines if line["event"] == "handoff")
    assert (denied["agent"], denied["target"], denied["verdict"], denied["rule"], denied["action"]) == (
        "triage", "zoe", "deny", "handoff", "block",
    )  # fmt: skip
    assert "zoe" in denied["reason"] and denied["hops"] == 0
    assert (allowed["agent"], allowed["target"], allowed["verdict"], allowed["hops"]) == (
        "triage", "billing", "allow", 1,
    )  # fmt: skip
    content = f'Jane waits.\n{{"case": "{secret}"}}'
    sha256 = hashlib.sha256(content.encode()).hexdigest()[:16]
    assert denied["carried"] == allowed["carried"] == {"bytes": len(content), "sha256": sha256}
    assert allowed.get("content") == (content if capture else None)
    assert (secret in events.read_text()) is capture and QUESTION not in events.read_text()


def known_to_nobody(name: str) -> str:
    raise ValueError(f"nobody knows {name}")


class Customer(BaseModel):
    """With a validator that repeats what it was given."""

    name: Annotated[str, AfterValidator(known_to_nobody)]


async def test_what_the_apps_own_validator_says_is_told_to_the_model_and_not_recorded(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(asks_first_for(("transfer_to_billing", {"name": "Jane"}))) as server:
        app = billing_desk(server.url, input_type=Customer, on_handoff=ignore)
        await Runner.run(mas_guard.wrap(app, events=str(events)), QUESTION)
        assert "nobody knows Jane" in answers_in(server.requests[1])[0]
    assert "Jane" not in events.read_text()


# -- it stays out of the way ----------------------------------------------------------------------------


def supervisor(url: str, api: str) -> Agent[Any]:
    """An agent that uses three others as tools."""
    chat = model(url, api)
    workers = [Agent[Any](name=name, instructions=f"You are {name}.", model=chat) for name in ("ann", "ben", "cyd")]
    tools = [worker.as_tool(worker.name, f"Ask {worker.name}.") for worker in workers]
    return Agent[Any](name="supervisor", instructions="You ask all three.", model=chat, tools=tools)


def asks_all_three(request: Request) -> Reply:
    asked = answers_in(request)
    if len(asked) < len(request.tool_names):
        return call(request.tool_names[len(asked)], input="your part")
    return text(f"done after {', '.join(asked)}" if asked else request.system)


UNTOUCHED: dict[str, tuple[Any, Any]] = {
    "three agents as tools": (supervisor, asks_all_three),
    "one handoff": (desk, asks_first_for(("transfer_to_billing", {}), said="One moment.")),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", AWAITED)
@pytest.mark.parametrize(("app", "script"), UNTOUCHED.values(), ids=UNTOUCHED)
async def test_ordinary_teamwork_is_the_same_as_bare(app: Any, script: Any, way: str, api: str) -> None:
    seen = []
    for wrap in (lambda one: one, mas_guard.wrap):
        with ModelServer(script) as server:
            agent, told = wrap(app(server.url, api)), []
            if way == "run_streamed":
                result: Any = Runner.run_streamed(agent, QUESTION)
                async for event in result.stream_events():
                    told.append((event.type, getattr(event, "name", ""), getattr(event, "data", event).type))
            else:
                result = await Runner.run(agent, QUESTION)
            sent: list[Any] = [request.raw for request in server.requests]
            if (way, api) == ("run_streamed", "chat"):  # the guard asks a stream for its usage
                sent = [{**request.body, "stream_options": None} for request in server.requests]
            items = [(type(item).__name__, item.agent.name) for item in result.new_items]
            seen.append((sent, result.final_output, result.last_agent.name, items, told))
    assert seen[0] == seen[1]
    assert mas_guard.outcome(result).status == "completed"
