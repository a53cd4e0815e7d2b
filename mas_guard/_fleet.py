"""What an operator sees of all runs of a store, and does to them from outside: list, show, stop, top up."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mas_guard._resuming import TopUps
from mas_guard._run_record import RUNS, limits_from
from mas_guard._store import Store
from mas_guard.errors import GuardError
from mas_guard.ledger import Account, Balance
from mas_guard.records.store import Record
from mas_guard.types import Amounts, Limits

LOST = "aborted (worker lost)"
GRACE = 60.0
"""Seconds after its deadline from which a run without an outcome counts as lost: a step may run over."""

ENDED = ("completed", "partial", "escalated", "aborted")
AMBIGUOUS = 5  # runs that are named where a beginning of an id fits several


class RunNotFound(GuardError):
    """There is no such run, or several: `.run_id` is what was asked for."""

    run_id: str = ""


class RunEnded(GuardError):
    """The run has ended or only observes, so that it cannot be stopped: `.status`."""

    status: str = ""


@dataclass(frozen=True, slots=True)
class FoundRun:
    """One run as the store knows it.

    Attributes:
        id: Its id.
        status: running, suspended, stopping, completed, partial, escalated, aborted, or `LOST`.
        value: Its record.
        began: When it began, in seconds since the epoch.
    """

    id: str
    status: str
    value: Mapping[str, Any]
    began: float


def runs(store: Store, *, most: int, going: bool = False, group: str = "") -> list[FoundRun]:
    """The runs of *store*, those that began last first, at most *most*; only those without an end, or of one group."""
    found = (_found(record) for record in store.records.scan(RUNS))
    return list(islice(_wanted(found, going, group), most))


def _wanted(found: Iterator[FoundRun], going: bool, group: str) -> Iterator[FoundRun]:
    for run in found:
        if going and (run.status in ENDED or run.status == LOST):
            continue
        if group and group not in run.value.get("groups", ()):
            continue
        yield run


def run_of(store: Store, run_id: str) -> FoundRun:
    """The run with that id, or the one whose id begins so.

    Raises:
        RunNotFound: There is none, or more than one.
    """
    record = store.records.get(RUNS, run_id)
    if record is not None:
        return _found(record)
    found = list(islice(store.records.scan(RUNS, run_id), AMBIGUOUS)) if run_id else []
    if len(found) == 1:
        return _found(found[0])
    if found:
        names = ", ".join(record.key for record in found)
        raise RunNotFound(f"Several runs begin with {run_id!r}: {names}. Give more of the id.", run_id=run_id)
    raise RunNotFound(
        f"No run {run_id!r} is known in {store.place}. `mas-guard runs list` shows those that are; runs of a process "
        "whose STORE is another one, or memory://, are not among them.",
        run_id=run_id,
    )


def balance_of(store: Store, run: FoundRun) -> Balance | None:
    """How the run's account stands; `None` where it was forgotten."""
    return next(
        (balance for scope, balance in store.ledger.balances(run.value["scope"]) if scope == run.value["scope"]), None
    )


def stop_run(store: Store, run_id: str, *, reason: str = "", by: str = "", abort: bool = False) -> FoundRun:
    """Stop a run wherever it is: its next call is refused in every process, and what ON_LIMIT says follows.

    Args:
        store: Where the run is kept.
        run_id: Its id, or the beginning of it.
        reason: Why, for the outcome.
        by: Who stops it.
        abort: Leave no turn to the owner: abort at once.

    Raises:
        RunNotFound: There is no such run.
        RunEnded: It has its outcome already, or it only observes.
    """
    run = run_of(store, run_id)
    if run.value.get("mode") != "enforce":
        raise RunEnded(
            f"Run {run.id} is in mode {run.value.get('mode')}: nothing of it is ever refused.", status=run.status
        )
    why = f" ({reason})" if reason else ""
    stop: dict[str, Any] = {
        "rule": "operator",
        "kind": "GuardStopped",
        "message": f"Run {run.id} was stopped from outside{f' by {by}' if by else ''}{why}. To let it go on: "
        f"mas-guard runs top-up {run.id[:12]}, and resume it.",
        "fields": {},
    }
    if abort:
        stop["actions"] = []

    def latch(value: dict[str, Any]) -> dict[str, Any] | None:
        return None if value.get("stop") or value.get("status") in ENDED else {**value, "stop": stop}

    record = store.records.change(RUNS, run.id, latch)
    value = record.value if record is not None else {}
    if value.get("status") in ENDED:
        raise RunEnded(f"Run {run.id} has ended: {value.get('status')}. Nothing is left to stop.", status=run.status)
    with _OpenAccount(store, run) as account:
        store.ledger.halt(account)
    return run_of(store, run.id)


def top_up_run(store: Store, run_id: str, amounts: Amounts, *, hops: int = 0, seconds: float = 0.0) -> FoundRun:
    """Raise a run's limits and lift its stop: one that goes on has more at once, one that was stopped with its resume.

    Raises:
        RunNotFound: There is no such run.
    """
    run = run_of(store, run_id)

    def raise_limits(value: dict[str, Any]) -> dict[str, Any]:
        more = TopUps.restored(value.get("top_ups")).plus(amounts, hops, seconds)
        *limits, hop_limit, deadline = value["limits"]
        raised = [None if limit is None else limit + extra for limit, extra in zip(limits, amounts, strict=True)]
        raised += [None if hop_limit is None else hop_limit + hops, None if deadline is None else deadline + seconds]
        ends = value.get("deadline")
        return {
            **value, "top_ups": more.saved(), "limits": raised, "stop": None,
            "deadline": None if ends is None else ends + seconds,
        }  # fmt: skip

    record = store.records.change(RUNS, run.id, raise_limits)
    if record is not None and record.value.get("mode") == "enforce":
        with _OpenAccount(store, run) as account:
            store.ledger.set_limits(account, limits_from(record.value["limits"]))
            store.ledger.halt(account, False)
    return run_of(store, run.id)


class _OpenAccount:
    """The run's account, opened for a moment."""

    def __init__(self, store: Store, run: FoundRun) -> None:
        self._ledger = store.ledger
        value = run.value
        limits = limits_from(value["limits"]) if value.get("limits") else Limits()
        self._account = self._ledger.open(value["scope"], limits, keep_limits=True, root=value.get("root", ""))

    def __enter__(self) -> Account:
        return self._account

    def __exit__(self, *_: object) -> None:
        self._ledger.close(self._account)


def _found(record: Record) -> FoundRun:
    value = record.value
    status = str(value.get("status", "running"))
    if status == "running" and _is_lost(value):
        status = LOST
    elif status == "running" and value.get("stop"):
        status = "stopping"
    return FoundRun(record.key, status, value, float(value.get("began", record.made_at)))


def _is_lost(value: Mapping[str, Any]) -> bool:
    process = value.get("process") or {}
    if process.get("host") == socket.gethostname() and not _is_alive(int(process.get("pid", 0))):
        return True
    ends = value.get("deadline")
    return ends is not None and time.time() > ends + GRACE


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
