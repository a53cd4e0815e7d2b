"""Reading settings costs an app next to nothing at its start."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "pydantic",
    "pydantic_settings",
    "difflib",
    "tomllib",
    "tiktoken",
    "genai_prices",
    "tempfile",
    "hashlib",
)


def test_importing_settings_and_prices_brings_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import mas_guard.config, mas_guard.prices\n"
        f"print(sorted(set({HEAVY!r}) & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
