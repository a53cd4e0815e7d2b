"""Carries a run's identity over a process boundary, as W3C baggage.

With the memory store the other process gets the run's id, hops and spend as they were when it was injected; a
budget that is shared live needs a shared store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

from mas_guard._run import Run, current_run

HEADER = "baggage"
MEMBER = "mas-guard"


def inject(carrier: MutableMapping[str, str]) -> None:
    """Add the current run to *carrier* (such as HTTP headers), beside other baggage; nothing outside a run."""
    run = current_run.get()
    if run is None:
        return
    state = run.snapshot()
    for local in ("agents", "stop"):
        state.pop(local, None)
    state["path"] = state["path"][-4:]
    member = f"{MEMBER}={quote(json.dumps(state, separators=(',', ':')), safe='')}"
    others = [part for part in carrier.get(HEADER, "").split(",") if part.strip() and not _ours(part)]
    carrier[HEADER] = ",".join([*others, member])


@contextmanager
def extract(carrier: Mapping[str, str], **overrides: Any) -> Iterator[Run | None]:
    """Go on with the run that *carrier* brings, for a block; yields `None` where it brings none.

    What cannot be read is treated as absent: a stranger's header never breaks the app.
    """
    from mas_guard._guard import shared_guard
    from mas_guard.config import load_policy

    state = _read(carrier)
    if state is None:
        yield None
        return
    guard = shared_guard()
    run = guard.open_run(load_policy(overrides), run_id=str(state["id"]))
    run.restore(state)
    token = current_run.set(run)
    try:
        yield run
    finally:
        current_run.reset(token)


def _ours(part: str) -> bool:
    return part.split("=", 1)[0].strip() == MEMBER


def _read(carrier: Mapping[str, str]) -> dict[str, Any] | None:
    header = next((value for key, value in carrier.items() if key.lower() == HEADER), "")
    for part in header.split(","):
        if _ours(part):
            try:
                state = json.loads(unquote(part.split("=", 1)[1]))
                return state if isinstance(state, dict) and state.get("v") == 1 and state.get("id") else None
            except (ValueError, IndexError):
                return None
    return None
