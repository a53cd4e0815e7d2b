"""What `import mas_guard` costs over a bare interpreter."""

from __future__ import annotations

import resource
import subprocess
import sys

ROUNDS = 7
BOUNDS = {"import mas_guard: CPU milliseconds": 100.0}


def cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure() -> dict[str, float]:
    bare = min(cpu_seconds("pass") for _ in range(ROUNDS))
    ours = min(cpu_seconds("import mas_guard") for _ in range(ROUNDS))
    return {"import mas_guard: CPU milliseconds": (ours - bare) * 1000}
