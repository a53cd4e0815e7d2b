"""The functional API, subgraphs in tools, batches inside runs, an unwrapped app beside a wrapped one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.func import entrypoint, task

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.langgraph.apps import QUESTION, model


def functional_app(url: str, width: int) -> Any:
    chat = model(url)

    @task
    def ask(number: int) -> str:
        return str(chat.invoke(f"part {number}").content)

    @entrypoint()
    def work(question: str) -> list[str]:
        return [future.result() for future in [ask(number) for number in range(width)]]

    return work


def test_a_functional_app_is_held_by_its_budget() -> None:
    with ModelServer(lambda request: text("done")) as server:
        app = mas_guard.wrap(functional_app(server.url, 30), budget={"model_calls": 8})
        with pytest.raises(mas_guard.BudgetExceeded):
            app.invoke("thirty parts")
        assert server.count == 8


def test_a_functional_app_within_its_budget_is_untouched() -> None:
    with ModelServer(lambda request: text("done")) as server:
        assert mas_guard.wrap(functional_app(server.url, 5)).invoke("five parts") == ["done"] * 5
    outcome = mas_guard.last_outcome()
    assert outcome is not None and (outcome.status, outcome.hops) == ("completed", 0)


def boss_with_an_agent_as_tool(url: str) -> Any:
    chat = model(url)
    inner = create_agent(chat, [], name="researcher", system_prompt="You are researcher.")

    @tool
    def research(topic: str) -> str:
        """Ask the researcher."""
        return str(inner.invoke({"messages": [("user", topic)]})["messages"][-1].content)

    return create_agent(chat, [research], name="boss", system_prompt="You are boss.")


def test_an_agent_called_as_a_tool_joins_the_run_and_is_no_hop() -> None:
    def script(request: Request) -> Reply:
        if "researcher" in request.system:
            return text(f"finding {request.index}")
        asked = sum(message["role"] == "tool" for message in request.messages)
        return call("research", topic=f"topic {asked}") if asked < 15 else text("fifteen topics")

    with ModelServer(script) as server:
        app = mas_guard.wrap(boss_with_an_agent_as_tool(server.url))
        state = app.invoke(QUESTION, {"recursion_limit": 100})
        assert server.count == 31
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.hops, outcome.spent.model_calls) == ("completed", 0, 31)


def test_a_stopped_agent_reads_as_a_failure_to_whoever_called_it() -> None:
    def script(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none":
            return text("the owner concludes")
        return text("a finding") if "researcher" in request.system else call("research", topic=f"{request.index}")

    with ModelServer(script) as server:
        app = mas_guard.wrap(boss_with_an_agent_as_tool(server.url), budget={"model_calls": 6})
        state = app.invoke(QUESTION)
        assert server.count == 6
    assert state["messages"][-1].content == "the owner concludes"
    answers = [str(message.content) for message in state["messages"] if message.type == "tool"]
    assert answers[-1].startswith("failed: budget")


def test_an_unwrapped_app_beside_a_wrapped_one_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with ModelServer(lambda request: text("done")) as server:
        wrapped = mas_guard.wrap(create_agent(model(server.url), [], name="wrapped_app"))
        other = create_agent(model(server.url), [], name="other_app")
        with caplog.at_level(logging.WARNING, "mas_guard"):
            for _ in range(3):
                other.invoke(QUESTION)
                wrapped.invoke(QUESTION)
    told = [record.getMessage() for record in caplog.records if "other_app" in record.getMessage()]
    assert len(told) == 1 and "unguarded" in told[0]


def test_a_call_outside_of_every_run_is_told_once_per_place_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    with ModelServer(lambda request: text("done")) as server:
        mas_guard.instrument()
        with caplog.at_level(logging.WARNING, "mas_guard"):
            for _ in range(3):
                model(server.url).invoke("outside")
        assert sum("outside of every guarded run" in record.getMessage() for record in caplog.records) == 1
        mas_guard.uninstrument()
        mas_guard.instrument(outside_run="refuse")
        with pytest.raises(mas_guard.GuardStopped, match="OUTSIDE_RUN"):
            model(server.url).invoke("outside")
        assert server.count == 3


def test_a_run_leaves_nothing_in_the_callers_context() -> None:
    from mas_guard.adapter import current_run

    with ModelServer(lambda request: text("done")) as server:
        app = mas_guard.wrap(create_agent(model(server.url), []))
        for _ in app.stream(QUESTION, stream_mode="updates"):
            assert current_run.get() is None
            break
        assert current_run.get() is None

        async def read() -> None:
            async for _ in app.astream(QUESTION, stream_mode="updates"):
                assert current_run.get() is None
            assert current_run.get() is None

        asyncio.run(read())


def test_a_reader_that_leaves_ends_the_run_as_client_gone() -> None:
    outcomes: list[mas_guard.Outcome] = []
    with ModelServer(lambda request: text("done")) as server:
        app = mas_guard.wrap(create_agent(model(server.url), []), on_outcome=outcomes.append)
        stream = app.stream(QUESTION, stream_mode="updates")
        next(stream)
        stream.close()
    (outcome,) = outcomes
    assert (outcome.status, outcome.reason) == ("aborted", "client gone")
