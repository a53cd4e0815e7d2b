"""A long run stays as fast as it began, and many finished runs leave memory flat.

Both through the core alone, with a call that does nothing: what grows here grows in every app.
"""

from __future__ import annotations

import gc
import sys
import time
from contextvars import Context

import mas_guard
from benchmarks import fastest
from mas_guard.adapter import (
    CallOutcome,
    Handoff,
    ModelCall,
    Run,
    ToolCall,
    Usage,
    current_run,
    guard_call,
    guard_handoff,
)

UNLIMITED = {"tokens": "none", "model_calls": "none", "tool_calls": "none"}
EARLY, LONG = 10, 10_000  # the steps that are compared
WINDOW, WINDOWS = 50, 40  # so many steps are timed at once, so many times
SETTLED_IN = 20_000  # runs until every bounded memory is full
MANY = 100_000
BOUNDS = {"long run: step 10,000 / step 10": 1.10, "finished runs: bytes that each one leaves behind": 16.0}


def step(run: Run, number: int) -> None:
    """One model call, one tool call and one handoff; no call is equal to another."""
    model = ModelCall("gpt-4o-mini", "agent", 40, 500, last_message=f"page {number}")
    guard_call(run, model, lambda: None, lambda _: CallOutcome(f"look at {number}", ("look",), Usage(40, 20)))
    tool = ToolCall("look", {"page": number}, "agent")
    guard_call(run, tool, lambda: None, lambda _: CallOutcome(f"page {number} says {number}"))
    guard_handoff(run, Handoff("agent", ("other",), "sequence"))


def seconds_of_steps(run: Run, first: int) -> float:
    gc.collect()
    began = time.process_time()
    for number in range(first, first + WINDOW):
        step(run, number)
    return (time.process_time() - began) / WINDOW


def open_run() -> Run:
    run = current_run.get()
    assert run is not None
    return run


def seconds_of_early_steps() -> float:
    with mas_guard.run("beginning", budget=UNLIMITED):
        for number in range(EARLY):
            step(open_run(), number)
        return seconds_of_steps(open_run(), EARLY)


def late_step_over_early_step() -> float:
    """The late steps of one long run, each window of them beside the early steps of a run that begins just then."""
    early, late = [], []
    with mas_guard.run("long", budget=UNLIMITED):
        for number in range(LONG):
            step(open_run(), number)
        for window in range(WINDOWS):
            late.append(seconds_of_steps(open_run(), LONG + window * WINDOW))
            early.append(Context().run(seconds_of_early_steps))
    return fastest(late) / fastest(early)


def finish_runs(count: int) -> None:
    for number in range(count):
        with (
            mas_guard.group("nightly", usd=40),
            mas_guard.run("short", owner="clerk", agent_budget={"model_calls": 9}) as run,
            run.step("clerk"),
        ):
            step(open_run(), number)


def bytes_in_containers() -> int:
    """The size of every container: whatever is kept is kept in one, which grows with it."""
    gc.collect()
    return sum(sys.getsizeof(thing) for thing in gc.get_objects())


def bytes_per_run() -> float:
    """What each run beyond the first 20,000 leaves behind."""
    finish_runs(SETTLED_IN)
    before = bytes_in_containers()
    finish_runs(MANY - SETTLED_IN)
    return (bytes_in_containers() - before) / (MANY - SETTLED_IN)


def measure() -> dict[str, float]:
    mas_guard.uninstrument()
    left = bytes_per_run()
    return {
        "long run: step 10,000 / step 10": late_step_over_early_step(),
        "finished runs: bytes that each one leaves behind": left,
    }
