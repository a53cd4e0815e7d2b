"""Several processes on one run, and processes that are killed: each effect happens at most once, on every shared store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mas_guard.once import Process, this_process
from mas_guard.records import open_records
from tests.core.once_calls import UNKNOWN, engine_with, run_in, tool_call
from tests.core.once_calls import called as call_tool
from tests.core.once_worker import RUN, work
from tests.fixtures import unguarded_process
from tests.ledger.redis_server import RedisServer

__all__ = ["unguarded_process"]

ROOT = Path(__file__).parent.parent.parent
WORKERS, ORDERS = 4, 12


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store that processes share."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/records.db"
        return
    with RedisServer(durable=True) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.txt"


def start(store: str, ledger: Path, orders: list[str], *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.core.once_worker", store, str(ledger), ",".join(orders), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_four_processes_on_one_run_carry_each_effect_out_once(store: str, ledger: Path) -> None:
    orders = [f"order-{number}" for number in range(ORDERS)]
    workers = [start(store, ledger, orders) for _ in range(WORKERS)]
    answers = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    assert sorted(ledger.read_text().split()) == sorted(orders)
    for number, order in enumerate(orders):
        told = [answer[number] for answer in answers]
        assert f"refunded {order}" in told
        assert all(answer == f"refunded {order}" or UNKNOWN in answer for answer in told)


def test_after_a_kill_between_effect_and_record_the_resumed_run_is_told_that_it_is_unknown(
    store: str, ledger: Path
) -> None:
    killed = start(store, ledger, ["order-1"], "die")
    killed.communicate(timeout=120)
    assert killed.returncode == -9
    assert ledger.read_text().split() == ["order-1"]
    with run_in(engine_with(open_records(store)), RUN) as run:
        answer = call_tool(run, tool_call(order_id="order-1"), lambda: pytest.fail("it happened twice"))
        assert UNKNOWN in answer
        assert any("unknown whether refund happened" in note and "is gone" in note for note in run.notes)
    again = start(store, ledger, ["order-1", "order-2"])
    told = json.loads(again.communicate(timeout=120)[0])
    assert UNKNOWN in told[0] and told[1] == "refunded order-2"
    assert ledger.read_text().split() == ["order-1", "order-2"]


def test_what_another_process_has_done_is_answered_with_its_result(store: str, ledger: Path) -> None:
    start(store, ledger, ["order-1"]).communicate(timeout=120)
    assert work(store, str(ledger), ["order-1"], dies=False) == ["refunded order-1"]
    assert ledger.read_text().split() == ["order-1"]


def test_an_effect_that_a_live_process_has_begun_opens_no_review(tmp_path: Path) -> None:
    """A worker that waits in its tool is there still: nobody has to look into it."""
    records = open_records(f"sqlite:///{tmp_path}/records.db")
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        me = this_process()
        other = Process("another", me.host, waiting.pid, _began(waiting.pid))
        review = {"channel": "queue", "store": f"sqlite:///{tmp_path}/reviews.db"}
        engine = engine_with(records, review=review)
        with run_in(engine, RUN) as run:
            call_tool(run, tool_call(), lambda: "paid")
            (record,) = records.scan("once")
            records.put("once", record.key, {**record.value, "state": "begun", "by": other._asdict()})
            answer = call_tool(run, tool_call(), lambda: pytest.fail("it happened twice"))
            assert "by another worker of this run" in answer and UNKNOWN in answer
            assert not engine.desk(engine.policy).of_run(RUN)
        waiting.kill()
        waiting.wait(10)
        with run_in(engine, RUN) as run:
            assert UNKNOWN in call_tool(run, tool_call(), lambda: pytest.fail("it happened twice"))
            assert len(engine.desk(engine.policy).of_run(RUN)) == 1
    finally:
        waiting.kill()
        waiting.wait(10)


def _began(pid: int) -> str:
    from mas_guard.once.process import _began

    began = _began(pid)
    if not began:
        pytest.skip("this system does not say when a process began")
    return began
