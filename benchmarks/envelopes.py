"""What looking at an output costs, and the sketch by which a loop's progress is told."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import fastest
from mas_guard import load_policy
from mas_guard._engine import Engine
from mas_guard._run import Run
from mas_guard._step_scope import StepScope, current_step
from mas_guard.similarity import sketch
from mas_guard.types import CallOutcome, ModelCall

STEPS, ROUNDS, LENGTH = 500, 60, 2_000
BOUNDS = {
    "envelopes: what `infer` adds to a step, microseconds": 2.0,
    "convergence: a sketch of 2 kB, microseconds": 60.0,
}
SENTENCE = "The harbour was closed for {} days in May, Maria Lopez said, and 14 ships had to wait outside. "


def microseconds(work: Callable[[], object], times: int) -> float:
    """One piece of *work*, which does *times* of them."""
    taken = []
    for _ in range(ROUNDS):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return fastest(taken) / times * 1e6


def measure() -> dict[str, float]:
    engine = Engine(load_policy())
    run = Run(engine, engine.policy)
    texts = [(SENTENCE.format(number) * 5)[:400] for number in range(STEPS)]
    calls = [ModelCall("gpt-4o-mini", "worker", last_message=f"question {number}") for number in range(STEPS)]
    outcomes = [CallOutcome(text, answered=True) for text in texts]
    token = current_step.set(StepScope(run, "worker"))

    def look() -> None:
        for call, outcome in zip(calls, outcomes, strict=True):
            run.envelopes.settle_reply(run, call, outcome)

    long = (SENTENCE.format(3) * 30)[:LENGTH]
    try:
        return {
            "envelopes: what `infer` adds to a step, microseconds": microseconds(look, STEPS),
            "convergence: a sketch of 2 kB, microseconds": microseconds(lambda: [sketch(long) for _ in range(50)], 50),
        }
    finally:
        current_step.reset(token)
