"""What a run's checkpoint carries, and how a run goes on from one: here, in another process, or as a fork of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mas_guard._clock import ActiveClock
from mas_guard._resuming import APPROVALS, TopUps, approved_in_review, stop_in_force, stop_record
from mas_guard._stop import Stop
from mas_guard.types import ZERO, Amounts

if TYPE_CHECKING:
    from mas_guard._run import Run

SNAPSHOT_VERSION = 1


def snapshot(run: Run) -> dict[str, Any]:
    """What a checkpoint must carry for *run* to go on elsewhere, versioned."""
    return {
        "v": SNAPSHOT_VERSION,
        "id": run.id,
        "mode": run.policy.mode,
        "hops": run.hops,
        "path": list(run.path),
        "agents": sorted(run.agents),
        "owner": run.owner,
        "spent": list(run.spent()),
        "elapsed": round(run.clock.elapsed, 3),
        "limits": run.limits_in_force(),
        "stop": stop_record(run),
        "top_ups": run.engine.top_ups(run.id).saved(),
        "approvals": sorted(run.rule_state.get(APPROVALS, ())),
    }


def restore(run: Run, state: Mapping[str, Any]) -> None:
    """Go on from a snapshot; of hops and spend the larger of store and snapshot counts."""
    restore_path(run, state)
    known = run.spent()
    saved = Amounts(*(int(amount) for amount in state.get("spent", ZERO)))
    missing = Amounts(*(max(0, theirs - mine) for theirs, mine in zip(saved, known, strict=True)))
    if any(missing):
        run.ledger.charge((run.account,), missing, f"{run.id}:restored:{os.urandom(16).hex()}")


def restore_path(run: Run, state: Mapping[str, Any]) -> None:
    """Take over hops, path and agents: all that a fork of an older checkpoint starts with."""
    run.hops = max(run.hops, int(state.get("hops", 0)))
    run.path = list(state.get("path", ()))
    run.agents.update(state.get("agents", ()))
    if state.get("owner") and not run.owner:
        run.rename_owner(str(state["owner"]))


def fork(run: Run, state: Mapping[str, Any]) -> None:
    """Start from an older checkpoint of the run that *state* was saved by: a new run with that one's hops."""
    run.forked_from = str(state["id"])
    restore_path(run, state)
    run.engine.event(run, "run_resumed", forked_from=run.forked_from, hops=run.hops)


def adopt(run: Run, state: Mapping[str, Any], *, human_input: bool) -> None:
    """Become the run that *state* was saved by: see `Run.adopt`."""
    unused, run_id = run.id, str(state["id"])
    before = run.engine.known_run(run_id)
    run.take_account_of(run_id)
    stored = run.record.read() or {}
    for known in (state, stored):
        run.engine.know_top_ups(run_id, TopUps.restored(known.get("top_ups")))
    run.engine.apply_top_ups(run)
    run.resumed = True
    # A person who approved it in a review has looked at it, as one who answers an interrupt has.
    human_input = human_input or approved_in_review(run, state)
    if stored.get("stop") and not state.get("stop"):  # stopped from outside since the checkpoint was written
        state = {**state, **{name: stored.get(name) for name in ("stop", "limits", "top_ups")}}
    stop = stop_in_force(run, state, human_input=human_input)
    restore(run, {**state, "hops": max(int(state.get("hops", 0)), int(stored.get("hops", 0)))})
    run.took_input = run.took_input or human_input
    if human_input:
        run.hops = 0
        run.path = run.path[-1:]
    else:
        run.clock = ActiveClock(run.clock.limit, already=float(state.get("elapsed", 0)), now=run.engine.now)
        if before is not None and (stop is not None or not state.get("stop")):
            run.rule_state = before.rule_state
    run.rule_state.setdefault(APPROVALS, set()).update(state.get("approvals", ()))  # each is for one call
    if stop is not None:
        stop.run = run
        run.stop = Stop(stop, ())
        run.stop.reason = "resumed without a raised limit"
    elif stored:
        run.record.lifted()
    run.record.moved(unused)
    run.engine.event(run, "run_resumed", hops=run.hops, spent=run.spent()._asdict())
