"""A worker that begins a run and is killed in the middle of it."""

from __future__ import annotations

import json
import sys

import mas_guard

with mas_guard.run("nightly report") as run:
    print(json.dumps(run.id), flush=True)
    sys.stdin.read()
