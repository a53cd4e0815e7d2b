"""Agents SDK: a tool with an effect happens at most once a run, whatever resumes, time-outs and models make of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Runner, function_tool
from agents.exceptions import AgentsException

import mas_guard
from mas_guard.records import MemoryRecordStore
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.openai_agents import refunding_app
from tests.openai_agents.apps import APIS, QUESTION, WAYS, model
from tests.openai_agents.refunding_app import begin

ROOT = Path(__file__).parents[2]
UNKNOWN = "unknown whether it happened; do not repeat"
ONCE = {"once_tools": ["refund:order_id", "send_mail:to"], "once_store": "memory"}
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


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], str]]:
    servers: list[ModelServer] = []

    def start(script: Script) -> str:
        servers.append(ModelServer(script))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


def tools_answered(request: Request) -> int:
    return sum(
        message.get("role") == "tool" or message.get("type") == "function_call_output" for message in request.messages
    )


def asks(*arguments: dict[str, Any], name: str = "refund") -> Script:
    """Calls the tool once for each of *arguments*, one after the other, and is done."""

    def script(request: Request) -> Reply:
        done = tools_answered(request)
        return call(name, **arguments[done]) if done < len(arguments) else text("Done.")

    return script


def refund_tool(bank: Bank, *, asynchronous: bool = False, **options: Any) -> Any:
    if asynchronous:

        @function_tool(name_override="refund", strict_mode=False, **options)
        async def refund_slowly(order_id: str, note: str = "", amount: int = 1) -> str:
            """Pay an order back."""
            await asyncio.sleep(0)
            return bank.pay(order_id)

        return refund_slowly

    @function_tool(strict_mode=False, **options)
    def refund(order_id: str, note: str = "", amount: int = 1) -> str:
        """Pay an order back."""
        return bank.pay(order_id)

    return refund


def desk(url: str, *tools: Any, api: str = "chat", **settings: Any) -> Agent[Any]:
    agent = Agent[Any](name="desk", instructions="You pay.", model=model(url, api), tools=list(tools))
    return mas_guard.wrap(agent, **{**ONCE, **settings})


async def told(agent: Agent[Any], given: Any = QUESTION, way: str = "run") -> list[str]:
    """What the tool calls of one run were answered with."""
    if way == "run_streamed":
        result: Any = Runner.run_streamed(agent, given)
        async for _ in result.stream_events():
            pass
    elif way == "run_sync":
        result = await asyncio.to_thread(in_a_loop_of_its_own, agent, given)
    else:
        result = await Runner.run(agent, given)
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


def in_a_loop_of_its_own(agent: Agent[Any], given: Any) -> Any:
    asyncio.set_event_loop(asyncio.new_event_loop())
    return Runner.run_sync(agent, given)


TWICE = ({"order_id": "A1", "note": "as agreed"}, {"order_id": "A1", "note": "as we agreed by telephone"})


# -- models that ask again ----------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync tool", "async tool"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("api", APIS)
async def test_a_replanned_call_in_other_words_gets_the_first_ones_result(
    bank: Bank, serve: Any, api: str, way: str, asynchronous: bool
) -> None:
    agent = desk(serve(asks(*TWICE)), refund_tool(bank, asynchronous=asynchronous), api=api)
    assert await told(agent, way=way) == ["A1 is paid back"] * 2
    assert bank.paid == ["A1"] and len(bank.ids[0]) == 32


async def test_mails_to_two_people_in_one_step_are_two_effects_and_a_third_to_one_of_them_is_none(serve: Any) -> None:
    sent: list[str] = []

    @function_tool
    async def send_mail(to: str, words: str) -> str:
        """Send a mail."""
        sent.append(to)
        await asyncio.sleep(0)
        return f"sent to {to}"

    def script(request: Request) -> Reply:
        if tools_answered(request):
            return text("Done.")
        mails = [
            call("send_mail", to=to, words=words) for to, words in (("anna", "Hi"), ("ben", "Hi"), ("anna", "Hello"))
        ]
        return Reply(tool_calls=[one for mail in mails for one in mail.tool_calls])

    answers = await told(desk(serve(script), send_mail))
    assert sorted(sent) == ["anna", "ben"]
    assert len(answers) == 3


async def test_a_second_run_is_another_effect(bank: Bank, serve: Any) -> None:
    agent = desk(serve(asks({"order_id": "A1"})), refund_tool(bank))
    for _ in range(2):
        await told(agent)
    assert bank.paid == ["A1", "A1"] and bank.ids[0] != bank.ids[1]


async def test_a_call_without_its_key_is_told_what_is_missing(bank: Bank, serve: Any) -> None:
    @function_tool(strict_mode=False)
    def refund(order_id: str = "A1") -> str:
        """Pay an order back."""
        return bank.pay(order_id)

    first, second = await told(desk(serve(asks({}, {"order_id": "A1"})), refund))
    assert "order_id is missing" in first and second == "A1 is paid back"


async def test_observing_changes_nothing(bank: Bank, serve: Any) -> None:
    agent = desk(serve(asks(*TWICE)), refund_tool(bank), mode="observe")
    assert await told(agent) == ["A1 is paid back"] * 2
    assert bank.paid == ["A1", "A1"]


async def test_other_tools_are_left_as_they_are(serve: Any) -> None:
    seen: list[str] = []

    @function_tool
    def look_up(order_id: str) -> str:
        """Look an order up."""
        seen.append(order_id)
        return "found"

    assert await told(desk(serve(asks(*[{"order_id": "A1"}] * 2, name="look_up")), look_up)) == ["found"] * 2
    assert seen == ["A1", "A1"]


# -- errors -------------------------------------------------------------------------------------------


def in_own_words(context: Any, error: Exception) -> str:
    return "It did not work. Please try again."


@pytest.mark.parametrize("options", [{}, {"failure_error_function": in_own_words}], ids=["the SDK's", "the app's"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync tool", "async tool"])
async def test_an_error_that_was_made_a_text_is_told_as_unknown(
    bank: Bank, serve: Any, options: dict[str, Any], asynchronous: bool
) -> None:
    bank.fails = TimeoutError("the bank did not answer")
    agent = desk(serve(asks(*TWICE)), refund_tool(bank, asynchronous=asynchronous, **options))
    result = await Runner.run(agent, QUESTION)
    first, second = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert "try again" in first and UNKNOWN in first
    assert UNKNOWN in second
    assert bank.paid == ["A1"]
    assert any("unknown whether refund happened" in note for note in mas_guard.outcome(result).notes)


@pytest.mark.parametrize("options", [{}, {"failure_error_function": in_own_words}], ids=["the SDK's", "the app's"])
async def test_a_tool_that_has_done_nothing_may_be_called_again(
    bank: Bank, serve: Any, options: dict[str, Any]
) -> None:
    attempts: list[str] = []

    @function_tool(**options)
    def refund(order_id: str, note: str) -> str:
        """Pay an order back."""
        attempts.append(order_id)
        if len(attempts) == 1:
            raise mas_guard.NoEffect("the bank is closed for a moment")
        return bank.pay(order_id)

    first, second = await told(desk(serve(asks(*TWICE)), refund))
    assert UNKNOWN not in first and second == "A1 is paid back"
    assert bank.paid == ["A1"]


@pytest.mark.parametrize("options", [{}, {"failure_error_function": in_own_words}], ids=["the SDK's", "the app's"])
async def test_arguments_that_are_refused_may_be_put_right(bank: Bank, serve: Any, options: dict[str, Any]) -> None:
    wrong, right = {"order_id": "A1", "amount": "many"}, {"order_id": "A1", "amount": 5}
    first, second = await told(desk(serve(asks(wrong, right)), refund_tool(bank, **options)))
    assert UNKNOWN not in first and second == "A1 is paid back"
    assert bank.paid == ["A1"]


async def test_the_same_error_from_the_tools_own_code_is_no_refusal(bank: Bank, serve: Any) -> None:
    from agents.exceptions import ModelBehaviorError

    bank.fails = ModelBehaviorError("a model inside of the tool misbehaved")
    _, second = await told(desk(serve(asks(*TWICE)), refund_tool(bank)))
    assert UNKNOWN in second and bank.paid == ["A1"]


# -- time-outs and clients that go away ---------------------------------------------------------------


class SlowBank(Bank):
    """Pays back in two moves, with a wait between them."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def tool(self, **options: Any) -> Any:
        @function_tool(**options)
        async def refund(order_id: str, note: str) -> str:
            """Pay an order back."""
            self.entered.set()
            try:
                await self.go_on.wait()
                return self.pay(order_id)
            finally:
                self.left.set()

        return refund


def own_time_out(context: Any, error: Exception) -> str:
    return "It took too long."


@pytest.mark.parametrize("options", [{}, {"timeout_error_function": own_time_out}], ids=["the SDK's", "the app's"])
async def test_a_tools_own_time_out_does_not_cut_it_and_its_result_is_recorded_when_it_ends(
    serve: Any, options: dict[str, Any]
) -> None:
    bank = SlowBank()

    def script(request: Request) -> Reply:
        if tools_answered(request) == 2:
            loop.call_soon_threadsafe(bank.go_on.set)
            asyncio.run_coroutine_threadsafe(bank.left.wait(), loop).result(10)
        return asks(*TWICE, TWICE[0])(request)

    loop = asyncio.get_running_loop()
    first, second, third = await told(desk(serve(script), bank.tool(timeout=0.05, **options)))
    assert "too long" in first or "timed out" in first
    assert UNKNOWN in first
    assert "being carried out by another call" in second
    assert third == "A1 is paid back"
    assert bank.paid == ["A1"]


async def test_a_client_that_goes_away_lets_the_refund_run_to_its_end(serve: Any) -> None:
    bank = SlowBank()
    agent = desk(serve(asks(*TWICE)), bank.tool())
    request = asyncio.create_task(told(agent))
    await bank.entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not bank.left.is_set()
    bank.go_on.set()
    await bank.left.wait()
    assert bank.paid == ["A1"]


async def test_another_tool_that_fails_meanwhile_does_not_cut_it(serve: Any) -> None:
    """The SDK cancels the other tools of a step when one of them raises."""
    bank = SlowBank()

    @function_tool(failure_error_function=None)
    async def look_up(order_id: str) -> str:
        """Look an order up."""
        await bank.entered.wait()
        raise ConnectionError("the catalogue is away")

    def script(request: Request) -> Reply:
        both = call("refund", order_id="A1", note=""), call("look_up", order_id="A1")
        return Reply(tool_calls=[one for reply in both for one in reply.tool_calls])

    with pytest.raises((ConnectionError, AgentsException)):
        await told(desk(serve(script), bank.tool(), look_up))
    assert not bank.paid
    bank.go_on.set()
    await bank.left.wait()
    assert bank.paid == ["A1"]


# -- resumes and kills --------------------------------------------------------------------------------


def in_a_process_of_its_own(url: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.openai_agents.refunding_app", url, str(folder), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


async def test_a_state_that_is_resumed_twice_pays_once(tmp_path: Path, serve: Any) -> None:
    url = serve(asks(*TWICE))
    await begin(url, tmp_path)
    for _ in range(2):
        assert await refunding_app.go_on(url, tmp_path) == ["A1 is paid back"] * 2
    assert len((tmp_path / "book.txt").read_text().splitlines()) == 1


async def test_a_process_killed_after_the_effect_leaves_it_unknown_to_the_one_that_goes_on(
    tmp_path: Path, serve: Any
) -> None:
    url = serve(asks(*TWICE))
    await begin(url, tmp_path)
    killed = await asyncio.to_thread(in_a_process_of_its_own, url, tmp_path, "die")
    assert killed.returncode == -9, killed.stderr
    resumed = await asyncio.to_thread(in_a_process_of_its_own, url, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    answers = json.loads(resumed.stdout.splitlines()[-1])
    assert len(answers) == 2 and all(UNKNOWN in answer for answer in answers)
    assert len((tmp_path / "book.txt").read_text().splitlines()) == 1


async def test_without_its_store_the_run_raises_and_nothing_has_happened(
    bank: Bank, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(MemoryRecordStore):
        driver_errors = (ConnectionError,)

        def put(self, *arguments: Any, **keywords: Any) -> Any:
            raise ConnectionError("gone")

    monkeypatch.setattr("mas_guard._once.Effect._open", lambda self: Lost())
    with pytest.raises(mas_guard.StoreUnavailable):
        await told(desk(serve(asks(*TWICE)), refund_tool(bank)))
    assert bank.paid == []
