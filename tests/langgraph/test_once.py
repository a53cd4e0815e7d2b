"""LangGraph: a tool with an effect happens at most once a run, whatever retries, resumes and models make of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, RetryPolicy, interrupt

import mas_guard
from mas_guard.records import MemoryRecordStore
from mas_guard.testing import ModelServer, Reply, Request, call, text
from mas_guard_langgraph import _tool
from tests.langgraph.apps import QUESTION, model, talking_node
from tests.langgraph.refunding_app import THREAD

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


def asks(*arguments: dict[str, Any], name: str = "refund") -> Script:
    """Calls the tool once for each of *arguments*, one after the other, and is done."""

    def script(request: Request) -> Reply:
        done = sum(message["role"] == "tool" for message in request.messages)
        return call(name, **arguments[done]) if done < len(arguments) else text("Done.")

    return script


def refund_tool(bank: Bank) -> Any:
    def refund(order_id: str, note: str = "", amount: int = 1) -> str:
        """Pay an order back."""
        return bank.pay(order_id)

    return tool(refund)


def answers(result: Any) -> list[Any]:
    return [message for message in result["messages"] if message.type == "tool"]


def told(result: Any) -> list[str]:
    return [message.content for message in answers(result)]


TWICE = ({"order_id": "A1", "note": "as agreed"}, {"order_id": "A1", "note": "as we agreed by telephone"})


# -- models that ask again ----------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_replanned_call_in_other_words_gets_the_first_ones_result(
    bank: Bank, serve: Any, asynchronous: bool
) -> None:
    app = mas_guard.wrap(create_agent(model(serve(asks(*TWICE))), [refund_tool(bank)], name="desk"), **ONCE)
    result = await app.ainvoke(QUESTION) if asynchronous else app.invoke(QUESTION)
    assert told(result) == ["A1 is paid back"] * 2
    assert [message.status for message in answers(result)] == ["success"] * 2
    assert bank.paid == ["A1"]


def test_an_asynchronous_tool_is_carried_out_once_and_knows_its_id(bank: Bank, serve: Any) -> None:
    async def refund(order_id: str, note: str) -> str:
        """Pay an order back."""
        await asyncio.sleep(0)
        return bank.pay(order_id)

    app = mas_guard.wrap(create_agent(model(serve(asks(*TWICE))), [refund], name="desk"), **ONCE)
    assert told(asyncio.run(app.ainvoke(QUESTION))) == ["A1 is paid back"] * 2
    assert bank.paid == ["A1"] and len(bank.ids[0]) == 32


def test_mails_to_two_people_in_one_step_are_two_effects_and_a_third_to_one_of_them_is_none(serve: Any) -> None:
    sent: list[str] = []

    def send_mail(to: str, words: str) -> str:
        """Send a mail."""
        sent.append(to)
        return f"sent to {to}"

    def script(request: Request) -> Reply:
        if request.messages[-1]["role"] == "tool":
            return text("Done.")
        mails = [
            call("send_mail", to=to, words=words) for to, words in (("anna", "Hi"), ("ben", "Hi"), ("anna", "Hello"))
        ]
        return Reply(tool_calls=[one for mail in mails for one in mail.tool_calls])

    app = mas_guard.wrap(create_agent(model(serve(script)), [send_mail], name="desk"), **ONCE)
    result = app.invoke(QUESTION)
    assert sorted(sent) == ["anna", "ben"]
    assert len(answers(result)) == 3


def test_a_new_message_is_a_new_run_and_another_effect(bank: Bank, serve: Any) -> None:
    def script(request: Request) -> Reply:
        return text("Done.") if request.messages[-1]["role"] == "tool" else call("refund", order_id="A1")

    agent = create_agent(model(serve(script)), [refund_tool(bank)], checkpointer=InMemorySaver(), name="desk")
    app = mas_guard.wrap(agent, **ONCE)
    for _ in range(2):
        app.invoke(QUESTION, THREAD)
    assert bank.paid == ["A1", "A1"] and bank.ids[0] != bank.ids[1]


def test_a_call_without_its_key_is_told_what_is_missing(bank: Bank, serve: Any) -> None:
    def refund(order_id: str = "A1") -> str:
        """Pay an order back."""
        return bank.pay(order_id)

    app = mas_guard.wrap(create_agent(model(serve(asks({}, {"order_id": "A1"}))), [refund], name="desk"), **ONCE)
    first, second = told(app.invoke(QUESTION))
    assert "order_id is missing" in first and second == "A1 is paid back"


def test_observing_changes_nothing(bank: Bank, serve: Any) -> None:
    agent = create_agent(model(serve(asks(*TWICE))), [refund_tool(bank)], name="desk")
    result = mas_guard.wrap(agent, mode="observe", **ONCE).invoke(QUESTION)
    assert bank.paid == ["A1", "A1"] and told(result) == ["A1 is paid back"] * 2


# -- errors and retries -------------------------------------------------------------------------------


def retried(url: str, *tools: Any, checkpointer: Any = None, **node: Any) -> Any:
    """A graph of one's own whose tools run again where they raise."""
    graph = StateGraph(MessagesState)
    chat = model(url).bind_tools(list(tools))
    graph.add_node("desk", talking_node(chat, "desk"))
    policy = RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False, retry_on=Exception)
    graph.add_node("tools", ToolNode(list(tools), **node), retry_policy=policy)
    graph.add_edge(START, "desk")
    graph.add_conditional_edges("desk", tools_condition, ["tools", END])
    graph.add_edge("tools", "desk")
    return graph.compile(checkpointer=checkpointer)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_frameworks_retry_after_a_lost_answer_is_told_that_it_is_unknown(
    bank: Bank, serve: Any, asynchronous: bool
) -> None:
    bank.fails = TimeoutError("the bank did not answer")
    app = mas_guard.wrap(retried(serve(asks({"order_id": "A1"})), refund_tool(bank)), **ONCE)
    result = await app.ainvoke(QUESTION) if asynchronous else app.invoke(QUESTION)
    (answer,) = answers(result)
    assert bank.paid == ["A1"]
    assert UNKNOWN in answer.content and answer.status == "error"
    assert any("unknown whether refund happened" in note for note in mas_guard.outcome(result).notes)


def test_the_frameworks_retry_of_a_tool_that_has_done_nothing_is_let_through(bank: Bank, serve: Any) -> None:
    attempts: list[str] = []

    def refund(order_id: str) -> str:
        """Pay an order back."""
        attempts.append(order_id)
        if len(attempts) == 1:
            raise mas_guard.NoEffect("the bank is closed for a moment")
        return bank.pay(order_id)

    app = mas_guard.wrap(retried(serve(asks({"order_id": "A1"})), tool(refund)), **ONCE)
    assert told(app.invoke(QUESTION)) == ["A1 is paid back"]
    assert len(attempts) == 2 and bank.paid == ["A1"]


def test_a_retry_gives_the_results_of_those_that_were_carried_out(bank: Bank, serve: Any) -> None:
    """Two calls in one step, of which the second fails at first: the node runs again, the refund does not."""
    attempts: list[str] = []

    def look_up(order_id: str) -> str:
        """Look an order up."""
        attempts.append(order_id)
        if len(attempts) < 3:
            raise ConnectionError("try again")
        return "found"

    def script(request: Request) -> Reply:
        if request.messages[-1]["role"] == "tool":
            return text("Done.")
        both = call("refund", order_id="A1"), call("look_up", order_id="A1")
        return Reply(tool_calls=[one for reply in both for one in reply.tool_calls])

    app = mas_guard.wrap(retried(serve(script), refund_tool(bank), tool(look_up)), **ONCE)
    assert told(app.invoke(QUESTION)) == ["A1 is paid back", "found"]
    assert len(attempts) == 3 and bank.paid == ["A1"]


class Declined(ToolException, mas_guard.NoEffect):
    """The bank has said no."""


@pytest.mark.parametrize(
    ("error", "paid"),
    [(ToolException("the line broke"), ["A1"]), (Declined("not today"), ["A1", "A1"])],
    ids=["unknown", "no effect"],
)
def test_an_error_that_langchain_makes_a_text_of_counts_as_what_it_was(
    bank: Bank, serve: Any, error: Exception, paid: list[str]
) -> None:
    bank.fails = error
    refund = refund_tool(bank)
    refund.handle_tool_error = True
    app = mas_guard.wrap(create_agent(model(serve(asks(*TWICE))), [refund], name="desk"), **ONCE)
    first, second = told(app.invoke(QUESTION))
    assert bank.paid == paid
    assert first.startswith(str(error))
    assert (UNKNOWN in first, UNKNOWN in second) == ((len(paid) == 1,) * 2)


@pytest.mark.parametrize("handled", [False, True], ids=["by the tool node", "by the tool"])
def test_arguments_that_are_refused_may_be_put_right(bank: Bank, serve: Any, handled: bool) -> None:
    refund = refund_tool(bank)
    refund.handle_validation_error = handled
    wrong, right = {"order_id": "A1", "amount": "many"}, {"order_id": "A1", "amount": 5}
    app = mas_guard.wrap(create_agent(model(serve(asks(wrong, right))), [refund], name="desk"), **ONCE)
    first, second = told(app.invoke(QUESTION))
    assert second == "A1 is paid back" and bank.paid == ["A1"]
    assert UNKNOWN not in first


def test_arguments_that_a_tool_inside_of_it_refuses_are_none_of_its_own(bank: Bank, serve: Any) -> None:
    inner = refund_tool(Bank())
    inner.name = "pay_out"

    def refund(order_id: str) -> str:
        """Pay an order back."""
        bank.paid.append(order_id)
        return str(inner.run({"order_id": order_id, "amount": "many"}))

    app = mas_guard.wrap(retried(serve(asks({"order_id": "A1"}, {"order_id": "A1"})), tool(refund)), **ONCE)
    first, second = told(app.invoke(QUESTION))
    assert "Please fix the error and try again" in first
    assert UNKNOWN in second and bank.paid == ["A1"]


# -- pauses, resumes, kills ---------------------------------------------------------------------------


def test_a_tool_that_asks_a_person_first_is_carried_out_when_the_run_is_resumed(bank: Bank, serve: Any) -> None:
    def refund(order_id: str) -> str:
        """Pay an order back."""
        if interrupt(f"pay {order_id} back?") != "yes":
            return "nobody wanted it"
        return bank.pay(order_id)

    agent = create_agent(model(serve(asks(*TWICE))), [refund], checkpointer=InMemorySaver(), name="desk")
    app = mas_guard.wrap(agent, **ONCE)
    assert app.invoke(QUESTION, THREAD)["__interrupt__"][0].value == "pay A1 back?"
    assert bank.paid == []
    assert told(app.invoke(Command(resume="yes"), THREAD)) == ["A1 is paid back"] * 2
    assert bank.paid == ["A1"]


def test_a_resume_after_an_error_is_told_that_it_is_unknown(bank: Bank, serve: Any) -> None:
    bank.fails = TimeoutError("the bank did not answer")
    agent = create_agent(
        model(serve(asks({"order_id": "A1"}))), [refund_tool(bank)], checkpointer=InMemorySaver(), name="desk"
    )
    app = mas_guard.wrap(agent, **ONCE)
    with pytest.raises(TimeoutError):
        app.invoke(QUESTION, THREAD)
    (answer,) = told(app.invoke(None, THREAD))
    assert UNKNOWN in answer and bank.paid == ["A1"]


class KeepsTheInputAlone(InMemorySaver):
    """A checkpointer as a kill leaves it that came before anything later was written."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        if metadata["source"] != "input" and not self.all_of_it:
            return config
        return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(self, *arguments: Any) -> None:
        return None

    all_of_it = False


def test_a_resume_from_the_very_first_checkpoint_is_the_same_run(bank: Bank, serve: Any) -> None:
    bank.fails = TimeoutError("the bank did not answer")
    saver = KeepsTheInputAlone()
    app = mas_guard.wrap(
        create_agent(model(serve(asks(*TWICE))), [refund_tool(bank)], checkpointer=saver, name="desk"), **ONCE
    )
    with pytest.raises(TimeoutError):
        app.invoke(QUESTION, THREAD)
    saver.all_of_it = True
    assert all(UNKNOWN in answer for answer in told(app.invoke(None, THREAD)))
    assert bank.paid == ["A1"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_tool_is_not_called_before_the_run_can_be_resumed(
    serve: Any, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    """LangGraph writes checkpoints beside the next step: here one that is not written before the tool waits for it."""
    waiting = threading.Event()
    seen: list[bool] = []

    class Slow(InMemorySaver):
        written = False

        def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
            if metadata["step"] == 1:
                assert waiting.wait(10)
            saved = super().put(config, checkpoint, metadata, new_versions)
            self.written = metadata["step"] == 1
            return saved

        async def aput(self, *arguments: Any) -> Any:
            return await asyncio.to_thread(self.put, *arguments)

    def refund(order_id: str) -> str:
        """Pay an order back."""
        seen.append(saver.written)
        return "paid"

    async def refund_slowly(order_id: str) -> str:
        """Pay an order back."""
        return refund(order_id)

    def watched(run: Any) -> Any:
        waiting.set()
        return wait(run)

    name = "wait_until_saved_async" if asynchronous else "wait_until_saved"
    wait = getattr(_tool, name)
    monkeypatch.setattr(_tool, name, watched)
    saver = Slow()
    pay = tool("refund")(refund_slowly if asynchronous else refund)
    agent = create_agent(model(serve(asks({"order_id": "A1"}))), [pay], checkpointer=saver, name="desk")
    app = mas_guard.wrap(agent, **ONCE)
    _ = await app.ainvoke(QUESTION, THREAD) if asynchronous else app.invoke(QUESTION, THREAD)
    assert seen == [True]


def in_a_process_of_its_own(url: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.langgraph.refunding_app", url, str(folder), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_process_killed_after_the_effect_leaves_it_unknown_to_the_one_that_goes_on(
    tmp_path: Path, serve: Any
) -> None:
    url = serve(asks(*TWICE))
    killed = in_a_process_of_its_own(url, tmp_path, "die")
    assert killed.returncode == -9, killed.stderr
    resumed = in_a_process_of_its_own(url, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    said = json.loads(resumed.stdout.splitlines()[-1])
    assert len(said["told"]) == 2 and all(UNKNOWN in answer for answer in said["told"])
    assert any("unknown whether refund happened" in note for note in said["notes"])
    assert len((tmp_path / "book.txt").read_text().splitlines()) == 1


async def test_a_client_that_goes_away_lets_the_refund_run_to_its_end(bank: Bank, serve: Any) -> None:
    entered, go_on, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def refund(order_id: str) -> str:
        """Pay an order back."""
        entered.set()
        try:
            await go_on.wait()
            return bank.pay(order_id)
        finally:
            left.set()

    agent = create_agent(model(serve(asks(*TWICE))), [refund], checkpointer=InMemorySaver(), name="desk")
    app = mas_guard.wrap(agent, **ONCE)
    request = asyncio.create_task(app.ainvoke(QUESTION, THREAD))
    await entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not left.is_set()
    go_on.set()
    await left.wait()
    assert told(await app.ainvoke(None, THREAD)) == ["A1 is paid back"] * 2
    assert bank.paid == ["A1"]


async def test_the_graphs_own_time_out_of_a_step_does_not_cut_it(bank: Bank, serve: Any) -> None:
    go_on, left = asyncio.Event(), asyncio.Event()

    async def refund(order_id: str) -> str:
        """Pay an order back."""
        try:
            await go_on.wait()
            return bank.pay(order_id)
        finally:
            left.set()

    agent = create_agent(model(serve(asks(*TWICE))), [refund], checkpointer=InMemorySaver(), name="desk")
    app = mas_guard.wrap(agent, **ONCE)
    app.step_timeout = 0.5
    with pytest.raises(TimeoutError):
        await app.ainvoke(QUESTION, THREAD)
    assert not left.is_set()
    go_on.set()
    await left.wait()
    app.step_timeout = None
    assert told(await app.ainvoke(None, THREAD)) == ["A1 is paid back"] * 2
    assert bank.paid == ["A1"]


# -- the store and people -----------------------------------------------------------------------------


def test_without_its_store_the_app_raises_and_a_resume_carries_on(
    bank: Bank, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(MemoryRecordStore):
        driver_errors = (ConnectionError,)

        def put(self, *arguments: Any, **keywords: Any) -> Any:
            raise ConnectionError("gone")

    agent = create_agent(
        model(serve(asks({"order_id": "A1"}))), [refund_tool(bank)], checkpointer=InMemorySaver(), name="desk"
    )
    app = mas_guard.wrap(agent, **ONCE)
    with monkeypatch.context() as patched:
        patched.setattr("mas_guard._once.Effect._open", lambda self: Lost())
        with pytest.raises(mas_guard.StoreUnavailable):
            app.invoke(QUESTION, THREAD)
    assert bank.paid == []
    assert told(app.invoke(None, THREAD)) == ["A1 is paid back"]


def test_with_interrupts_as_the_channel_the_app_waits_for_a_person_to_say_whether_it_happened(
    bank: Bank, serve: Any, queue: dict[str, Any]
) -> None:
    bank.fails = TimeoutError("the bank did not answer")
    agent = create_agent(
        model(serve(asks({"order_id": "A1"}))), [refund_tool(bank)], checkpointer=InMemorySaver(), name="desk"
    )
    app = mas_guard.wrap(agent, review={**queue, "channel": "interrupt"}, **ONCE)
    with pytest.raises(TimeoutError):
        app.invoke(QUESTION, THREAD)
    (pause,) = app.invoke(None, THREAD)["__interrupt__"]
    assert pause.value["shown"]["tool"] == "refund" and "unknown" in pause.value["shown"]
    bank.fails = None
    result = app.invoke(Command(resume={"decision": "answer", "result": "refund re_1", "by": "anna"}), THREAD)
    assert told(result) == ["refund re_1"] and bank.paid == ["A1"]
