"""Flows: a run around the runs of its crews, which keeps the deadline and counts the hops between its methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crewai import Task
from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.flow import Flow, and_, listen, router, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence.sqlite import SQLiteFlowPersistence

import mas_guard
from mas_guard.testing import ModelServer, text
from tests.clock import Clock
from tests.crewai.crews import (
    ANSWERS,
    RESEARCHER,
    WRITER,
    agent,
    charge_for_ever,
    charging_crew,
    crew_of,
    kickoff,
    model,
    one_task,
    own_model,
    report_script,
)
from tests.crewai.endings import Ending, awaited, ended
from tests.crewai.more_crews import AsyncFlow, SelfEvaluation, content_after


def heard(flow: Any, **settings: Any) -> tuple[Any, list[mas_guard.Outcome]]:
    """The flow, wrapped, and where the outcomes of its runs go."""
    outcomes: list[mas_guard.Outcome] = []
    return mas_guard.wrap(flow, on_outcome=outcomes.append, **settings), outcomes


def bare_and_guarded(make: Any, script: Any, run: Any) -> list[Any]:
    """What a flow gives and sends, bare and wrapped."""
    seen = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(script()) as server:
            result = run(wrap(make(server.url)))
            seen.append((result, sorted(request.raw for request in server.requests)))
    return seen


# -- what is well --------------------------------------------------------------------------------------------------


def test_a_self_evaluation_that_comes_to_an_end_is_untouched() -> None:
    seen = bare_and_guarded(SelfEvaluation, lambda: content_after(3), lambda flow: flow.kickoff())
    assert seen[0] == seen[1] and seen[0][0] == "Draft 3."
    outcome = mas_guard.last_outcome()
    assert outcome is not None and (outcome.status, outcome.run.name) == ("completed", "SelfEvaluation")


def test_an_awaiting_flow_is_untouched() -> None:
    seen = bare_and_guarded(AsyncFlow, lambda: report_script, lambda flow: awaited(flow.kickoff_async).result)
    assert seen[0] == seen[1] and seen[0][0] == ANSWERS[WRITER]


@pytest.mark.parametrize("way", ["kickoff", "kickoff_async", "akickoff"])
def test_a_flow_and_each_of_its_crews_has_an_outcome(way: str) -> None:
    with ModelServer(content_after(2)) as server:
        flow, outcomes = heard(SelfEvaluation(server.url))
        ending = ended(flow.kickoff) if way == "kickoff" else awaited(getattr(flow, way))
        assert server.count == 4
    assert ending.result == "Draft 2."
    assert [outcome.status for outcome in outcomes] == ["completed"] * 5
    assert [outcome.run.name for outcome in outcomes] == ["crew"] * 4 + ["SelfEvaluation"]
    assert outcomes[-1].spent.model_calls == 4


def test_a_flow_without_a_crew_or_a_model_gives_what_it_gives() -> None:
    class Plain(Flow[Any]):
        @start()
        def first(self) -> int:
            return 1

        @listen(first)
        def second(self, given: int) -> int:
            return given + 1

    flow, outcomes = heard(Plain())
    assert ended(flow.kickoff).result == 2
    assert [(outcome.status, outcome.hops, outcome.spent.model_calls) for outcome in outcomes] == [("completed", 0, 0)]


def test_an_error_of_a_method_comes_out_as_it_is() -> None:
    class Broken(Flow[Any]):
        @start()
        def first(self) -> int:
            raise LookupError("a bug of the app's")

    flow, outcomes = heard(Broken())
    with pytest.raises(LookupError, match="a bug of the app's"):
        flow.kickoff()
    assert [outcome.status for outcome in outcomes] == ["aborted"]


def test_crews_that_are_kicked_off_at_the_same_time_are_runs_of_their_own() -> None:
    class Fan(Flow[Any]):
        url = ""

        @start()
        def left(self) -> str:
            return str(kickoff(one_task(self.url)).raw)

        @start()
        def right(self) -> str:
            return str(kickoff(one_task(self.url)).raw)

        @listen(and_(left, right))
        def both(self) -> str:
            return "both"

    with ModelServer(report_script) as server:
        flow = Fan()
        flow.url = server.url
        flow, outcomes = heard(flow)
        assert ended(flow.kickoff).result == "both"
    assert [outcome.status for outcome in outcomes] == ["completed"] * 3
    assert outcomes[-1].hops == 0


# -- hops between its methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["kickoff", "kickoff_async"])
def test_a_reviewer_who_is_never_content_is_ended_at_the_hop_limit(way: str) -> None:
    with ModelServer(content_after(None), max_requests=60) as server:
        flow, outcomes = heard(SelfEvaluation(server.url))
        ending = ended(flow.kickoff) if way == "kickoff" else awaited(flow.kickoff_async)
        assert server.count < 20
    assert isinstance(ending.error, mas_guard.HopLimitExceeded)
    assert (outcomes[-1].rule, outcomes[-1].hops, outcomes[-1].run.name) == ("hops", 12, "SelfEvaluation")
    assert {outcome.status for outcome in outcomes[:-1]} == {"completed"}


def test_the_limit_of_hops_is_a_setting() -> None:
    with ModelServer(content_after(8)) as server:
        ending = ended(mas_guard.wrap(SelfEvaluation(server.url), max_hops=40).kickoff)
        assert (ending.result, server.count) == ("Draft 8.", 16)


def test_plain_methods_that_go_round_are_code_and_no_agents() -> None:
    class Counter(Flow[Any]):
        @start("again")
        def count(self) -> int:
            self.state["n"] = self.state.get("n", 0) + 1
            return int(self.state["n"])

        @router(count)
        def enough(self) -> str:
            return "done" if self.state["n"] >= 40 else "again"

        @listen("done")
        def end(self) -> int:
            return int(self.state["n"])

    ending = ended(mas_guard.wrap(Counter()).kickoff)
    assert (ending.result, ending.outcome.hops) == (40, 0)


class Ways(Flow[Any]):
    """Two methods that have somebody asked in one of three ways, a plain one between them, for ever."""

    url = ""
    way = "crew"

    @start("again")
    def draft(self) -> str:
        return self.asked(WRITER)

    @listen(draft)
    def note(self, given: str) -> str:
        return given

    @router(note)
    def check(self) -> str:
        self.asked(RESEARCHER)
        return "again"

    def asked(self, role: str) -> str:
        if self.way == "crew":
            task = Task(description="Go on.", expected_output="A text", agent=agent(role, model(self.url)))
            return str(kickoff(crew_of([task])).raw)
        if self.way == "agent":
            return str(agent(role, model(self.url)).kickoff("Go on.").raw)
        return str(model(self.url).call("Go on."))


@pytest.mark.parametrize("way", ["crew", "agent", "model"])
def test_whoever_is_asked_in_methods_that_go_round_a_plain_one_between_them_hides_no_hop(way: str) -> None:
    with ModelServer(lambda request: text(f"Draft {request.index}."), max_requests=60) as server:
        flow = Ways()
        flow.url, flow.way = server.url, way
        flow, outcomes = heard(flow, max_hops=4)
        ending = ended(flow.kickoff)
        assert server.count == 2 + 4
    assert isinstance(ending.error, mas_guard.HopLimitExceeded)
    assert (outcomes[-1].rule, outcomes[-1].hops) == ("hops", 4)
    assert {"draft", "check"} <= set(outcomes[-1].path) and "note" not in outcomes[-1].path


# -- what its methods run ------------------------------------------------------------------------------------------


class Mixed(Flow[Any]):
    """An agent, a model and a crew, each in a method of its own."""

    url = ""

    @start()
    def research(self) -> str:
        return str(agent(RESEARCHER, model(self.url)).kickoff("When do the tides come?").raw)

    @listen(research)
    def headline(self, found: str) -> str:
        return str(model(self.url).call(f"A headline for: {found}"))

    @listen(headline)
    def write(self, found: str) -> str:
        return str(kickoff(one_task(self.url)).raw)


def mixed(url: str) -> Mixed:
    flow = Mixed()
    flow.url = url
    return flow


def test_agents_and_models_in_its_methods_are_part_of_its_run() -> None:
    with ModelServer(report_script) as server:
        flow, outcomes = heard(mixed(server.url))
        assert ended(flow.kickoff).result == ANSWERS[RESEARCHER]
        assert server.count == 3
    assert [outcome.spent.model_calls for outcome in outcomes] == [1, 3]
    assert RESEARCHER in outcomes[-1].run.agents


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_its_own_budget_caps_agents_models_and_crews_together(calls: int) -> None:
    with ModelServer(report_script) as server:
        flow, outcomes = heard(mixed(server.url), budget={"model_calls": calls}, on_limit="abort")
        ending = ended(flow.kickoff)
        assert server.count == calls
    assert isinstance(ending.error, mas_guard.BudgetExceeded)
    assert (outcomes[-1].run.name, outcomes[-1].status, outcomes[-1].rule) == ("Mixed", "aborted", "budget")
    assert ending.outcome is outcomes[-1]


def test_an_agent_that_loops_in_a_method_is_stopped() -> None:
    class Loops(Flow[Any]):
        url = ""

        @start()
        def charge(self) -> str:
            (worker,) = charging_crew(self.url, []).agents
            return str(worker.kickoff("Charge them all.").raw)

    with ModelServer(charge_for_ever) as server:
        flow = Loops()
        flow.url = server.url
        ending = ended(mas_guard.wrap(flow, budget={"model_calls": 4}, on_limit="abort").kickoff)
        assert server.count == 4
    assert isinstance(ending.error, mas_guard.BudgetExceeded)


def test_crewais_own_flows_are_none_of_the_apps() -> None:
    """Every run of an agent is a flow of CrewAI's."""
    with ModelServer(report_script) as server:
        crew, outcomes = heard(one_task(server.url))
        ended(crew.kickoff)
    assert len(outcomes) == 1


# -- a person's feedback -------------------------------------------------------------------------------------------


class Waits:
    """Nobody is there now."""

    def request_feedback(self, context: Any, flow: Any) -> str:
        raise HumanFeedbackPending(context=context)


class Reviewed(Flow[Any]):
    """Research, what a person thinks of it, and what is made of both."""

    url = ""

    @start()
    @human_feedback(message="Is it any good?", provider=Waits())
    def research(self) -> str:
        return str(kickoff(one_task(self.url)).raw)

    @listen(research)
    def write(self, feedback: Any) -> str:
        worker = agent(WRITER, model(self.url))
        task = Task(description=f"Heed: {feedback.feedback}", expected_output="A text", agent=worker)
        return str(kickoff(crew_of([task])).raw)


def reviewed(url: str, folder: Path) -> Reviewed:
    flow = Reviewed(persistence=SQLiteFlowPersistence(str(folder / "flows.db")))
    flow.url = url
    return flow


def resumed(flow: Reviewed, folder: Path) -> Reviewed:
    """The flow that waits, as another object: so CrewAI has it."""
    again = Reviewed.from_pending(flow.flow_id, SQLiteFlowPersistence(str(folder / "flows.db")))
    again.url = flow.url
    return again


@pytest.mark.parametrize("way", ["kickoff", "kickoff_async"])
def test_a_flow_that_waits_for_a_person_is_suspended_and_goes_on_as_the_same_run(tmp_path: Path, way: str) -> None:
    with ModelServer(report_script) as server:
        flow, before = heard(reviewed(server.url, tmp_path))
        first = ended(flow.kickoff) if way == "kickoff" else awaited(flow.kickoff_async)
        assert isinstance(first.result, HumanFeedbackPending)
        assert (before[-1].status, before[-1].rule, before[-1].run.name) == ("partial", "interrupt", "Reviewed")
        again, after = heard(resumed(flow, tmp_path))
        second = (
            ended(lambda: again.resume("Shorter."))
            if way == "kickoff"
            else awaited(lambda: again.resume_async("Shorter."))
        )
        assert server.count == 2
    assert second.result == ANSWERS[WRITER]
    assert (after[-1].run_id, after[-1].status) == (before[-1].run_id, "completed")
    assert after[-1].spent.model_calls == 2


def test_its_budget_goes_on_over_the_wait(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"budget": {"model_calls": 1}, "on_limit": "abort"}
    with ModelServer(report_script) as server:
        flow, _ = heard(reviewed(server.url, tmp_path), **limits)
        ended(flow.kickoff)
        again, _ = heard(resumed(flow, tmp_path), **limits)
        ending = ended(lambda: again.resume("Shorter."))
        assert server.count == 1
    assert isinstance(ending.error, mas_guard.BudgetExceeded)


def test_its_clock_stands_still_while_it_waits(guard: mas_guard.Guard, clock: Clock, tmp_path: Path) -> None:
    with ModelServer(report_script) as server:
        flow = guard.wrap(reviewed(server.url, tmp_path), deadline=60)
        ended(flow.kickoff)
        clock.advance(100_000)
        again = guard.wrap(resumed(flow, tmp_path), deadline=60)
        assert ended(lambda: again.resume("Shorter.")).result == ANSWERS[WRITER]


# -- observing -----------------------------------------------------------------------------------------------------


def test_observed_a_flow_goes_on_as_bare() -> None:
    with ModelServer(content_after(20)) as server:
        flow, outcomes = heard(SelfEvaluation(server.url), mode="observe", budget={"model_calls": 3})
        assert ended(flow.kickoff).result == "Draft 20."
        assert server.count == 40
    assert outcomes[-1].status == "completed"


def test_a_model_of_the_users_own_in_a_method_is_counted() -> None:
    class Own(Flow[Any]):
        url = ""

        @start()
        def ask(self) -> str:
            return str(own_model(self.url).call("Hello."))

    with ModelServer(lambda request: text("Hello.", input_tokens=10, output_tokens=2)) as server:
        flow = Own()
        flow.url = server.url
        ending = ended(mas_guard.wrap(flow).kickoff)
    assert isinstance(ending, Ending) and ending.result == "Hello."
    assert (ending.outcome.spent.model_calls, ending.outcome.spent.tokens) == (1, 12)
