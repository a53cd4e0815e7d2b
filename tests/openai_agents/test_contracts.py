"""What agents declare to give: checked while they run, and before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents import Agent, Runner
from click.testing import CliRunner
from pydantic import BaseModel

import mas_guard
from mas_guard.cli import commands
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.openai_agents.apps import model

SCHEMA = {"type": "object", "properties": {"harbour": {"type": "string"}}, "required": ["harbour"]}
REPORT = "Here is the report."


def newsroom(url: str) -> Agent[Any]:
    chat = model(url)
    worker = Agent[Any](name="researcher", instructions="You are the researcher.", model=chat)
    return Agent[Any](
        name="writer", instructions="You write.", model=chat, tools=[worker.as_tool("research", "Ask the researcher.")]
    )


def script_of(finding: str) -> Any:
    def script(request: Request) -> Reply:
        if "You are the researcher." in str(request.messages[0]["content"]):
            return text(finding)
        done = any(message["role"] == "tool" for message in request.messages)
        return text(REPORT) if done else call("research", input="the harbour")

    return script


def run(finding: str, **settings: Any) -> tuple[Any, str]:
    with ModelServer(script_of(finding)) as server:
        app = mas_guard.wrap(newsroom(server.url), agents={"researcher": {"contract": SCHEMA}}, **settings)
        outcome = mas_guard.outcome(Runner.run_sync(app, "Write."))
        return outcome, str(server.requests[-1].body)


def test_an_output_that_misses_its_contract_is_told_to_whoever_delegated() -> None:
    outcome, told = run('{"haven": "closed"}')
    assert outcome.envelopes["researcher"].status == "failed"
    assert "misses its contract" in told and "harbour" in told
    assert "closed" not in outcome.envelopes["researcher"].reason


def test_an_output_in_words_misses_a_contract_of_fields() -> None:
    outcome, told = run("The harbour is closed.")
    assert outcome.envelopes["researcher"].status == "failed" and "status failed" in told


def test_an_output_that_keeps_its_contract_is_a_success() -> None:
    outcome, told = run('{"harbour": "closed"}')
    assert outcome.status == "completed" and "mas-guard" not in told


def test_shapes_of_outputs_are_learned_from_recorded_runs_without_their_values(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with ModelServer(script_of('{"harbour": "closed", "days": 3}')) as server:
        Runner.run_sync(mas_guard.wrap(newsroom(server.url), events=str(events)), "Write.")
    recorded = events.read_text()
    assert "closed" not in recorded and '"days"' in recorded
    shown = CliRunner().invoke(commands, ["contracts", "learn", str(events)])
    assert "researcher" in shown.output and "harbour" in shown.output


class Finding(BaseModel):
    """What the researcher gives."""

    harbour: str


def test_the_adapter_knows_what_an_apps_agents_declare_and_who_takes_it() -> None:
    worker = Agent[Any](name="researcher", output_type=Finding)
    checker = Agent[Any](name="checker")
    writer = Agent[Any](name="writer", tools=[worker.as_tool("research", "Ask.")], handoffs=[checker])
    adapter = next(one for one in mas_guard.Guard().adapters() if one.name == "openai-agents")
    declared = adapter.declared_outputs(writer)
    assert declared["researcher"] == (Finding, ("writer",))
    assert declared["writer"] == (str, ("checker",))
    json.dumps(list(declared))
