"""`mas-guard run` guards an app of which no line was changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mas_guard.testing import ModelServer

RUNS_A_CHILD = """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "app.py"]).returncode)
"""

SAYS_WHAT_IS_PATCHED = """
from langgraph.pregel import Pregel
print("patched" if hasattr(Pregel.stream, "__wrapped__") else "bare")
"""


def test_an_unchanged_swarm_is_stopped_at_its_hops_and_answers_all_the_same(
    swarm: Any, server: ModelServer, model_url: dict[str, str]
) -> None:
    done = swarm.mas_guard("run", "app.py", env=model_url)
    assert server.count == 14
    assert done.code == 0
    assert done.out == "Here is what we know so far.\n"
    assert "✓ langgraph: armed (langgraph" in done.err
    assert "partial" in done.err
    assert "made 12 hops" in done.err and "MAS_GUARD_MAX_HOPS" in done.err


def test_a_child_process_of_a_module_inherits_the_guard(
    swarm: Any, server: ModelServer, model_url: dict[str, str]
) -> None:
    swarm.write("package/__init__.py", "")
    swarm.write("package/launcher.py", RUNS_A_CHILD)
    done = swarm.mas_guard("run", "--set", "max_hops=3", "-m", "package.launcher", env=model_url)
    assert server.count == 5
    assert (done.code, done.out) == (0, "Here is what we know so far.\n")
    assert "made 3 hops" in done.err
    assert "nothing was armed in this process" in done.err  # the launcher imports no framework, and says so


def test_observe_mode_sends_every_request_and_says_what_enforce_would_have_done(
    swarm: Any, server: ModelServer, model_url: dict[str, str]
) -> None:
    events = swarm.path / "events.jsonl"
    done = swarm.mas_guard("run", "--mode", "observe", "--set", f"EVENTS={events}", "app.py", env=model_url)
    assert server.count == 41
    assert done.code == 1
    assert "enforce would have ended it by hops (MAS_GUARD_MAX_HOPS)" in done.err
    recorded = [json.loads(line) for line in Path(events).read_text().splitlines()]
    assert [event["rule"] for event in recorded if event["event"] == "would_stop"] == ["hops"]


def test_mode_off_patches_nothing(workspace: Any) -> None:
    workspace.write("app.py", SAYS_WHAT_IS_PATCHED)
    off = workspace.mas_guard("run", "app.py", env={"MAS_GUARD_MODE": "off"})
    on = workspace.mas_guard("run", "app.py")
    assert (off.out, on.out) == ("bare\n", "patched\n")
    assert "MODE=off (environment variable MAS_GUARD_MODE): nothing is patched" in off.err


def test_an_unsupported_version_runs_unguarded_and_is_said_loudly(workspace: Any) -> None:
    workspace.write("app.py", SAYS_WHAT_IS_PATCHED)
    path = {"PYTHONPATH": str(workspace.distribution("langgraph", "9.9.9", {}))}
    done = workspace.mas_guard("run", "app.py", env=path)
    assert (done.code, done.out) == (0, "bare\n")
    assert "goes on without its langgraph adapter: langgraph 9.9.9 is installed" in done.err
    assert "⚠ langgraph: NOT armed" in done.err
    assert 'pip install "langgraph>=' in done.err


def test_an_unsupported_version_fails_at_start_where_being_armed_is_required(workspace: Any) -> None:
    workspace.write("app.py", SAYS_WHAT_IS_PATCHED)
    path = {"PYTHONPATH": str(workspace.distribution("langgraph", "9.9.9", {}))}
    done = workspace.mas_guard("run", "app.py", env={**path, "MAS_GUARD_REQUIRE_ARMED": "true"})
    assert (done.code, done.out) == (2, "")
    assert 'pip install "langgraph>=' in done.err


def test_the_circular_imports_of_a_framework_do_not_arm_half_of_it(workspace: Any) -> None:
    # `langgraph.graph.state` imports `langgraph.pregel` while it is itself half made.
    workspace.write("app.py", "from langgraph.graph import StateGraph\nprint(StateGraph.compile.__module__)")
    done = workspace.mas_guard("run", "app.py")
    assert done.code == 0
    assert "✓ langgraph: armed" in done.err
    assert "NOT armed" not in done.err
