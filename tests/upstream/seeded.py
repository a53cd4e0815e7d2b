"""Runs a module with `random` seeded, so that an app which throws dice prints the same each time."""

from __future__ import annotations

import random
import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    random.seed(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
