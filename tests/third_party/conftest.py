"""Runs a small app in a fresh interpreter with somebody else's packages installed beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from mas_guard.testing import ModelServer, text

PACKAGES = Path(__file__).parent / "packages"

# What every app here shares: a client of the local server, and one question.
OPENING = """
import os, mas_guard
from openai import OpenAI

def ask(model="gpt-4o-mini"):
    client = OpenAI(base_url=os.environ["MODEL_SERVER"], api_key="unused", max_retries=0)
    messages = [{"role": "user", "content": "hello"}]
    return client.chat.completions.create(model=model, messages=messages).choices[0].message.content
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda request: text("done")) as running:
        yield running


@pytest.fixture
def run_app(server: ModelServer, tmp_path: Path) -> Run:
    def run(packages: str, code: str, **settings: str) -> subprocess.CompletedProcess[str]:
        paths = [str(PACKAGES / name) for name in packages.split()]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAS_GUARD_")}
        environment |= {f"MAS_GUARD_{name}": value for name, value in settings.items()}
        environment["PYTHONPATH"] = os.pathsep.join([*paths, environment.get("PYTHONPATH", "")])
        environment["MODEL_SERVER"] = server.url
        return subprocess.run(
            [sys.executable, "-c", OPENING + dedent(code)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
