"""The SDK's examples that run offline, bare and under `mas-guard run`, against the same scripted model."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripted_by_schema import reply
from suites import ROOT, unguarded_environment

from mas_guard.testing import ModelServer

LONGEST = 40  # seconds for one example

NAMES: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ending:
    """How an example ended: its exit status, what it printed, how often it asked the model."""

    status: int | str
    printed: str
    asked: int


@dataclass(frozen=True)
class Examples:
    """The examples of one version.

    Attributes:
        title: What they are printed under.
        python: The interpreter of the version's environment.
        source: The unpacked source distribution.
    """

    title: str
    python: Path
    source: Path

    def ending(self, name: str, *, guarded: bool) -> Ending:
        """Run one example, in an empty folder of its own."""
        module = "examples." + name.replace("/", ".")
        command = [self.python.parent / "mas-guard", "run", "-m"] if guarded else [self.python, "-m"]
        with ModelServer(reply) as server, tempfile.TemporaryDirectory() as folder:
            environment = unguarded_environment() | {
                "PYTHONPATH": f"{self.source / 'src'}:{self.source}",
                "OPENAI_BASE_URL": server.url,
                "OPENAI_API_KEY": "offline",
                "EXAMPLE_BASE_URL": server.url,
                "EXAMPLE_API_KEY": "offline",
                "EXAMPLE_MODEL_NAME": "gpt-4o-mini",
                "EXAMPLES_INTERACTIVE_MODE": "auto",
                "OPENAI_AGENTS_DISABLE_TRACING": "true",
                "COLUMNS": "120",
                # Whatever would leave this machine fails at once.
                "HTTP_PROXY": "http://127.0.0.1:9",
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1,localhost",
            }
            try:
                finished = subprocess.run(
                    [*command, module], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                    capture_output=True, check=False, timeout=LONGEST,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return Ending("no end", "", server.count)
            return Ending(finished.returncode, finished.stdout, server.count)
