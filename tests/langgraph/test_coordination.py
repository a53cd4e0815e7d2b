"""Re-plan instead of retry, loops that end, and what a handoff must carry, in graphs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool
from langchain_core.tools import tool as as_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from langgraph_swarm import create_handoff_tool, create_swarm

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from mas_guard.testing.replies import ToolCallReply
from tests.langgraph.apps import QUESTION, model, supervisor
from tests.reworded import improving, rewording

REPORT = "Here is the report on the harbour."
CONCLUSION = "The specialists agree; nothing new is to be expected."
LONG = {"recursion_limit": 200}


def is_worker(request: Request) -> bool:
    return "You are a specialist." in str(request.messages[0]["content"])


def manager(url: str, *workers: str) -> Any:
    """A manager whose tools call other graphs, each an agent."""
    chat = model(url)

    def asking(name: str) -> BaseTool:
        worker: Any = create_agent(chat, [], system_prompt="You are a specialist.", name=name)

        def ask(input: str) -> str:
            return str(worker.invoke({"messages": [("user", input)]})["messages"][-1].content)

        return StructuredTool.from_function(ask, name=f"ask_{name}", description="Ask it.")

    return create_agent(chat, [asking(name) for name in workers], name="manager", system_prompt="You manage.")


def in_a_graph(agent: Any) -> Any:
    """The manager as the one node of a graph, so that control can return to it."""
    graph = StateGraph(MessagesState)
    graph.add_node("manager", agent)
    graph.add_edge(START, "manager")
    graph.add_edge("manager", END)
    return graph.compile()


def ask(app: Any, question: Any = QUESTION) -> str:
    return str(app.invoke(question, LONG)["messages"][-1].content)


def results_of(request: Request) -> list[str]:
    return [str(message["content"]) for message in request.messages if message["role"] == "tool"]


# -- re-plan: a graph used as a tool ------------------------------------------------------------------


def stubborn(request: Request) -> Reply:
    """A manager that asks for plan A five times, unless it is told to change the plan; a worker that refuses plan A."""
    if is_worker(request):
        return text("The harbour opens on Monday.") if "plan B" in request.last_text else Reply(refusal="I cannot.")
    results = results_of(request)
    if (results and "opens on Monday" in results[-1]) or len(results) >= 5:
        return text(REPORT)
    changed = bool(results) and "not delegated again" in results[-1]
    return call("ask_research", input="plan B" if changed else "plan A")


def test_bare_the_same_failing_task_is_delegated_five_times() -> None:
    with ModelServer(stubborn) as server:
        ask(manager(server.url, "research"))
        assert sum(map(is_worker, server.requests)) == 5


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_the_second_identical_delegation_is_refused_with_the_brief_and_a_changed_one_passes(
    asynchronous: bool,
) -> None:
    with ModelServer(stubborn) as server:
        app = mas_guard.wrap(manager(server.url, "research"))
        result = await app.ainvoke(QUESTION) if asynchronous else app.invoke(QUESTION)
        assert [request.last_text for request in server.requests if is_worker(request)] == ["plan A", "plan B"]
        told = str(server.requests[-2].body) + str(server.requests[-1].body)
    assert "What failed: research" in told and "refused" in told
    assert "Left: " in told and "Change the plan" in told
    assert result["messages"][-1].content == REPORT
    assert mas_guard.outcome(result).status == "completed"


def test_a_worker_that_keeps_failing_is_not_asked_for_ever() -> None:
    def script(request: Request) -> Reply:
        if is_worker(request):
            return Reply(refusal="I cannot.")
        results = results_of(request)
        done = len(results) >= 9 or any("Do without it" in result for result in results)
        return text(REPORT) if done else call("ask_research", input=f"plan {len(results)}")

    with ModelServer(script) as server:
        ask(mas_guard.wrap(manager(server.url, "research"), replan_max=3))
        assert sum(map(is_worker, server.requests)) == 4


def test_an_independent_worker_goes_on_while_another_fails() -> None:
    def script(request: Request) -> Reply:
        if is_worker(request):
            return Reply(refusal="I cannot.") if "storm" in str(request.body) else text("Opening hours are 8 to 17.")
        if not results_of(request):
            asked = (ToolCallReply("ask_weather", {"input": "storm"}), ToolCallReply("ask_hours", {"input": "hours"}))
            return Reply(tool_calls=asked)
        return text(REPORT)

    with ModelServer(script) as server:
        app = mas_guard.wrap(in_a_graph(manager(server.url, "weather", "hours")))
        # One after the other: a sibling that has to wait for its turn is a sibling all the same.
        result = app.invoke(QUESTION, {"max_concurrency": 1})
        told = str(server.requests[-1].body)
        siblings = [str(request.body) for request in server.requests if is_worker(request)]
    outcome = mas_guard.outcome(result)
    assert len(siblings) == 2 and "mas-guard" not in str(siblings)
    assert "'weather' has the status failed" in told and "'hours'" not in told
    assert (outcome.envelopes["hours"].status, outcome.envelopes["weather"].status) == ("success", "failed")


def test_branches_started_together_are_not_told_of_each_other_and_who_joins_them_is() -> None:
    def script(request: Request) -> Reply:
        return Reply(refusal="I cannot.") if "You are north." in str(request.body) else text("It is closed.")

    with ModelServer(script) as server:
        chat = model(server.url)
        graph: Any = StateGraph(MessagesState)
        for name in ("north", "south", "writer"):
            graph.add_node(name, create_agent(chat, [], system_prompt=f"You are {name}.", name=name))
        graph.add_edge(START, "north")
        graph.add_edge(START, "south")
        graph.add_edge(["north", "south"], "writer")
        graph.add_edge("writer", END)
        mas_guard.wrap(graph.compile()).invoke(QUESTION, {"max_concurrency": 1})
        told = {str(request.messages[0]["content"]): "mas-guard" in str(request.body) for request in server.requests}
    assert told == {"You are north.": False, "You are south.": False, "You are writer.": True}


def test_an_edge_of_the_apps_own_is_no_delegation() -> None:
    """A graph that sends a failed step round once more does so as before: no model could have said anything else."""

    def script(request: Request) -> Reply:
        if "You are drafter." in str(request.messages[0]["content"]):
            return text("Draft.")
        tries = sum(message["content"] == "Draft." for message in request.messages)
        return Reply(refusal="I cannot.") if tries < 3 else text("The draft is good.")

    with ModelServer(script, max_requests=12) as server:
        chat = model(server.url)
        graph = StateGraph(MessagesState)
        for name in ("drafter", "checker"):
            graph.add_node(name, create_agent(chat, [], system_prompt=f"You are {name}.", name=name))
        graph.add_edge(START, "drafter")
        graph.add_edge("drafter", "checker")
        graph.add_conditional_edges(
            "checker", lambda state: END if "good" in state["messages"][-1].content else "drafter", ["drafter", END]
        )
        ask(mas_guard.wrap(graph.compile()))
        order = ["drafter" in str(request.messages[0]["content"]) for request in server.requests]
    assert order == [True, False] * 3


# -- re-plan: handoffs --------------------------------------------------------------------------------


def boss(second: str, *, then: str = "", give_up_after: int = 5) -> Any:
    """A supervisor that hands the first plan over, then says *second* with each further handoff, or *then* once it is
    told to change the plan; the worker refuses all but plan B."""

    def script(request: Request) -> Reply:
        if "You are research." in str(request.messages[0]["content"]):
            return text("The harbour opens on Monday.") if "plan B" in str(request.body) else Reply(refusal="I cannot.")
        results = results_of(request)
        if "opens on Monday" in str(request.body) or len(results) >= give_up_after:
            return text(REPORT)
        told = "not delegated again" in str(request.body)
        said = "plan A" if not results else then if told and then else second
        return Reply(text=said, tool_calls=(ToolCallReply("transfer_to_research"),))

    return script


def asked_for_research(server: ModelServer) -> int:
    return sum("You are research." in str(request.messages[0]["content"]) for request in server.requests)


def test_bare_a_failing_worker_is_handed_the_same_again_and_again() -> None:
    with ModelServer(boss("plan A")) as server:
        ask(supervisor(server.url, ("research",)).compile())
        assert asked_for_research(server) >= 3


def test_the_same_handoff_to_a_worker_that_failed_is_refused_once_and_a_changed_one_passes() -> None:
    with ModelServer(boss("plan A", then="plan B")) as server:
        app = mas_guard.wrap(supervisor(server.url, ("research",)).compile())
        result = app.invoke(QUESTION, LONG)
        assert asked_for_research(server) == 2
        told = "".join(str(request.body) for request in server.requests)
    assert "not delegated again: the same request to research has just failed" in told
    assert "What failed: research (the model refused to answer)" in told
    assert result["messages"][-1].content == REPORT
    assert mas_guard.outcome(result).status == "completed"


def test_a_changed_handoff_to_a_worker_that_failed_passes_at_once() -> None:
    with ModelServer(boss("plan B")) as server:
        result = mas_guard.wrap(supervisor(server.url, ("research",)).compile()).invoke(QUESTION, LONG)
        assert asked_for_research(server) == 2
        assert "not delegated again" not in "".join(str(request.body) for request in server.requests)
    assert mas_guard.outcome(result).status == "completed"


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


WRAPPED_ITSELF = pytest.mark.xfail(strict=True, reason="an agent that is wrapped itself acts under the name `model`")
SHAPES = [
    pytest.param(in_a_graph, id="in a graph"),
    pytest.param(lambda agent: agent, id="itself", marks=WRAPPED_ITSELF),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_endless_refining_ends_by_its_plateau_with_the_owners_conclusion(shape: Any) -> None:
    with ModelServer(refining(rewording(), 9), max_requests=90) as server:
        app = mas_guard.wrap(shape(manager(server.url, "one", "two", "three")), agents=LOOP)
        result = app.invoke(QUESTION, LONG)
        rounds = sum(not is_worker(request) for request in server.requests) - 1
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.rule) == ("partial", "convergence")
    assert result["messages"][-1].content == CONCLUSION
    assert rounds <= 1 + 4


def test_a_loop_that_improves_runs_to_its_end() -> None:
    with ModelServer(refining(improving(), 9)) as server:
        app = mas_guard.wrap(in_a_graph(manager(server.url, "one", "two", "three")), agents=LOOP)
        result = app.invoke(QUESTION, LONG)
    assert result["messages"][-1].content == REPORT
    assert mas_guard.outcome(result).status == "completed"


def test_a_loop_ends_with_its_rounds() -> None:
    with ModelServer(refining(improving(), 30), max_requests=90) as server:
        settings = {"manager": {"loop": True, "max_rounds": 2}}
        app = mas_guard.wrap(in_a_graph(manager(server.url, "one", "two", "three")), agents=settings)
        result = app.invoke(QUESTION, LONG)
        assert sum(is_worker(request) for request in server.requests) == 3 * 2
    assert "has used its 2 rounds" in mas_guard.outcome(result).reason


def done_script(request: Request) -> Reply:
    """A worker whose third answer is approved; a manager that asks on unless it is told that this ends the loop."""
    if is_worker(request):
        return text(json.dumps({"approved": "3" in request.last_text, "plan": "wait"}))
    if "The criterion that ends this loop is met" in str(request.body):
        return text(REPORT)
    return call("ask_one", input=f"again, number {len(results_of(request)) + 1}")


@pytest.mark.parametrize("done_when", ["approved", "criteria_of_a_test:is_approved"])
def test_a_met_criterion_is_told_to_the_loop(done_when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    criteria = ModuleType("criteria_of_a_test")
    criteria.is_approved = lambda said: '"approved": true' in said  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, criteria.__name__, criteria)
    with ModelServer(done_script, max_requests=20) as server:
        settings = {"manager": {"loop": True, "done_when": done_when}}
        result = mas_guard.wrap(in_a_graph(manager(server.url, "one")), agents=settings).invoke(QUESTION, LONG)
        assert server.count == 3 * 2 + 1
    assert result["messages"][-1].content == REPORT
    assert mas_guard.outcome(result).status == "completed"


def test_a_criterion_that_cannot_be_asked_leaves_the_loop_running() -> None:
    with ModelServer(refining(improving(), 3)) as server:
        settings = {"manager": {"loop": True, "done_when": "no_such_module:done"}}
        app = mas_guard.wrap(in_a_graph(manager(server.url, "one", "two", "three")), agents=settings)
        assert ask(app) == REPORT


# -- packets ------------------------------------------------------------------------------------------

PACKET = (
    "Task: settle invoice 1042, which was charged twice. Context: the customer paid 80 EUR on 3 May and again on 4 May. "
    "Output format: two sentences for the customer. If it fails: hand back to triage with what is missing."
)
REFUSED = "not transferred: say before you hand over"


def desk(url: str, *tools: Any) -> Any:
    """A triage that can hand over to billing, which can only answer."""
    chat = model(url)
    tools = tools or (create_handoff_tool(agent_name="billing"),)
    triage = create_agent(chat, list(tools), name="triage", system_prompt="You send people on.")
    billing = create_agent(chat, [], name="billing", system_prompt="You settle invoices.")
    return create_swarm([triage, billing], default_active_agent="triage").compile()


def is_billing(request: Request) -> bool:
    return "You settle invoices." in str(request.messages[0]["content"])


def hands_over(saying: str) -> Any:
    """A triage that hands over at once, saying *saying*, and says everything once it is refused."""

    def script(request: Request) -> Reply:
        if is_billing(request):
            return text("Settled.")
        said = PACKET if REFUSED in str(request.body) else saying
        return Reply(text=said, tool_calls=(ToolCallReply("transfer_to_billing"),))

    return script


def warnings_in(events: Path) -> list[Any]:
    return [line for line in map(json.loads, events.read_text().splitlines()) if line.get("rule") == "packet"]


def test_by_default_what_a_handoff_lacks_is_recorded_and_nothing_else(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(hands_over("")) as server:
        result = mas_guard.wrap(desk(server.url), events=str(events)).invoke(QUESTION)
        assert "mas-guard" not in str([request.body for request in server.requests])
    assert mas_guard.outcome(result).status == "completed"
    warned = warnings_in(events)
    assert warned[0]["verdict"] == "warn" and "on_failure" in warned[0]["figures"]["missing"]


def test_what_is_missing_is_completed_and_shown_to_the_receiver_alone() -> None:
    with ModelServer(hands_over("")) as server:
        app = mas_guard.wrap(desk(server.url), handoffs="complete", handoff_on_failure="tell triage")
        result = app.invoke(QUESTION)
        first, second = server.requests
    assert "mas-guard" not in str(first.body)
    assert "You have been handed this task by 'triage'" in second.last_text
    assert "My invoice is wrong" in second.last_text and "tell triage" in second.last_text
    assert "mas-guard" not in str(result)


def test_a_supervisors_worker_is_shown_what_is_missing_and_the_way_back_is_no_handoff() -> None:
    def script(request: Request) -> Reply:
        if "You are boss." not in str(request.messages[0]["content"]):
            return text("It opens on Monday.")
        return text(REPORT) if "opens on Monday" in str(request.body) else call("transfer_to_research")

    with ModelServer(script) as server:
        app = mas_guard.wrap(supervisor(server.url, ("research",)).compile(), handoffs="complete")
        result = app.invoke(QUESTION)
        told = ["You have been handed this task" in str(request.body) for request in server.requests]
    assert told == [False, True, False]
    assert result["messages"][-1].content == REPORT


def test_what_is_said_with_a_handoff_is_its_packet(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(hands_over(PACKET)) as server:
        mas_guard.wrap(desk(server.url), events=str(events)).invoke(QUESTION)
    assert warnings_in(events) == []


def test_a_handoff_that_lacks_something_is_refused_with_the_list_and_made_again() -> None:
    with ModelServer(hands_over(""), max_requests=12) as server:
        result = mas_guard.wrap(desk(server.url), handoffs="require").invoke(QUESTION, LONG)
        told = str(server.requests[1].body)
        assert server.count == 3
    assert "Context: what is known so far" in told and "If it fails: what to do then" in told
    assert result["messages"][-1].content == "Settled."
    assert "billing" in mas_guard.outcome(result).path


def test_a_refused_handoff_is_answered_in_the_history() -> None:
    def script(request: Request) -> Reply:
        return text(REPORT) if REFUSED in str(request.body) else call("transfer_to_billing")

    with ModelServer(script, max_requests=12) as server:
        result = mas_guard.wrap(desk(server.url), handoffs="require").invoke(QUESTION, LONG)
        assert not any(map(is_billing, server.requests))
    answers = [message for message in result["messages"] if message.type == "tool"]
    assert len(answers) == 1 and answers[0].content.startswith(REFUSED)
    assert result["messages"][-1].content == REPORT
    assert (mas_guard.outcome(result).status, mas_guard.outcome(result).hops) == ("completed", 0)


@as_tool
def transfer_to_billing(
    task: str,
    context: str,
    output_format: str,
    on_failure: str,
    state: Annotated[Any, InjectedState],
    tool_call_id: Annotated[str, InjectedToolCallId],
) -> Command[Any]:
    """Hand over with a packet."""
    answer = ToolMessage(f"Your task: {task}", name="transfer_to_billing", tool_call_id=tool_call_id)
    update = {"messages": [*state["messages"], answer], "active_agent": "billing"}
    return Command(goto="billing", graph=Command.PARENT, update=update)


transfer_to_billing.metadata = {"__handoff_destination": "billing"}


def test_a_handoff_tools_own_arguments_are_its_packet() -> None:
    def script(request: Request) -> Reply:
        if is_billing(request):
            return text("Settled.")
        return call(
            "transfer_to_billing",
            task="Settle invoice 1042, which was charged twice.",
            context="Paid 80 EUR on 3 May and on 4 May.",
            output_format="Two sentences for the customer.",
            on_failure="Hand back to triage with what is missing.",
        )

    with ModelServer(script, max_requests=12) as server:
        app = mas_guard.wrap(desk(server.url, transfer_to_billing), handoffs="require")
        assert ask(app) == "Settled."
        assert server.count == 2
