"""What the workers of a framework share: read a message, work on its items, say how many were done."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import mas_guard

# What a framework prints goes to standard error, so that standard output holds answers alone.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def work(item: Callable[[], object]) -> None:
    """Work on `{"carrier": …, "items": …}` a line; the guard's stops are counted, by name."""
    print(json.dumps("ready"), file=_answers, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        done, stops = 0, []
        with mas_guard.extract(message["carrier"]):
            for _ in range(message["items"]):
                try:
                    item()
                    done += 1
                except mas_guard.GuardStopped as stop:
                    stops.append(type(stop).__name__)
        print(json.dumps({"done": done, "stops": sorted(set(stops))}), file=_answers, flush=True)
