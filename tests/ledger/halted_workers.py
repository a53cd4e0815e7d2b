"""Workers that reserve until their account is halted, as processes of their own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mas_guard.ledger import Grant, Ledger
from mas_guard.testing.ledger_steps import asking, calls
from mas_guard.types import Limits

REFUSALS = 50  # after so many in a row a worker is done


def open_store(url: str) -> Ledger:
    if url.startswith("sqlite:"):
        from mas_guard.ledger.sqlite import SqliteLedger

        return SqliteLedger(url.removeprefix("sqlite://"), timeout=20.0)
    from mas_guard.ledger.redis import RedisLedger

    return RedisLedger(url, timeout=20.0)


def reserve_until_halted(url: str, log: str) -> None:
    """Write down for each reserve when it began, on the machine's clock, and whether it was granted."""
    ledger = open_store(url)
    run = ledger.open("run", Limits(), keep_limits=True)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    refusals = number = 0
    while refusals < REFUSALS:
        number += 1
        began = time.monotonic_ns()
        answer: Any = ledger.reserve(asking(f"{os.getpid()}/{number}", run, calls(1), lease=3600.0))
        granted = isinstance(answer, Grant)
        assert granted or answer.halted
        refusals = 0 if granted else refusals + 1
        os.write(written, f"{began} {int(granted)}\n".encode())


def read_log(log: Path) -> list[tuple[int, bool]]:
    """When each reserve began, and whether it was granted."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(began), granted == "1") for began, granted in map(str.split, lines)]
