"""Whoever tries again, the SDK or the client below it: every attempt is counted, and what was used is charged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    ModelBehaviorError,
    ModelRetryBackoffSettings,
    ModelRetrySettings,
    ModelSettings,
    Runner,
    retry_policies,
)

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, fault, text
from tests.openai_agents.apps import APIS, OWNER_ANSWER, circle, hand_on_for_ever, model, run_in

WAYS = ("run", "run_streamed")
AT_ONCE = {"retry-after-ms": "1"}  # the client waits half a second where the provider does not say how long
FAULTS = {
    "500": fault(500, "no luck", headers=AT_ONCE),
    "429": fault(429, "slow down", headers=AT_ONCE),
    "dropped": Reply(drop_connection=True),
}
NOTHING_TO_RETRY = "the same stop would come again"


def retrying(times: int, policy: Any = None) -> ModelSettings:
    """The SDK's own retries, of everything unless *policy* says otherwise."""
    return ModelSettings(
        retry=ModelRetrySettings(
            max_retries=times,
            backoff=ModelRetryBackoffSettings(initial_delay=0, max_delay=0, jitter=False),
            policy=policy or (lambda context: True),
        )
    )


def fails_first(times: int, how: str) -> Any:
    return lambda request: FAULTS[how] if request.index < times else text("done", input_tokens=100, output_tokens=5)


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("api", APIS)
async def test_the_sdks_own_retries_are_counted(api: str, way: str, how: str) -> None:
    with ModelServer(fails_first(3, how)) as server:
        agent = Agent[Any](name="asks", model=model(server.url, api), model_settings=retrying(5))
        result = await run_in(way, mas_guard.wrap(agent), "hello")
        assert (result.final_output, server.count) == ("done", 4)
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.spent.model_calls) == ("completed", 4)
    if how != "dropped":  # what was refused with an error is not billed
        assert outcome.spent.tokens == 105


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("api", APIS)
async def test_the_sdks_own_retries_end_with_the_budget(api: str, way: str, how: str) -> None:
    with ModelServer(fails_first(99, how)) as server:
        agent = Agent[Any](name="asks", model=model(server.url, api), model_settings=retrying(50))
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            await run_in(way, mas_guard.wrap(agent, budget={"model_calls": 4}), "hello")
        assert server.count == 4
    assert caught.value.outcome.spent.model_calls == 4
    assert not any(caught.value.run.ledger.read(caught.value.run.account).held)


@pytest.mark.parametrize("how", ["500", "429"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("api", APIS)
async def test_the_clients_retries_are_counted_and_end_with_the_budget(api: str, way: str, how: str) -> None:
    with ModelServer(fails_first(2, how)) as server:
        agent = mas_guard.wrap(Agent[Any](name="asks", model=model(server.url, api, max_retries=2)))
        outcome = mas_guard.outcome(await run_in(way, agent, "hello"))
        assert server.count == outcome.spent.model_calls == 3
        assert outcome.spent.tokens == 105
    with ModelServer(fails_first(99, how)) as server:
        agent = mas_guard.wrap(
            Agent[Any](name="asks", model=model(server.url, api, max_retries=9)), budget={"model_calls": 4}
        )
        with pytest.raises(mas_guard.BudgetExceeded):
            await run_in(way, agent, "hello")
        assert server.count == 4


async def test_a_dropped_connection_is_tried_again_by_the_client_and_charged_in_full() -> None:
    with ModelServer([FAULTS["dropped"], text("done", input_tokens=100, output_tokens=5)]) as server:
        agent = mas_guard.wrap(Agent[Any](name="asks", model=model(server.url, max_retries=2)))
        outcome = mas_guard.outcome(await Runner.run(agent, "hello"))
        assert server.count == outcome.spent.model_calls == 2
    assert outcome.spent.tokens > 1024  # what the lost attempt held
    assert any("never answered" in note for note in outcome.notes)


@pytest.mark.parametrize("way", WAYS)
async def test_the_sdks_and_the_clients_retries_together_stay_within_the_budget(way: str) -> None:
    for budget in range(1, 8):
        with ModelServer(fails_first(99, "500")) as server:
            agent = Agent[Any](name="asks", model=model(server.url, max_retries=2), model_settings=retrying(3))
            with pytest.raises(Exception) as caught:  # the provider's error where the retries end first
                await run_in(way, mas_guard.wrap(agent, budget={"model_calls": budget}), "hello")
            outcome = mas_guard.last_outcome() if way == "run_streamed" else None
            assert server.count <= budget
            if isinstance(caught.value, mas_guard.GuardStopped):
                assert server.count == caught.value.outcome.spent.model_calls == budget
            elif outcome is not None:
                assert server.count == outcome.spent.model_calls


@pytest.mark.parametrize("way", WAYS)
async def test_retries_in_a_loop_of_handoffs_stay_within_the_budget_and_leave_the_owner_its_call(way: str) -> None:
    def every_second_fails(request: Request) -> Reply:
        if request.body.get("tool_choice") != "none" and request.index % 2:
            return FAULTS["500"]
        return hand_on_for_ever(request)

    with ModelServer(every_second_fails) as server:
        alice = circle(server.url)
        for agent in (alice, alice.handoffs[0], alice.handoffs[0].handoffs[0]):
            agent.model_settings = retrying(3)
        result = await run_in(way, mas_guard.wrap(alice, budget={"model_calls": 8}), "Settle it.")
        assert (result.final_output, server.count) == (OWNER_ANSWER, 8)
    assert mas_guard.outcome(result).spent.model_calls == 8


# -- a stop is not tried again -------------------------------------------------------------------------------------


def policies() -> Iterator[Any]:
    yield pytest.param(lambda context: True, id="everything")
    yield pytest.param(
        retry_policies.any(retry_policies.network_error(), lambda context: True), id="network or everything"
    )
    with contextlib.suppress(TypeError):  # not in every version
        from agents.retry import RetryDecision

        decision = RetryDecision(retry=True, approve_unsafe_replay=True)
        yield pytest.param(lambda context: decision, id="unsafe replays as well")


@pytest.mark.parametrize("policy", policies())
@pytest.mark.parametrize("way", WAYS)
async def test_a_stop_is_not_tried_again(way: str, policy: Any) -> None:
    asked: list[Any] = []

    def asking(context: Any) -> Any:
        asked.append(context.error)
        return policy(context)

    with ModelServer([call("transfer_to_bob")], repeat_last=True) as server:
        alice = circle(server.url)
        for agent in (alice, alice.handoffs[0]):
            agent.model_settings = retrying(5, asking)
        with pytest.raises(mas_guard.BudgetExceeded):
            await run_in(way, mas_guard.wrap(alice, budget={"model_calls": 1}, on_limit="abort"), "hello")
        assert server.count == 1
    assert not asked, NOTHING_TO_RETRY


@pytest.mark.parametrize("way", WAYS)
async def test_a_concluding_call_that_fails_is_not_tried_again(way: str) -> None:
    def script(request: Request) -> Reply:
        return FAULTS["500"] if request.body.get("tool_choice") == "none" else hand_on_for_ever(request)

    with ModelServer(script) as server:
        alice = circle(server.url)
        alice.model_settings = retrying(5)
        with pytest.raises(mas_guard.HopLimitExceeded) as caught:
            await run_in(way, mas_guard.wrap(alice, max_hops=2), "Settle it.")
        assert server.count == 4  # three calls, two hops, and the one that failed
    assert caught.value.outcome.status == "aborted"


# -- what is charged -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_truncated_responses_reply_is_charged_with_what_it_used(way: str) -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer([text("word " * 300, input_tokens=70, output_tokens=300)]) as server:
        agent = Agent[Any](
            name="asks", model=model(server.url, "responses"), model_settings=ModelSettings(max_tokens=50)
        )
        with contextlib.suppress(ModelBehaviorError):  # the SDK makes an error of it, but the oldest only of streams
            await run_in(way, mas_guard.wrap(agent, on_outcome=outcomes.append), "hello")
        assert server.requests[0].body["max_output_tokens"] == 50
    assert outcomes[0].spent.tokens == 70 + 50
    assert outcomes[0].rule in ("", "envelope")  # where the SDK hands the cut reply on, the outcome says so
    assert not any("estimated" in note for note in outcomes[0].notes)


async def events_of(result: Any) -> list[Any]:
    """A stream as the app sees it: every raw event, but for the ids that are made anew each time."""
    seen = []
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            data = event.data.model_dump() if hasattr(event.data, "model_dump") else dict(event.data)
            for part in (data, data.get("response") or {}):
                part.pop("created_at", None)
            seen.append(data)
    return seen


async def test_a_chat_stream_whose_usage_nobody_asked_for_is_charged_with_what_it_used_and_the_app_sees_none() -> None:
    seen = []
    for guarded in (False, True):
        with ModelServer([text("a longer answer", input_tokens=700, output_tokens=30)]) as server:
            agent = Agent[Any](name="asks", model=model(server.url))
            result = Runner.run_streamed(mas_guard.wrap(agent) if guarded else agent, "hello")
            seen.append(await events_of(result))
            seen.append([(reply.usage.input_tokens, reply.usage.output_tokens) for reply in result.raw_responses])
            seen.append(result.context_wrapper.usage.total_tokens)
            asked_for = server.requests[0].body.get("stream_options")
            assert asked_for == ({"include_usage": True} if guarded else None)
    assert seen[:3] == seen[3:]
    outcome = mas_guard.outcome(result)
    assert (outcome.spent.tokens, outcome.spent.model_calls) == (730, 1)
    assert outcome.notes == ()


async def test_a_chat_stream_whose_usage_the_app_asks_for_is_the_apps() -> None:
    with ModelServer([text("done", input_tokens=700, output_tokens=30)]) as server:
        agent = Agent[Any](name="asks", model=model(server.url), model_settings=ModelSettings(include_usage=True))
        result = await run_in("run_streamed", mas_guard.wrap(agent), "hello")
    assert result.context_wrapper.usage.total_tokens == 730
    assert mas_guard.outcome(result).spent.tokens == 730


async def test_an_endpoint_that_refuses_to_be_asked_for_usage_is_asked_without_and_remembered() -> None:
    def script(request: Request) -> Reply:
        return text("done") if request.messages[-1]["role"] == "tool" else call(request.tool_names[0])

    with ModelServer(script, refuse_stream_options=True) as server:
        result = await run_in("run_streamed", mas_guard.wrap(circle(server.url)), "hello")
        assert result.final_output == "done"
        asked = ["stream_options" in request.body for request in server.requests]
    assert asked == [True, False, False]
    outcome = mas_guard.outcome(result)
    assert outcome.status == "completed"
    assert outcome.spent.tokens > 0
    assert any("estimated" in note for note in outcome.notes)


async def test_the_request_that_asked_in_vain_for_usage_is_an_attempt_within_the_budget() -> None:
    with ModelServer([text("done")], repeat_last=True, refuse_stream_options=True) as server:
        agent = mas_guard.wrap(Agent[Any](name="asks", model=model(server.url)), budget={"model_calls": 1})
        with contextlib.suppress(mas_guard.BudgetExceeded):
            await run_in("run_streamed", agent, "hello")
        assert server.count <= 1
