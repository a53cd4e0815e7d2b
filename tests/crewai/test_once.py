"""CrewAI: a tool with an effect happens at most once a run, whatever its retries, caches and checkpoints make of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import Task
from crewai.tools import BaseTool, tool
from crewai.tools.tool_failure import ToolFailure

import mas_guard
from mas_guard.records import MemoryRecordStore
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.crewai.crews import (
    ANSWERS,
    RESEARCHER,
    agent,
    charge_then,
    charging_crew,
    crew_of,
    one_task,
    own_messages,
    own_model,
    role_of,
)
from tests.crewai.endings import awaited, crew_ended

ROOT = Path(__file__).parents[2]
UNKNOWN = "unknown whether it happened; do not repeat"
ONCE: dict[str, Any] = {"once_tools": ["refund:order_id", "send_mail:to", "charge:order"], "once_store": "memory"}
Script = Callable[[Request], Reply]


class Bank:
    """Counts what has really happened; `fails` with an error after it, as a provider whose answer is lost."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.ids: list[str] = []
        self.fails: Exception | None = None

    def pay(self, order_id: str) -> str:
        self.paid.append(order_id)
        self.ids.append(mas_guard.effect_id())
        if self.fails is not None:
            raise self.fails
        return f"{order_id} is paid back"

    def tool(self) -> Any:
        @tool("refund")
        def refund(order_id: str, note: str = "", amount: int = 1) -> str:
            """Pay an order back."""
            return self.pay(order_id)

        return refund


class Model:
    """Calls the tool once for each of *arguments*, one after the other, and is done; it keeps what it was answered."""

    def __init__(self, *arguments: dict[str, Any], name: str = "refund") -> None:
        self.arguments = arguments
        self.name = name
        self.told: list[str] = []

    def __call__(self, request: Request) -> Reply:
        self.told = [str(message["content"]) for message in request.messages if message["role"] == "tool"]
        done = len(self.told)
        return call(self.name, **self.arguments[done]) if done < len(self.arguments) else text("Done.")


class WritingModel(Model):
    """The same for a model that has no native tool calls."""

    def __call__(self, request: Request) -> Reply:
        said = "\n".join(str(message["content"]) for message in own_messages(request) if message["role"] != "system")
        self.told = [part.partition("\nThought:")[0].strip() for part in said.split("Observation:")[1:]]
        done = len(self.told)
        if done >= len(self.arguments):
            return text("Thought: I now know the final answer\nFinal Answer: Done.")
        given = json.dumps(self.arguments[done])
        return text(f"Thought: I call it.\nAction: {self.name}\nAction Input: {given}")


@pytest.fixture
def bank() -> Bank:
    return Bank()


WAYS: dict[str, type[Model]] = {"native": Model, "as text": WritingModel}


def crew_for(way: str, url: str, *tools: Any, **settings: Any) -> Any:
    """A crew of one, whose model calls functions or writes what it calls."""
    if way == "native":
        crew = one_task(url, tools=tools)
    else:
        worker = agent(RESEARCHER, own_model(url), tools=list(tools))
        crew = crew_of([Task(description="Pay it back.", expected_output="What was paid", agent=worker)])
    return mas_guard.wrap(crew, **{**ONCE, **settings})


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


TWICE = ({"order_id": "A1", "note": "as agreed"}, {"order_id": "A1", "note": "as we agreed by telephone"})


# -- models that ask again ----------------------------------------------------------------------------


@pytest.mark.parametrize("kickoff", ["kickoff", "akickoff"])
def test_a_replanned_call_in_other_words_gets_the_first_ones_result(bank: Bank, way: str, kickoff: str) -> None:
    asks = WAYS[way](*TWICE)
    with ModelServer(asks) as server:
        crew = crew_for(way, server.url, bank.tool())
        ending = crew_ended(crew) if kickoff == "kickoff" else awaited(crew.akickoff)
    assert ending.error is None
    assert bank.paid == ["A1"] and len(bank.ids[0]) == 32
    assert ["A1 is paid back" in answer for answer in asks.told] == [True, True]


def test_mails_to_two_people_in_one_step_are_two_effects_and_a_third_to_one_of_them_is_none() -> None:
    sent: list[str] = []

    @tool("send_mail")
    def send_mail(to: str, words: str) -> str:
        """Send a mail."""
        sent.append(to)
        return f"sent to {to}"

    def script(request: Request) -> Reply:
        if any(message["role"] == "tool" for message in request.messages):
            return text("Done.")
        mails = [
            call("send_mail", to=to, words=words) for to, words in (("anna", "Hi"), ("ben", "Hi"), ("anna", "Hello"))
        ]
        return Reply(tool_calls=[one for mail in mails for one in mail.tool_calls])

    with ModelServer(script) as server:
        crew_ended(crew_for("native", server.url, send_mail))
    assert sorted(sent) == ["anna", "ben"]


def test_a_call_without_its_key_is_told_what_is_missing(bank: Bank, way: str) -> None:
    @tool("refund")
    def refund(order_id: str = "A1", note: str = "") -> str:
        """Pay an order back."""
        return bank.pay(order_id)

    asks = WAYS[way]({"note": "without"}, {"order_id": "A1"})
    with ModelServer(asks) as server:
        crew_ended(crew_for(way, server.url, refund))
    assert "order_id is missing" in asks.told[0]
    assert bank.paid == ["A1"]


def test_observing_changes_nothing(bank: Bank, way: str) -> None:
    with ModelServer(WAYS[way](*TWICE)) as server:
        crew_ended(crew_for(way, server.url, bank.tool(), mode="observe"))
    assert bank.paid == ["A1", "A1"]


def test_delegation_is_no_effect() -> None:
    """A crew whose once-tools are named like nothing it has is as it was."""
    with ModelServer(lambda request: text(ANSWERS.get(role_of(request), "Done."))) as server:
        ending = crew_ended(mas_guard.wrap(one_task(server.url, allow_delegation=True), **ONCE))
    assert ending.error is None


# -- errors, retries, the cache -----------------------------------------------------------------------


def test_crewais_own_retry_after_a_lost_answer_is_told_that_it_is_unknown(bank: Bank, way: str) -> None:
    bank.fails = TimeoutError("the bank did not answer")
    asks = WAYS[way](*TWICE)
    with ModelServer(asks) as server:
        ending = crew_ended(crew_for(way, server.url, bank.tool()))
    assert bank.paid == ["A1"]
    assert UNKNOWN in asks.told[-1]
    assert any("unknown whether refund happened" in note for note in ending.outcome.notes)


def test_bare_crewai_would_have_paid_again(bank: Bank) -> None:
    """The test above shows something: where a tool that is called as text fails, CrewAI calls it again."""
    bank.fails = TimeoutError("the bank did not answer")
    bank.ids = _Ignoring()
    with ModelServer(WritingModel(TWICE[0])) as server:
        crew_ended(crew_for("as text", server.url, bank.tool(), once_tools=[]))
    assert len(bank.paid) > 1


class _Ignoring(list[str]):
    def append(self, item: str) -> None:
        del item


def test_a_tool_that_has_done_nothing_may_be_called_again(bank: Bank, way: str) -> None:
    attempts: list[str] = []

    @tool("refund")
    def refund(order_id: str, note: str) -> str:
        """Pay an order back."""
        attempts.append(order_id)
        if len(attempts) == 1:
            raise mas_guard.NoEffect("the bank is closed for a moment")
        return bank.pay(order_id)

    asks = WAYS[way](*TWICE)
    with ModelServer(asks) as server:
        crew_ended(crew_for(way, server.url, refund))
    assert bank.paid == ["A1"] and len(attempts) == 2
    assert "A1 is paid back" in asks.told[-1]


def test_arguments_that_are_refused_may_be_put_right(bank: Bank, way: str) -> None:
    asks = WAYS[way]({"order_id": "A1", "amount": "many"}, {"order_id": "A1", "amount": 5})
    with ModelServer(asks) as server:
        crew_ended(crew_for(way, server.url, bank.tool()))
    assert bank.paid == ["A1"]
    assert "A1 is paid back" in asks.told[-1] and not any(UNKNOWN in answer for answer in asks.told)


class Limited(BaseTool):
    """A tool that may be used once."""

    name: str = "refund"
    description: str = "Pay an order back."
    max_usage_count: int | None = 1
    bank: Any = None

    def _run(self, order_id: str) -> str:
        return str(self.bank.pay(order_id))


def test_a_call_past_crewais_own_limit_of_uses_has_no_effect(bank: Bank, way: str) -> None:
    records = MemoryRecordStore()
    asks = WAYS[way]({"order_id": "A1"}, {"order_id": "A2"})
    with ModelServer(asks) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr("mas_guard._once.Effect._open", lambda self: records)
        crew_ended(crew_for(way, server.url, Limited(bank=bank)))
    assert bank.paid == ["A1"]
    assert [record.value["state"] for record in records.scan("once")] == ["done"]


def test_a_failure_that_the_tool_declares_is_one(bank: Bank, way: str) -> None:
    @tool("refund")
    def refund(order_id: str, note: str) -> Any:
        """Pay an order back."""
        bank.pay(order_id)
        return ToolFailure(message="the bank answered 500")

    asks = WAYS[way](*TWICE)
    with ModelServer(asks) as server:
        crew_ended(crew_for(way, server.url, refund))
    assert bank.paid == ["A1"]
    assert all(UNKNOWN in answer for answer in asks.told)


def test_an_equal_call_from_crewais_cache_is_no_second_effect(bank: Bank, way: str) -> None:
    asks = WAYS[way](TWICE[0], TWICE[0])
    with ModelServer(asks) as server:
        crew_ended(crew_for(way, server.url, bank.tool()))
    assert bank.paid == ["A1"]
    assert "A1 is paid back" in asks.told[0]


def test_what_the_guard_has_answered_stays_in_no_cache(bank: Bank, way: str) -> None:
    """CrewAI's cache outlives the run: what one run was told would be told to the next."""
    bank.fails = TimeoutError("the bank did not answer")
    asks = WAYS[way](TWICE[0], TWICE[0])
    with ModelServer(asks) as server:
        crew = crew_for(way, server.url, bank.tool())
        crew_ended(crew)
        bank.fails = None
        crew_ended(crew)
    assert bank.paid == ["A1", "A1"]
    assert "A1 is paid back" in asks.told[0]


def test_a_task_that_runs_again_by_the_settings_does_not_charge_again() -> None:
    charged: list[str] = []
    failing = Reply(status=500, error_message="no luck", headers={"retry-after-ms": "1"})
    with ModelServer(charge_then(failing)) as server:
        crew_ended(mas_guard.wrap(charging_crew(server.url, charged), retries={"per_task": 1}, **ONCE))
    assert charged == ["7"]


# -- time-outs, checkpoints, kills --------------------------------------------------------------------


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_crewais_time_limit_does_not_cut_it(bank: Bank, never: threading.Event) -> None:
    records = MemoryRecordStore()

    @tool("refund")
    def refund(order_id: str) -> str:
        """Pay an order back."""
        never.wait(30)
        return bank.pay(order_id)

    with ModelServer(Model({"order_id": "A1"})) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr("mas_guard._once.Effect._open", lambda self: records)
        ending = crew_ended(mas_guard.wrap(one_task(server.url, tools=[refund], max_execution_time=1), **ONCE))
        assert isinstance(ending.error, TimeoutError) and not bank.paid
        assert [record.value["state"] for record in records.scan("once")] == ["begun"]
        never.set()
        for thread in threading.enumerate():
            if thread.name.startswith("mas-guard step"):
                thread.join(30)
        (record,) = records.scan("once")
    assert (record.value["state"], record.value["result"]) == ("done", "A1 is paid back")


def in_a_process_of_its_own(url: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crewai.refunding_crew", url, str(folder), *more]
    environment = {**os.environ, "CREWAI_STORAGE_DIR": str(folder / "storage")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_a_process_killed_after_the_effect_leaves_it_unknown_to_the_one_that_goes_on(tmp_path: Path) -> None:
    asks = Model(*TWICE)

    def script(request: Request) -> Reply:
        return text(ANSWERS[RESEARCHER]) if role_of(request) == RESEARCHER else asks(request)

    with ModelServer(script) as server:
        killed = in_a_process_of_its_own(server.url, tmp_path, "die")
        assert killed.returncode == -9, killed.stderr
        resumed = in_a_process_of_its_own(server.url, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    said = json.loads(resumed.stdout.splitlines()[-1])
    assert len(asks.told) == 2 and all(UNKNOWN in answer for answer in asks.told)
    assert any("unknown whether refund happened" in note for note in said["notes"])
    assert len((tmp_path / "book.txt").read_text().splitlines()) == 1


def test_without_its_store_the_model_is_told_and_nothing_has_happened(bank: Bank, way: str) -> None:
    class Lost(MemoryRecordStore):
        driver_errors = (ConnectionError,)

        def put(self, *arguments: Any, **keywords: Any) -> Any:
            raise ConnectionError("gone")

    asks = WAYS[way](TWICE[0])
    with ModelServer(asks) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr("mas_guard._once.Effect._open", lambda self: Lost())
        crew_ended(crew_for(way, server.url, bank.tool()))
    assert bank.paid == []
    assert "not executed" in asks.told[0]
