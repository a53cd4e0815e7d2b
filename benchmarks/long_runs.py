"""Long runs stay as fast as short ones, and finished runs leave nothing behind."""

from __future__ import annotations

import gc
import resource
import time
from statistics import median

import mas_guard
from mas_guard._drivers import drive
from mas_guard._flow import call_flow, handoff_flow
from mas_guard.adapter import current_run
from mas_guard.types import CallOutcome, Handoff, ModelCall, ToolCall, Usage

WINDOW = 200
STEPS = 10_000
RUNS = 100_000
BOUNDS = {"long run: step 10,000 / step 10": 1.10, "finished runs: growth from 20,000 to 100,000, MB": 8.0}


def one_step(number: int) -> None:
    run = current_run.get()
    assert run is not None
    errors = run.engine.plugins.errors
    model = ModelCall("gpt-4o-mini", "worker", input_bound=200, last_message=f"message {number}")
    reply = CallOutcome(
        f"an answer that differs each time and is long enough to be compared: {number}", (), Usage(50, 20)
    )
    drive(call_flow(run, model), lambda: None, lambda _: reply, errors)
    result = CallOutcome(f"result {number}")
    drive(call_flow(run, ToolCall("look_up", {"page": number}, "worker")), lambda: None, lambda _: result, errors)
    drive(handoff_flow(run, Handoff("worker", ("other",), "sequence")), lambda: None, lambda _: reply, errors)


def step_ratio() -> float:
    """Median time of steps around 10,000 against steps around 10, each the best of several runs."""
    early, late = [], []
    for _ in range(5):
        limits = {"tokens": 10**9, "model_calls": 10**6, "tool_calls": 10**6}
        with mas_guard.run("long", budget=limits, max_hops=None, deadline=None):
            seconds = []
            for number in range(STEPS + WINDOW):
                began = time.perf_counter()
                one_step(number)
                seconds.append(time.perf_counter() - began)
        early.append(median(seconds[10 : 10 + WINDOW]))
        late.append(median(seconds[STEPS : STEPS + WINDOW]))
    return min(late) / min(early)


def growth() -> float:
    """How many megabytes 80,000 more finished runs take, once the books on finished runs are full."""
    at_first = 0
    for number in range(RUNS):
        with mas_guard.run("short"):
            one_step(0)
        if number == RUNS // 5:
            gc.collect()
            at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gc.collect()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_first) / 1024


def measure() -> dict[str, float]:
    mas_guard.uninstrument()
    return {
        "long run: step 10,000 / step 10": step_ratio(),
        "finished runs: growth from 20,000 to 100,000, MB": growth(),
    }
