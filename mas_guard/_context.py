"""Carries a run over a process boundary, as W3C baggage: HTTP headers, a queue's message, a child's environment.

With a store that both processes see, the other one takes part in the run: budget, hops, stop, owner and deadline are one.
With the memory store it gets the run's id, hops and spend as they were when it was injected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote, unquote

from mas_guard._carried import is_whole
from mas_guard._clock import ActiveClock
from mas_guard._group import Group, current_groups
from mas_guard._run import Run, current_run
from mas_guard._run_record import limits_from
from mas_guard._saved_run import restore_path
from mas_guard.types import Limits

HEADER = "baggage"
MEMBER = "mas-guard"
ENVIRONMENT = "BAGGAGE"
"""The variable in which a child process finds what is in the header elsewhere."""

PATH_CARRIED = 4


def inject(carrier: MutableMapping[str, str], *, header: str = HEADER) -> None:
    """Add the current run and its groups to *carrier* (such as HTTP headers), beside other baggage.

    Outside of runs and groups nothing is added. From then on the run counts as shared: without its store nothing more
    is granted to it. Send it to services of your own only: whoever has it can spend the run's budget.

    Raises:
        StoreUnavailable: The store is lost, so that the run cannot be shared.
    """
    run, groups = current_run.get(), current_groups.get()
    if run is None and not groups:
        return
    state: dict[str, Any] = {"v": 1}
    if run is not None:
        groups = run.groups
        state = _injected(run)
    if groups and (run is None or run.store.shared):
        state["groups"] = [group.injected() for group in groups]
    member = f"{MEMBER}={quote(json.dumps(state, separators=(',', ':')), safe='')}"
    name = next((key for key in carrier if key.lower() == header.lower()), header)
    others = [part for part in carrier.get(name, "").split(",") if part.strip() and not _ours(part)]
    carrier[name] = ",".join([*others, member])


def _injected(run: Run) -> dict[str, Any]:
    run.record.share()
    state = run.snapshot()
    for local in ("agents", "stop", "approvals"):
        state.pop(local, None)
    state["path"] = state["path"][-PATH_CARRIED:]
    state["tenant"] = run.tenant
    state["at"] = run.engine.wall()
    if run.store.shared:
        state["origin"] = run.ledger.origin(run.account)
    return state


@contextmanager
def extract(carrier: Mapping[str, str], *, header: str = HEADER, **overrides: Any) -> Iterator[Run | None]:
    """Take part, for a block, in the run that *carrier* brings; yields `None` where it brings none.

    What cannot be read is treated as absent: a stranger's header never breaks the app.

    Raises:
        StoreUnavailable: The run is shared and its store is lost, or was emptied since: nothing is granted anew.
    """
    state = _read(carrier, header)
    if state is None:
        yield None
        return
    with ExitStack() as stack:
        yield _enter(state, overrides, stack)


def _enter(state: Mapping[str, Any], overrides: Mapping[str, Any], stack: ExitStack) -> Run | None:
    from mas_guard._guard import shared_guard
    from mas_guard.config import load_policy

    guard = shared_guard()
    groups = tuple(
        Group(guard.engine, str(group["name"]), Limits(*group["limits"]), joins=group)
        for group in state.get("groups", ())
    )
    if groups:
        token = current_groups.set((*current_groups.get(), *groups))
        stack.callback(current_groups.reset, token)
    if not state.get("id"):
        return None
    policy = guard.process_policy if guard.process_policy is not None and not overrides else load_policy(overrides)
    guard.arm_loaded()
    run = guard.open_run(
        policy, run_id=str(state["id"]), tenant=str(state["tenant"]) if state.get("tenant") else None, joins=state
    )
    _take_over(run, state)
    token_of_run = current_run.set(run)
    stack.callback(_leave, run)
    stack.callback(current_run.reset, token_of_run)
    return run


def _take_over(run: Run, state: Mapping[str, Any]) -> None:
    if not run.record.joined:
        run.restore(state)
        if run.store.shared is False and state.get("origin"):
            run.note(
                "the run was brought from a process with a shared store; here STORE is memory://, so its budget is not"
            )
        return
    restore_path(run, state)
    *_, hop_limit, deadline = state["limits"]
    run.limits = limits_from(state["limits"])
    run.extra_hops = 0 if hop_limit is None or run.policy.max_hops is None else hop_limit - run.policy.max_hops
    since = max(0.0, run.engine.wall() - float(state.get("at", 0.0)))
    run.clock = ActiveClock(deadline, already=float(state.get("elapsed", 0.0)) + since, now=run.engine.now)
    run.record.look()  # it may have been stopped meanwhile
    run.engine.event(run, "run_joined", hops=run.hops, spent=run.spent()._asdict())


def _leave(run: Run) -> None:
    if run.record.joined:
        run.engine.event(run, "run_left", hops=run.hops, spent=run.spent()._asdict())
        run.engine.remember(run)


def enter_inherited() -> Run | None:
    """Take part, for the rest of this process, in the run that its parent was in when it started it."""
    state = _read(os.environ, ENVIRONMENT)
    if state is None:
        return None
    left = [part for part in os.environ[ENVIRONMENT].split(",") if not _ours(part)]
    os.environ.pop(ENVIRONMENT)
    if left:
        os.environ[ENVIRONMENT] = ",".join(left)  # the children of this one get the run as it is when they start
    return _enter(state, {}, ExitStack())


def _ours(part: str) -> bool:
    return part.split("=", 1)[0].strip() == MEMBER


def _read(carrier: Mapping[str, str], header: str) -> dict[str, Any] | None:
    found = next((value for key, value in carrier.items() if key.lower() == header.lower()), "")
    for part in found.split(","):
        if _ours(part):
            try:
                state = json.loads(unquote(part.split("=", 1)[1]))
                return state if is_whole(state) else None
            except (ValueError, IndexError, RecursionError):
                return None
    return None
