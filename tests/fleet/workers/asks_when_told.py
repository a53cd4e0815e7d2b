"""A worker that takes part in the run of its first line, and then does one thing a line: `ask`, or `hop`."""

from __future__ import annotations

import json
import os
import sys

from openai import OpenAI

import mas_guard
from mas_guard._context import current_run

client = OpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)
agents = ["reader", "writer"]

with mas_guard.extract(json.loads(sys.stdin.readline())) as run:
    left = None if run is None else run.time_left()
    print(json.dumps({"left": left, "run": run.id if run is not None else ""}), flush=True)
    with mas_guard.run() as joined:
        with joined.step(agents[0]):  # from here on every other step is a hop
            pass
        for line in sys.stdin:
            try:
                if json.loads(line) == "ask":
                    client.chat.completions.create(
                        model="gpt-4o-mini", max_tokens=50, messages=[{"role": "user", "content": "Is it paid?"}]
                    )
                    said = "answered"
                else:
                    with joined.step(agents[1]):
                        said = "hopped"
                    agents.reverse()
            except mas_guard.GuardStopped as stop:
                said = type(stop).__name__
            assert current_run.get() is run
            print(json.dumps(said), flush=True)
