"""What `import mas_guard` costs in a fresh interpreter, beyond the interpreter itself."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import fastest

ROUNDS = 12
BOUNDS = {"import mas_guard: CPU milliseconds": 100.0}
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
    bare, imported, used = [], [], []
    for _ in range(ROUNDS):
        bare.append(cpu_seconds(""))
        imported.append(cpu_seconds("import mas_guard"))
        used.append(cpu_seconds("import mas_guard\nwith mas_guard.run('first'): pass"))
    return {
        "import mas_guard: CPU milliseconds": (fastest(imported) - fastest(bare)) * 1e3,
        "import mas_guard: and a first run, which loads the rest": (fastest(used) - fastest(bare)) * 1e3,
    }
