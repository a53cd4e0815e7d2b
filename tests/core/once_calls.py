"""Calls of tools with an effect, as an adapter makes them, and a bank that counts what has really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mas_guard._engine import Engine
from mas_guard._run import Run, current_run
from mas_guard._store import Store
from mas_guard.adapter import Answer, CallOutcome, ToolCall, guard_call, guard_call_async
from mas_guard.config import load_policy
from mas_guard.ledger import MemoryLedger
from mas_guard.records import RecordStore

SETTINGS = {"once_tools": ["refund:order_id", "send_mail:to+subject"], "once_store": "memory"}
UNKNOWN = "unknown whether it happened; do not repeat"


class Bank:
    """Pays back, and remembers it."""

    def __init__(self) -> None:
        self.paid: list[Any] = []

    def refund(self, order_id: Any = 17, **more: Any) -> str:
        self.paid.append(order_id)
        return f"refund {len(self.paid)} of order {order_id}"


def engine_with(records: RecordStore | None = None, **settings: Any) -> Engine:
    """A process of its own, as far as the guard goes; several share *records*."""
    policy = load_policy({**SETTINGS, **settings, **({"once_store": None, "store": "sqlite:///x"} if records else {})})
    if records is None:
        return Engine(policy)
    return Engine(policy, store=Store(MemoryLedger(), lambda: records, shared=True, place="a test's store"))


@contextmanager
def run_in(engine: Engine, run_id: str = "") -> Iterator[Run]:
    """A run, or, with the id of one that was, its resume."""
    run = Run(engine, engine.policy, run_id=run_id)
    token = current_run.set(run)
    try:
        yield run
    finally:
        current_run.reset(token)


def tool_call(tool: str = "refund", **arguments: Any) -> ToolCall:
    return ToolCall(tool, arguments or {"order_id": 17}, "desk")


def read(value: Any) -> CallOutcome:
    return CallOutcome(str(value))


def called(run: Run, call: ToolCall, send: Callable[[], Any]) -> Any:
    """The tool's result, or the text that answers it."""
    found = guard_call(run, call, send, read)
    return found.text if isinstance(found, Answer) else found


async def called_async(run: Run, call: ToolCall, send: Callable[[], Any]) -> Any:
    found = await guard_call_async(run, call, send, read)
    return found.text if isinstance(found, Answer) else found


def failing(error: BaseException, first: Callable[[], Any] = lambda: None) -> Callable[[], Any]:
    """A tool's body that raises, after it has done *first*."""

    def body() -> Any:
        first()
        raise error

    return body
