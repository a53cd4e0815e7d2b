"""What the CrewAI seam adds to a model call, beside what the guard itself does for a call.

The model is a class of the app's own that answers in this process. The guard's part is the flow: rules, reserve, settle,
events. The seam's is the rest: translating the call, hearing what its provider's class says, reading the reply. Runs in
CrewAI's environment.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import mas_guard
from benchmarks import fastest

CALLS = 500
ROUNDS = 60
BOUNDS = {
    "crewai call: the seam, in microseconds": 11.5,
    "crewai call: the seam / the guard's flow": 0.35,
    "crewai call: armed and outside of every run / bare": 3.0,
}
UNLIMITED = {"tokens": 10**12, "model_calls": 10**9}
MESSAGES = [{"role": "system", "content": "You research. " * 20}, {"role": "user", "content": "Say why. " * 20}]


def own_model() -> Any:
    from crewai.llms.base_llm import BaseLLM

    class Own(BaseLLM):
        def call(self, messages: Any, *arguments: Any, **keywords: Any) -> Any:
            return "Done."

    return Own(model="gpt-4o-mini")


def seconds(do: Callable[[], Any]) -> float:
    gc.collect()
    began = time.process_time()
    for _ in range(CALLS):
        do()
    return (time.process_time() - began) / CALLS


def measure() -> dict[str, float]:
    os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
    os.environ.setdefault("CREWAI_STORAGE_DIR", tempfile.mkdtemp())
    from mas_guard.adapter import CallOutcome, ModelCall, Usage, current_run, guard_call

    model, outcome = own_model(), CallOutcome("Done.", usage=Usage(5, 5))

    def call() -> Any:
        return model.call(MESSAGES)

    def flow() -> Any:
        asked = ModelCall("gpt-4o-mini", input_bound=500, last_message=MESSAGES[-1]["content"])
        return guard_call(current_run.get(), asked, lambda: "Done.", lambda reply: outcome)  # type: ignore[arg-type]

    bare, idle, seam, alone = [], [], [], []
    for _ in range(ROUNDS):
        mas_guard.uninstrument()
        bare.append(seconds(call))
        with mas_guard.run("many calls", budget=UNLIMITED):
            seam.append(seconds(call))
            alone.append(seconds(flow))
        idle.append(seconds(call))
    mas_guard.uninstrument()
    own = fastest(seam) - fastest(alone) - fastest(bare)
    return {
        "crewai call: the seam, in microseconds": own * 1e6,
        "crewai call: the seam / the guard's flow": own / fastest(alone),
        "crewai call: armed and outside of every run / bare": fastest(idle) / fastest(bare),
    }
