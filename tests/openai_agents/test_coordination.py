"""Re-plan instead of retry, loops that end, and what a handoff must carry."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from agents import Agent, Runner, handoff
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from mas_guard.testing.replies import ToolCallReply
from tests.openai_agents.apps import desk, model
from tests.reworded import improving, rewording

REPORT = "Here is the report on the harbour."
CONCLUSION = "The specialists agree; nothing new is to be expected."


def is_worker(request: Request) -> bool:
    return "You are a specialist." in str(request.messages[0]["content"])


def manager(url: str, *workers: str) -> Agent[Any]:
    """A manager that uses other agents as tools."""
    chat = model(url)
    tools = [
        Agent[Any](name=name, instructions="You are a specialist.", model=chat).as_tool(f"ask_{name}", "Ask it.")
        for name in workers
    ]
    return Agent[Any](name="manager", instructions="You manage.", model=chat, tools=tools)


# -- re-plan ------------------------------------------------------------------------------------------


def stubborn(request: Request) -> Reply:
    """A manager that asks for plan A five times, unless it is told to change the plan; a worker that refuses plan A."""
    if is_worker(request):
        return text("The harbour opens on Monday.") if "plan B" in request.last_text else Reply(refusal="I cannot.")
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if (results and "opens on Monday" in results[-1]) or len(results) >= 5:
        return text(REPORT)
    changed = bool(results) and "not delegated again" in results[-1]
    return call("ask_research", input="plan B" if changed else "plan A")


def test_bare_the_same_failing_task_is_delegated_five_times() -> None:
    with ModelServer(stubborn) as server:
        Runner.run_sync(manager(server.url, "research"), "When does it open?")
        assert sum(map(is_worker, server.requests)) == 5


def test_the_second_identical_delegation_is_refused_with_the_brief_and_a_changed_one_passes() -> None:
    with ModelServer(stubborn) as server:
        app = mas_guard.wrap(manager(server.url, "research"))
        result = Runner.run_sync(app, "When does it open?")
        assert [request.last_text for request in server.requests if is_worker(request)] == ["plan A", "plan B"]
        told = str(server.requests[-2].body) + str(server.requests[-1].body)
    assert "What failed: research" in told and "refused" in told
    assert "Left: " in told and "Change the plan" in told
    assert result.final_output == REPORT
    assert mas_guard.outcome(result).status == "completed"


def test_a_worker_that_keeps_failing_is_not_asked_for_ever() -> None:
    def script(request: Request) -> Reply:
        if is_worker(request):
            return Reply(refusal="I cannot.")
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        done = len(results) >= 9 or any("Do without it" in result for result in results)
        return text(REPORT) if done else call("ask_research", input=f"plan {len(results)}")

    with ModelServer(script) as server:
        app = mas_guard.wrap(manager(server.url, "research"), replan_max=3)
        Runner.run_sync(app, "When does it open?")
        assert sum(map(is_worker, server.requests)) == 4


def test_an_independent_worker_goes_on_while_another_fails() -> None:
    def script(request: Request) -> Reply:
        if is_worker(request):
            return Reply(refusal="I cannot.") if "storm" in request.last_text else text("Opening hours are 8 to 17.")
        results = [message for message in request.messages if message["role"] == "tool"]
        if not results:
            asked = (ToolCallReply("ask_weather", {"input": "storm"}), ToolCallReply("ask_hours", {"input": "hours"}))
            return Reply(tool_calls=asked)
        return text(REPORT)

    with ModelServer(script) as server:
        app = mas_guard.wrap(manager(server.url, "weather", "hours"))
        outcome = mas_guard.outcome(Runner.run_sync(app, "When does it open?"))
        told = str(server.requests[-1].body)
    assert "'weather' has the status failed" in told and "'hours'" not in told
    assert (outcome.envelopes["hours"].status, outcome.envelopes["weather"].status) == ("success", "failed")


# -- loops --------------------------------------------------------------------------------------------


def refining(answer: Any, rounds: int) -> Any:
    """A manager that asks its three specialists in every round; it would stop by itself after *rounds*."""

    def script(request: Request) -> Reply:
        if is_worker(request):
            return text(answer())
        if not request.tool_names or request.body.get("tool_choice") == "none":
            return text(CONCLUSION)
        asked = sum(message["role"] == "assistant" for message in request.messages)
        if asked >= rounds:
            return text(REPORT)
        names = ("one", "two", "three")
        calls = tuple(ToolCallReply(f"ask_{name}", {"input": f"round {asked}: better, {name}"}) for name in names)
        return Reply(tool_calls=calls)

    return script


LOOP = {"manager": {"loop": True, "patience": 4}}


def test_endless_refining_ends_by_its_plateau_with_the_owners_conclusion() -> None:
    with ModelServer(refining(rewording(), 30)) as server:
        app = mas_guard.wrap(manager(server.url, "one", "two", "three"), agents=LOOP)
        result = Runner.run_sync(app, "Refine it.", max_turns=100)
        rounds = sum(not is_worker(request) for request in server.requests) - 1
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "convergence")
    assert result.final_output == CONCLUSION
    assert rounds <= 1 + 4


def test_a_loop_that_improves_runs_to_its_end() -> None:
    with ModelServer(refining(improving(), 9)) as server:
        app = mas_guard.wrap(manager(server.url, "one", "two", "three"), agents=LOOP)
        result = Runner.run_sync(app, "Refine it.", max_turns=100)
    assert result.final_output == REPORT
    assert mas_guard.outcome(result).status == "completed"


def test_a_loop_ends_with_its_rounds() -> None:
    with ModelServer(refining(improving(), 30)) as server:
        app = mas_guard.wrap(
            manager(server.url, "one", "two", "three"), agents={"manager": {"loop": True, "max_rounds": 2}}
        )
        Runner.run_sync(app, "Refine it.", max_turns=100)
        assert sum(is_worker(request) for request in server.requests) == 2 * 3
    outcome = mas_guard.last_outcome()
    assert outcome is not None and "has used its 2 rounds" in outcome.reason


def test_a_met_criterion_is_told_to_the_loop() -> None:
    def script(request: Request) -> Reply:
        if is_worker(request):
            return text(json.dumps({"approved": True, "plan": "wait"}))
        told = "The criterion that ends this loop is met (approved)" in str(request.body)
        return text(REPORT) if told else call("ask_one", input="again")

    with ModelServer(script) as server:
        app = mas_guard.wrap(manager(server.url, "one"), agents={"manager": {"loop": True, "done_when": "approved"}})
        assert Runner.run_sync(app, "Plan it.").final_output == REPORT
        assert server.count == 3


def test_a_loop_that_nothing_ends_is_refused_where_that_is_asked_for() -> None:
    with ModelServer(stubborn) as server, pytest.raises(mas_guard.ConfigError, match="nothing says when it ends"):
        mas_guard.wrap(manager(server.url, "one"), agents={"manager": {"loop": True}}, require_termination=True)


# -- packets ------------------------------------------------------------------------------------------

PACKET = (
    "Task: settle invoice 1042, which was charged twice. Context: the customer paid 80 EUR on 3 May and again on 4 May. "
    "Output format: two sentences for the customer. If it fails: hand back to triage with what is missing."
)


def hands_over(saying: str) -> Any:
    """A triage that hands over at once, saying *saying*, and says everything once it is refused."""

    def script(request: Request) -> Reply:
        if "transfer_to_billing" not in request.tool_names:
            return text("Settled.")
        refused = "not transferred: say before you hand over" in str(request.body)
        said = PACKET if refused else saying
        return Reply(text=said, tool_calls=(ToolCallReply("transfer_to_billing"),))

    return script


def test_by_default_what_a_handoff_lacks_is_recorded_and_nothing_else(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(hands_over("")) as server:
        app = mas_guard.wrap(desk(server.url), events=str(events))
        result = Runner.run_sync(app, "My invoice was charged twice.")
        assert "mas-guard" not in str([request.body for request in server.requests])
    assert mas_guard.outcome(result).status == "completed"
    warned = [line for line in map(json.loads, events.read_text().splitlines()) if line.get("rule") == "packet"]
    assert warned[0]["verdict"] == "warn" and "on_failure" in warned[0]["figures"]["missing"]


def test_what_is_missing_is_completed_and_shown_to_the_receiver_alone() -> None:
    with ModelServer(hands_over("")) as server:
        app = mas_guard.wrap(desk(server.url), handoffs="complete", handoff_on_failure="tell triage")
        result = Runner.run_sync(app, "My invoice was charged twice.")
        first, second = server.requests
    assert "mas-guard" not in str(first.body)
    assert "You have been handed this task by 'triage'" in second.last_text
    assert "My invoice was charged twice." in second.last_text and "tell triage" in second.last_text
    assert "mas-guard" not in str(result.to_input_list())


def test_a_handoff_that_lacks_something_is_refused_with_the_list_and_made_again() -> None:
    with ModelServer(hands_over("")) as server:
        app = mas_guard.wrap(desk(server.url), handoffs="require")
        result = Runner.run_sync(app, "My invoice was charged twice.")
        assert server.count == 3
        told = str(server.requests[1].body)
    assert "Context: what is known so far" in told and "If it fails: what to do then" in told
    assert result.final_output == "Settled."
    assert mas_guard.outcome(result).hops == 1


class Brief(BaseModel):
    """What this app's handoff takes."""

    task: str
    context: str
    output_format: str
    on_failure: str


def test_a_handoffs_own_input_is_its_packet() -> None:
    async def noted(context: Any, brief: Brief) -> None:
        """Take it."""

    def script(request: Request) -> Reply:
        if "transfer_to_billing" not in request.tool_names:
            return text("Settled.")
        return call(
            "transfer_to_billing",
            task="Settle invoice 1042, which was charged twice.",
            context="Paid 80 EUR on 3 May and on 4 May.",
            output_format="Two sentences for the customer.",
            on_failure="Hand back to triage with what is missing.",
        )

    with ModelServer(script) as server:
        app = desk(server.url)
        app.handoffs[0] = handoff(app.handoffs[0], input_type=Brief, on_handoff=noted)
        result = Runner.run_sync(mas_guard.wrap(app, handoffs="require"), "My invoice was charged twice.")
        assert server.count == 2
    assert result.final_output == "Settled."


async def test_a_delegation_that_was_cancelled_has_not_failed_and_may_be_made_again() -> None:
    held, asked = Event(), Event()

    def script(request: Request) -> Reply:
        if is_worker(request):
            first = not asked.is_set()
            asked.set()
            return Reply(text="It opens on Monday.", wait_for=held if first else None)
        done = any(message["role"] == "tool" for message in request.messages)
        return text(REPORT) if done else call("ask_research", input="plan A")

    with ModelServer(script) as server:
        app = mas_guard.wrap(manager(server.url, "research"))
        with mas_guard.run("twice"):
            first = asyncio.create_task(Runner.run(app, "When does it open?"))
            await asyncio.to_thread(asked.wait, 30)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            held.set()
            assert (await Runner.run(app, "When does it open?")).final_output == REPORT
        assert "not delegated again" not in str(server.requests[-1].body)
