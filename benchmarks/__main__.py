"""Every measurement in one table: the figure, the bound, and whether it holds. Exits 1 where a bound is missed."""

from __future__ import annotations

import importlib
import logging
import sys

MODULES = (
    "ledger",
    "ledger_sqlite",
    "ledger_redis",
    "superstep",
    "langchain_turn",
    "agents_turn",
    "long_runs",
    "envelopes",
    "import_time",
)


def main() -> int:
    """Measure what was asked for, by default everything."""
    logging.disable(logging.WARNING)
    missed = 0
    print(f"{'measured':64} {'figure':>9} {'wanted':>9}")
    for name in sys.argv[1:] or MODULES:
        module = importlib.import_module(f"benchmarks.{name}")
        bounds: dict[str, float] = getattr(module, "BOUNDS", {})
        for what, figure in module.measure().items():
            bound = bounds.get(what)
            verdict = "" if bound is None else "holds" if figure <= bound else "MISSED"
            missed += verdict == "MISSED"
            wanted = "" if bound is None else f"<= {bound:g}"
            print(f"{what:64} {figure:9.3f} {wanted:>9}  {verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
