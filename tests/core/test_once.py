"""A tool with an effect is carried out at most once for each key in a run, and a repeated call is told what came of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import mas_guard
from mas_guard.adapter import Answer, CallOutcome, ToolCall, guard_call
from mas_guard.errors import StoreUnavailable
from mas_guard.once import LONGEST_RESULT
from mas_guard.records import MemoryRecordStore, event_schema
from tests.core.once_calls import (
    UNKNOWN,
    Bank,
    called,
    engine_with,
    failing,
    read,
    run_in,
    tool_call,
)
from tests.fixtures import unguarded_process

__all__ = ["unguarded_process"]


@pytest.fixture
def bank() -> Bank:
    return Bank()


class LostStore(MemoryRecordStore):
    """Records whose server can be taken away."""

    driver_errors = (ConnectionError,)
    place = "redis://somewhere"

    def __init__(self) -> None:
        super().__init__()
        self.lost = False

    def put(self, *arguments: Any, **keywords: Any) -> Any:
        self._reach()
        return super().put(*arguments, **keywords)

    def get(self, *arguments: Any) -> Any:
        self._reach()
        return super().get(*arguments)

    def delete(self, *arguments: Any, **keywords: Any) -> bool:
        self._reach()
        return super().delete(*arguments, **keywords)

    def _reach(self) -> None:
        if self.lost:
            raise ConnectionError("gone")


# -- what one effect is -------------------------------------------------------------------------------


def test_an_equal_call_is_answered_with_the_first_ones_result(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        first = called(run, tool_call(), bank.refund)
        again = guard_call(run, tool_call(), bank.refund, read)
    assert again == Answer(first, "once", result=True)
    assert bank.paid == [17]


def test_other_words_in_the_other_arguments_change_nothing(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        for note in ("as agreed", "as we have agreed on the phone"):
            called(run, tool_call(order_id=17, note=note), bank.refund)
    assert bank.paid == [17]


def test_another_key_is_another_effect(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        for to in ("anna", "ben"):
            called(run, tool_call("send_mail", to=to, subject="Your refund"), lambda to=to: bank.refund(to))
    assert bank.paid == ["anna", "ben"]


def test_another_run_is_another_effect(bank: Bank) -> None:
    engine = engine_with()
    for _ in range(2):
        with run_in(engine) as run:
            called(run, tool_call(), bank.refund)
    assert bank.paid == [17, 17]


def test_a_resumed_run_finds_what_it_has_done(bank: Bank) -> None:
    records = MemoryRecordStore()
    for _ in range(2):
        with run_in(engine_with(records), "r1") as run:
            assert called(run, tool_call(), bank.refund) == "refund 1 of order 17"
    assert bank.paid == [17]


def test_other_tools_happen_as_often_as_they_are_called(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        for _ in range(2):
            called(run, tool_call("look_up", order_id=17), bank.refund)
    assert bank.paid == [17, 17]


def test_a_handoff_is_never_an_effect(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        for _ in range(2):
            called(run, ToolCall("refund", {"order_id": 17}, "desk", is_handoff=True), bank.refund)
    assert bank.paid == [17, 17]


def test_a_call_without_its_key_is_told_which_argument_is_missing(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        answer = called(run, tool_call("send_mail", to="anna"), bank.refund)
        assert run.spent().tool_calls == 0
    assert "subject is missing" in answer and "Call it again with subject" in answer
    assert not bank.paid


def test_equal_calls_at_the_same_time_are_one_effect(bank: Bank) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert go_on.wait(10)
        return bank.refund()

    with run_in(engine_with()) as run:
        worker = threading.Thread(target=called, args=(run, tool_call(), slow))
        worker.start()
        assert entered.wait(10)
        meanwhile = called(run, tool_call(), bank.refund)
        go_on.set()
        worker.join(10)
        later = called(run, tool_call(), bank.refund)
    assert "being carried out by another call of this step; do not repeat it" in meanwhile
    assert later == "refund 1 of order 17"
    assert bank.paid == [17]


def test_twenty_threads_carry_it_out_once(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        ready = threading.Barrier(20)

        def worker() -> None:
            ready.wait(10)
            called(run, tool_call(), bank.refund)

        threads = [threading.Thread(target=worker) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert bank.paid == [17]
        assert run.ledger.read(run.account).held.tool_calls == 0


# -- how it ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [TimeoutError("no answer"), KeyboardInterrupt()], ids=["time-out", "interrupt"])
def test_after_an_error_it_is_unknown_whether_it_happened(bank: Bank, error: BaseException) -> None:
    with run_in(engine_with()) as run:
        with pytest.raises(type(error)):
            called(run, tool_call(), failing(error, bank.refund))
        answer = called(run, tool_call(), bank.refund)
        assert UNKNOWN in answer
        assert any("unknown whether refund happened" in note for note in run.notes)
    assert bank.paid == [17]


def test_an_errors_text_in_place_of_a_result_is_no_result(bank: Bank) -> None:
    call = tool_call()
    with run_in(engine_with()) as run:
        guard_call(run, call, lambda: bank.refund(), lambda value: CallOutcome("Error", substituted=True))
        assert UNKNOWN in called(run, tool_call(), bank.refund)
    assert UNKNOWN in call.told
    assert bank.paid == [17]


class Declined(mas_guard.NoEffect):
    """The bank has said no."""


@pytest.mark.parametrize("error", [mas_guard.NoEffect("declined"), Declined("declined")])
def test_a_tool_that_says_that_nothing_happened_may_be_called_again(bank: Bank, error: Exception) -> None:
    with run_in(engine_with()) as run:
        with pytest.raises(type(error)):
            called(run, tool_call(), failing(error))
        assert called(run, tool_call(), bank.refund) == "refund 1 of order 17"
        assert called(run, tool_call(), bank.refund) == "refund 1 of order 17"
        assert not run.notes


def test_that_nothing_happened_is_believed_where_the_framework_made_a_text_of_the_error(bank: Bank) -> None:
    call = tool_call()

    def handled() -> str:
        call.raised = Declined("declined")
        return "Error: declined"

    with run_in(engine_with()) as run:
        guard_call(run, call, handled, lambda value: CallOutcome(value, substituted=True))
        called(run, tool_call(), bank.refund)
    assert bank.paid == [17]


def test_arguments_that_the_framework_refuses_were_no_effect(bank: Bank) -> None:
    call = tool_call()

    def refused() -> str:
        call.no_effect = True
        raise ValueError("amount is no number")

    with run_in(engine_with()) as run:
        with pytest.raises(ValueError, match="amount"):
            called(run, call, refused)
        called(run, tool_call(), bank.refund)
    assert bank.paid == [17]


def test_a_long_result_is_cut_and_says_so() -> None:
    with run_in(engine_with()) as run:
        called(run, tool_call(), lambda: "x" * (LONGEST_RESULT + 5))
        again = called(run, tool_call(), lambda: "")
    assert again.startswith("x" * LONGEST_RESULT)
    assert f"cut after {LONGEST_RESULT} of {LONGEST_RESULT + 5} characters" in again


# -- what is recorded ---------------------------------------------------------------------------------


def test_that_it_is_begun_is_durable_before_the_tool_is_called() -> None:
    writes: list[tuple[Any, bool]] = []

    class Watched(MemoryRecordStore):
        def put(self, kind: str, key: str, value: Any, *, durable: bool = False, **more: Any) -> Any:
            writes.append((value["state"], durable))
            return super().put(kind, key, value, durable=durable, **more)

    with run_in(engine_with(Watched())) as run:
        called(run, tool_call(), lambda: writes.append(("called", False)))
    assert [state for state, _ in writes] == ["begun", "called", "done"]
    assert writes[0] == ("begun", True)


def test_no_argument_is_in_the_record_and_the_result_is() -> None:
    records = MemoryRecordStore()
    with run_in(engine_with(records), "r1") as run:
        called(run, tool_call(order_id="A-4711", note="private"), lambda: "paid")
    (record,) = records.scan("once")
    written = json.dumps([record.key, record.value])
    assert record.key.startswith("r1:refund:")
    assert record.value["result"] == "paid"
    assert "A-4711" not in written and "private" not in written


def test_a_refused_repeat_gives_its_reserved_call_back(bank: Bank) -> None:
    with run_in(engine_with(budget={"tool_calls": 2})) as run:
        for _ in range(2):
            called(run, tool_call(), bank.refund)
        assert run.spent().tool_calls == 1
        assert run.ledger.read(run.account).held.tool_calls == 0


def test_repeats_count_as_repeats(bank: Bank) -> None:
    with run_in(engine_with()) as run:
        for _ in range(3):
            answer = called(run, tool_call(), bank.refund)
            reply = CallOutcome("", tool_calls=("refund",), usage=mas_guard.types.Usage(1, 1))
            guard_call(run, mas_guard.types.ModelCall("m", "desk"), lambda: None, lambda _, reply=reply: reply)
    assert "already given the same result 2 times" in answer


def test_events_name_the_effect_and_no_contents(bank: Bank, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = tmp_path / "events.jsonl"
    with run_in(engine_with(events=str(path))) as run:
        called(run, tool_call(order_id="A-4711"), bank.refund)
        called(run, tool_call(order_id="A-4711"), bank.refund)
        with pytest.raises(TimeoutError):
            called(run, tool_call(order_id="A-4712"), failing(TimeoutError("A-4712 is slow")))
        called(run, tool_call(order_id="A-4712"), bank.refund)
        called(run, tool_call(note="A-4713"), bank.refund)
        run.engine.close()
    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for event in events:
        jsonschema.validate(event, event_schema())
    states = [event["state"] for event in events if event["event"] == "once"]
    assert states == ["done", "repeated", "unknown", "unknown", "no_key"]
    assert "A-47" not in path.read_text("utf-8")


# -- the store ----------------------------------------------------------------------------------------


def test_without_its_store_the_tool_is_not_called_and_nothing_is_latched(bank: Bank) -> None:
    records = LostStore()
    with run_in(engine_with(records, on_store_error="local")) as run:
        records.lost = True
        with pytest.raises(StoreUnavailable, match=r"refund happens at most once.*redis://somewhere") as caught:
            called(run, tool_call(), bank.refund)
        assert caught.value.store == "redis://somewhere"
        assert isinstance(caught.value.__cause__, ConnectionError)
        assert run.stop is None and not bank.paid
        assert run.ledger.read(run.account).held.tool_calls == 0
        records.lost = False
        assert called(run, tool_call(), bank.refund) == "refund 1 of order 17"


def test_a_store_that_cannot_be_opened_is_a_lost_store(bank: Bank) -> None:
    engine = engine_with(MemoryRecordStore())

    def cannot() -> Any:
        raise OSError("no such host")

    engine.store(engine.policy)._open_records = cannot
    with run_in(engine) as run, pytest.raises(StoreUnavailable):
        called(run, tool_call(), bank.refund)
    assert not bank.paid


def test_a_result_that_the_store_did_not_take_is_written_with_the_next_chance(bank: Bank) -> None:
    records = LostStore()

    def loses_the_store() -> str:
        records.lost = True
        return bank.refund()

    with run_in(engine_with(records), "r1") as run:
        assert called(run, tool_call(), loses_the_store) == "refund 1 of order 17"
        records.lost = False
        assert next(iter(records.scan("once"))).value["state"] == "begun"
        called(run, tool_call(order_id=18), lambda: bank.refund(18))
    with run_in(engine_with(records), "r1") as run:
        assert called(run, tool_call(), bank.refund) == "refund 1 of order 17"
    assert bank.paid == [17, 18]


def test_a_fault_of_our_own_lets_no_effect_through(bank: Bank) -> None:
    class Broken(MemoryRecordStore):
        def put(self, *arguments: Any, **keywords: Any) -> Any:
            raise AttributeError("a bug")

    with run_in(engine_with(Broken())) as run:
        assert "could not be recorded" in called(run, tool_call(), bank.refund)
        assert run.engine.plugins.errors.count == 1
    assert not bank.paid


def test_a_fault_in_the_rest_of_the_guard_lets_no_effect_through_either(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise AttributeError("a bug")

    monkeypatch.setattr("mas_guard._flow.reserve", broken)
    with run_in(engine_with()) as run:
        assert "could not be recorded" in called(run, tool_call(), bank.refund)
        assert called(run, tool_call("look_up"), lambda: "looked up") == "looked up"
    assert not bank.paid


# -- observing ----------------------------------------------------------------------------------------


def test_observing_refuses_nothing_and_records_what_would_have_been(bank: Bank, tmp_path: Path) -> None:
    path, records = tmp_path / "events.jsonl", MemoryRecordStore()
    with run_in(engine_with(records, mode="observe", events=str(path))) as run:
        for _ in range(2):
            called(run, tool_call(), bank.refund)
        called(run, tool_call(note="no key"), bank.refund)
        run.engine.close()
    seen = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = [(event["state"], event["action"]) for event in seen if event["event"] == "once"]
    assert found == [("repeated", "none"), ("no_key", "none")]
    assert bank.paid == [17, 17, 17]
    assert not list(records.scan("once"))


def test_the_rule_alone_can_be_observed(bank: Bank) -> None:
    with run_in(engine_with(rules={"once": {"mode": "observe"}})) as run:
        for _ in range(2):
            called(run, tool_call(), bank.refund)
    assert bank.paid == [17, 17]


# -- the id -------------------------------------------------------------------------------------------


def test_the_tool_is_given_the_same_id_whoever_carries_it_out() -> None:
    ids = []
    for order in (17, 17, 18):
        with run_in(engine_with(), "r1") as run:
            ids.append(called(run, tool_call(order_id=order), mas_guard.effect_id))
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 32 and int(ids[0], 16)


def test_there_is_an_id_where_the_guard_only_observes() -> None:
    with run_in(engine_with(mode="observe")) as run:
        assert len(called(run, tool_call(), mas_guard.effect_id)) == 32


def test_elsewhere_there_is_no_id_and_the_error_says_what_to_set() -> None:
    with pytest.raises(LookupError, match="MAS_GUARD_ONCE_TOOLS=refund:order_id"):
        mas_guard.effect_id()
    assert mas_guard.effect_id(None) is None
    with run_in(engine_with()) as run, pytest.raises(LookupError, match="inside of the tool 'look_up'"):
        called(run, tool_call("look_up"), mas_guard.effect_id)


def test_a_tool_called_by_the_tool_has_no_id_of_it() -> None:
    with run_in(engine_with()) as run:
        inner = called(run, tool_call(), lambda: called(run, tool_call("look_up"), lambda: mas_guard.effect_id("none")))
    assert inner == "none"
