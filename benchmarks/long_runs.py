"""A long run stays as fast as it began, and many finished runs leave memory flat.

Both through the core alone, with a call that does nothing: what grows here grows in every app.
"""

from __future__ import annotations

import gc
import sys
import time

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

RUNS = 8  # long runs, whose beginnings and ends are compared
WINDOW = 50  # steps timed at each end
LONG = 10_000
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


def late_step_over_early_step() -> float:
    early, late = [], []
    for _ in range(RUNS):
        budget = {"tokens": "none", "model_calls": "none", "tool_calls": "none"}
        with mas_guard.run("long", budget=budget):
            run = current_run.get()
            assert run is not None
            for number in range(10):
                step(run, number)
            early.append(seconds_of_steps(run, 10))
            for number in range(10 + WINDOW, LONG - WINDOW):
                step(run, number)
            late.append(seconds_of_steps(run, LONG - WINDOW))
    return fastest(late) / fastest(early)


def finish_runs(count: int) -> None:
    for number in range(count):
        with mas_guard.run("short", owner="clerk"):
            run = current_run.get()
            assert run is not None
            step(run, number)


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
    return {
        "long run: step 10,000 / step 10": late_step_over_early_step(),
        "finished runs: bytes that each one leaves behind": bytes_per_run(),
    }
