"""A worker of a queue: takes part in the run that a message brings, and asks its model as often as it is told to.

Reads `{"carrier": …, "calls": …}` a line; says how many calls were answered and what stopped it.
"""

from __future__ import annotations

import json
import os
import sys

from openai import OpenAI

import mas_guard

client = OpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)


def ask() -> None:
    client.chat.completions.create(
        model="gpt-4o-mini", max_tokens=50, messages=[{"role": "user", "content": "Is the invoice paid?"}]
    )


for line in sys.stdin:
    message = json.loads(line)
    answered, stops = 0, []
    try:
        with mas_guard.extract(message["carrier"]) as run:
            for _ in range(message["calls"]):
                try:
                    ask()
                    answered += 1
                except mas_guard.GuardStopped as stop:
                    stops.append([type(stop).__name__, stop.rule])
            hops = run.hops if run is not None else None
    except mas_guard.GuardStopped as stop:
        stops.append([type(stop).__name__, stop.rule])
        hops = None
    print(json.dumps({"answered": answered, "stops": stops, "hops": hops}), flush=True)
