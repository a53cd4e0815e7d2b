"""What `import mas_guard` costs in a fresh interpreter, beyond the interpreter itself."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import fastest

ROUNDS = 12
MEASURE = """
import resource
{imports}
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def cpu_seconds(imports: str) -> float:
    command = [sys.executable, "-c", MEASURE.format(imports=imports)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure() -> dict[str, float]:
    bare, guarded = [], []
    for _ in range(ROUNDS):
        bare.append(cpu_seconds(""))
        guarded.append(cpu_seconds("import mas_guard"))
    return {"import mas_guard: milliseconds of CPU": (fastest(guarded) - fastest(bare)) * 1e3}
