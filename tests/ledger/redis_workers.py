"""Workers of a fleet, as processes that a test may kill."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from mas_guard.ledger import Grant
from mas_guard.testing.ledger_steps import asking
from mas_guard.types import Amounts, Limits

HOLD, SPENT = Amounts(100, 1), Amounts(30, 1)
LEASE = 0.3  # seconds; a killed worker's call counts as crashed after these


def processes() -> Any:
    """Starts processes in a few milliseconds, without the threads of the test's own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mas_guard.ledger.redis", "tests.ledger.redis_workers"])
    return context


@contextmanager
def running(target: Any, argument_lists: list[tuple[Any, ...]]) -> Iterator[list[ForkServerProcess]]:
    """Run *target* once for each of *argument_lists*, each in a process of its own; all are gone afterwards."""
    started = [processes().Process(target=target, args=arguments, daemon=True) for arguments in argument_lists]
    try:
        for process in started:
            process.start()
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()


def work_until_killed(url: str, limits: Limits, log: str, seed: int) -> None:
    """Reserve, send, settle, for ever; write down what the ledger has said is settled."""
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(url)
    run, group = ledger.open("run", limits), ledger.open("group", Limits())
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    dice = random.Random(seed)
    number = 0
    while True:
        number += 1
        hold_id = f"{os.getpid()}.{number}"
        found = ledger.reserve(asking(hold_id, (run, group), HOLD, lease=LEASE))
        if isinstance(found, Grant) and dice.random() < 0.9 and ledger.dispatch(hold_id, LEASE):
            settlement = ledger.settle(hold_id, SPENT)
            if settlement.known:
                os.write(written, b".")


def take_calls(url: str, asks: int, model_calls: int, results: str) -> None:
    """Ask *asks* times for one call; write down what was granted."""
    from mas_guard.ledger.redis import RedisLedger

    ledger = RedisLedger(url)
    run = ledger.open("run", Limits(model_calls=model_calls))
    granted = 0
    for number in range(asks):
        hold_id = f"{os.getpid()}.{number}"
        if isinstance(ledger.reserve(asking(hold_id, run, Amounts(50, 1))), Grant):
            assert ledger.dispatch(hold_id, 60.0)
            ledger.settle(hold_id, Amounts(40, 1))
            granted += 1
    Path(results, str(os.getpid())).write_text(str(granted))
