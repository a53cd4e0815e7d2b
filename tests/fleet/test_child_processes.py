"""What an app starts is part of its run: children of `mas-guard run` by their environment, forks by memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mas_guard.testing import ModelServer

PARENT = """
import os, subprocess, sys
import openai, mas_guard

with mas_guard.run("report", budget={"model_calls": 8}, on_limit="abort") as run:
    children = [subprocess.Popen([sys.executable, "child.py"]) for _ in range(4)]
    for child in children:
        child.wait()
    print("spent", run.spent.model_calls)
"""

CHILD = """
import os
import openai

client = openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)
assert "mas-guard" not in os.environ.get("BAGGAGE", "")
for _ in range(10):
    try:
        client.chat.completions.create(model="gpt-4o-mini", max_tokens=9, messages=[{"role": "user", "content": "Paid?"}])
    except Exception as error:
        print(type(error).__name__, flush=True)
"""

FORKS = """
import os, sys
import openai, mas_guard

def ask():  # a client of its own each time: connections are not for two processes
    client = openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)
    client.chat.completions.create(model="gpt-4o-mini", max_tokens=9, messages=[{"role": "user", "content": "Paid?"}])

with mas_guard.run("report", budget={"model_calls": 8}, on_limit="abort") as run:
    ask()
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            for _ in range(10):
                try:
                    ask()
                except mas_guard.BudgetExceeded:
                    pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    print("spent", run.spent.model_calls)
"""


def started(tmp_path: Path, variables: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={"PATH": "", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_children_of_mas_guard_run_pay_from_the_run_that_started_them(
    tmp_path: Path, variables: dict[str, str], model_server: ModelServer
) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "child.py").write_text(CHILD)
    out = started(tmp_path, variables, "-m", "mas_guard.cli", "run", "parent.py")
    assert model_server.count == 8, out
    assert "spent 8" in out
    assert out.count("BudgetExceeded\n") == 32


def test_a_child_of_a_process_without_a_run_is_on_its_own(
    tmp_path: Path, variables: dict[str, str], model_server: ModelServer
) -> None:
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys, openai\nsubprocess.run([sys.executable, 'child.py'], check=True)\n"
    )
    (tmp_path / "child.py").write_text(CHILD)
    out = started(tmp_path, variables, "-m", "mas_guard.cli", "run", "parent.py")
    assert model_server.count == 10, out


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
def test_a_fork_pays_from_the_run_that_it_was_forked_in(
    tmp_path: Path, variables: dict[str, str], model_server: ModelServer
) -> None:
    (tmp_path / "app.py").write_text(FORKS)
    out = started(tmp_path, variables, "app.py")
    assert model_server.count == 8, out
    assert "spent 8" in out
