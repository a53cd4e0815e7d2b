"""An account that one process halts refuses the very next reserve of every other one."""

from __future__ import annotations

import time

import pytest

from mas_guard.types import Limits
from tests.ledger.halted_workers import open_store, read_log, reserve_until_halted
from tests.ledger.redis_server import PATIENCE, RedisServer
from tests.ledger.redis_workers import running


@pytest.fixture(params=["sqlite", "redis"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/ledger.db"
        return
    with RedisServer() as server:
        yield server.url


def test_no_reserve_is_granted_that_begins_after_the_halt_has_returned(url, tmp_path):
    ledger = open_store(url)
    run = ledger.open("run", Limits(model_calls=10**6))
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    with running(reserve_until_halted, [(url, str(log)) for log in logs]) as workers:
        until = time.monotonic() + PATIENCE
        while not all(len(read_log(log)) > 20 for log in logs):
            assert time.monotonic() < until, "the workers never got going"
        ledger.halt(run)
        halted = time.monotonic_ns()
        for worker in workers:
            worker.join(PATIENCE)
            assert worker.exitcode == 0
    reserves = [reserve for log in logs for reserve in read_log(log)]
    granted = [began for began, was_granted in reserves if was_granted]
    assert max(granted) < halted < max(began for began, _ in reserves)
    assert ledger.read(run).held.model_calls == len(granted)
