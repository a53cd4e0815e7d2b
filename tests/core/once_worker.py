"""One worker of a run that several processes carry out.

    python -m tests.core.once_worker STORE LEDGER ORDERS [die]

Refunds each of the orders by appending a line to the file LEDGER, and prints what each call was answered with. With `die`
it kills itself in the middle of the first refund, after the effect and before anybody knows of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from mas_guard.records import open_records
from tests.core.once_calls import called, engine_with, run_in, tool_call

RUN = "r1"


def work(store: str, ledger: str, orders: list[str], dies: bool) -> list[str]:
    """The answers, order by order."""
    book = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def refund(order: str) -> str:
        os.write(book, f"{order}\n".encode())
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"refunded {order}"

    with run_in(engine_with(open_records(store, timeout=10.0)), RUN) as run:
        return [called(run, tool_call(order_id=order), lambda order=order: refund(order)) for order in orders]


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], sys.argv[2], sys.argv[3].split(","), "die" in sys.argv[4:])))
