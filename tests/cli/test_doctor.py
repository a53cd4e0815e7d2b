"""`mas-guard doctor`: what is there, what is missing, and what fixes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mas_guard.cli._checks import model_findings, settings_findings
from mas_guard.cli._models_of import models_of
from mas_guard.config import policy_of


class BaseChatModel:
    """Stands for LangChain's: recognised by its name."""

    def __init__(self, name: str) -> None:
        self.model_name = name


SHARED = BaseChatModel("global")
DEFAULT = BaseChatModel("default")

OWNERLESS = """
from langgraph.graph import START, StateGraph
from typing import TypedDict
State = TypedDict("State", {"x": int})
builder = StateGraph(State)
builder.add_node("route", lambda state: {"x": 1})
builder.add_edge(START, "route")
graph = builder.compile()
"""


def test_an_app_with_an_owner_that_cannot_answer_is_told_and_models_are_found(swarm: Any) -> None:
    swarm.write("plain.py", OWNERLESS)
    plain = swarm.mas_guard("doctor", "plain.py:graph")
    assert "the entry node 'route' is a plain function" in plain.out
    assert "MAS_GUARD_OWNER" in plain.out
    summary = swarm.path / "summary.md"
    env = {"MODEL_URL": "http://127.0.0.1:9/v1", "GITHUB_STEP_SUMMARY": str(summary)}
    done = swarm.mas_guard("doctor", "app:graph", "--model", "home-made", "--format", "json", env=env)
    findings = json.loads(done.out)["findings"]
    texts = [finding["text"] for finding in findings]
    assert any(text.startswith("langgraph: langgraph") and "every seam is there" in text for text in texts)
    assert any(text.startswith("model gpt-4o-mini: price and largest output are known") for text in texts)
    assert any("model home-made: no price is known" in text for text in texts)
    assert done.code == 0
    assert "### mas-guard doctor" in summary.read_text()


def test_settings_for_an_agent_that_the_app_does_not_have_are_named(workspace: Any) -> None:
    workspace.write("plain.py", OWNERLESS)
    env = {"MAS_GUARD_AGENTS": '{"rout": {"step_timeout": "9s"}, "route": {"step_timeout": "9s"}}'}
    done = workspace.mas_guard("doctor", "plain.py:graph", env=env)
    assert "the settings for agent 'rout' apply to nobody: the app's agents are route" in done.out
    assert "rename it to [agents.route]" in done.out and done.out.count("apply to nobody") == 1


def test_every_error_ends_with_its_fix(workspace: Any) -> None:
    env = workspace.plugin("broken", "import no_such_module")
    workspace.distribution("langgraph", "9.9.9", {})
    env |= {"MAS_GUARD_EVENTS": "/dev/null/events", "MAS_GUARD_BUDGET__USD": "2", "MAS_GUARD_MAX_HOPS": "none"}
    done = workspace.mas_guard("doctor", "--model", "home-made", env=env)
    errors = [line for line in done.out.splitlines() if line.startswith("✗")]
    assert done.code == 1
    assert len(errors) == 4
    assert all(" → " in line for line in errors)
    assert any('pip install "langgraph>=' in line for line in errors)
    assert any("its calls are refused under the USD limit" in line for line in errors)
    assert "⚠ MAX_HOPS has no limit" in done.out


def test_wrong_settings_and_an_app_that_is_not_there_are_no_findings(workspace: Any) -> None:
    wrong = workspace.mas_guard("doctor", env={"MAS_GUARD_MAX_HOP": "5"})
    assert wrong.code == 2 and "did you mean MAX_HOPS" in wrong.err
    for place, message in (("app.py", "names no app"), ("gone.py:graph", "There is no file"), ("gone:x", "cannot be")):
        done = workspace.mas_guard("doctor", place)
        assert done.code == 2 and message in done.err


def test_a_limit_that_was_lifted_and_observe_mode_are_warnings() -> None:
    texts = [f.text for f in settings_findings(policy_of(max_hops="none", mode="observe")) if f.mark == "warning"]
    assert any("MAX_HOPS has no limit (none from code)" in text for text in texts)
    assert any("MODE=observe" in text for text in texts)


@pytest.mark.parametrize(
    ("events", "fits"), [("stdout", True), ("log/{date}-{pid}.jsonl", True), ("/dev/null/x", False)]
)
def test_the_path_of_events_is_tried(events: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    errors = [finding for finding in settings_findings(policy_of(events=events)) if finding.mark == "error"]
    assert (not errors) is fits
    assert list(tmp_path.iterdir()) == []


def test_a_price_in_the_settings_is_enough() -> None:
    priced = {"home-made": {"input_price": "1", "output_price": "2", "max_output": 100}}
    marks = [finding.mark for finding in model_findings(["home-made"], policy_of(budget={"usd": 1}, models=priced))]
    assert marks == ["ok"]


def test_models_are_found_in_attributes_closures_defaults_and_globals_of_functions() -> None:
    def node(state: Any, model: Any = DEFAULT) -> Any:
        return closed_over, SHARED, state, model

    closed_over = BaseChatModel("closure")
    app = {"nodes": [node], "again": None, "deep": {"model": BaseChatModel("attribute")}}
    app["again"] = app  # type: ignore[assignment]
    assert models_of(app) == ["attribute", "closure", "default", "global"]
