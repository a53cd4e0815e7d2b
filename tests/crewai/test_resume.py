"""A crew that goes on from its checkpoint is the run that it was; a replayed one is a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crewai import Crew
from crewai.state.checkpoint_config import CheckpointConfig

import mas_guard
from mas_guard.testing import ModelServer
from tests.crewai.crews import ANSWERS, WRITER, report_crew, report_script

CHECKPOINTED: Any = ["task_completed"]


def saving(url: str, folder: Path) -> Crew:
    return report_crew(url, checkpoint=CheckpointConfig(location=str(folder), on_events=CHECKPOINTED))


def latest(folder: Path) -> CheckpointConfig:
    files = sorted(folder.rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return CheckpointConfig(restore_from=str(files[-1]), location=str(folder))


def test_a_stopped_crew_raises_the_same_stop_until_it_is_topped_up(tmp_path: Path) -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(saving(server.url, tmp_path), budget={"model_calls": 2}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded) as first:
            crew.kickoff()
        with pytest.raises(mas_guard.BudgetExceeded) as again:
            crew.kickoff(from_checkpoint=latest(tmp_path))
        assert again.value.outcome.run_id == first.value.outcome.run_id and server.count == 2
        first.value.run.top_up(model_calls=1)
        result = crew.kickoff(from_checkpoint=latest(tmp_path))
        assert result.raw == ANSWERS[WRITER] and server.count == 3
    outcome = mas_guard.outcome(result)
    assert (outcome.status, outcome.run_id) == ("completed", first.value.outcome.run_id)
    assert outcome.spent.model_calls == 3


async def test_the_same_on_an_event_loop(tmp_path: Path) -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(saving(server.url, tmp_path), budget={"model_calls": 2}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded) as first:
            await crew.akickoff()
        first.value.run.top_up(model_calls=1)
        result = await crew.akickoff(from_checkpoint=latest(tmp_path))
        assert result.raw == ANSWERS[WRITER] and server.count == 3
    assert mas_guard.last_outcome().run_id == first.value.outcome.run_id


def test_a_kickoff_of_its_own_is_a_new_run(tmp_path: Path) -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(saving(server.url, tmp_path))
        first, second = (mas_guard.outcome(crew.kickoff()) for _ in range(2))
    assert first.run_id != second.run_id


def test_a_replayed_task_is_guarded() -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(report_crew(server.url))
        crew.kickoff()
        before = mas_guard.last_outcome()
        crew.replay(str(crew.tasks[-1].id))
        assert server.count == 4
    after = mas_guard.last_outcome()
    assert before is not None and after is not None
    assert after.run_id != before.run_id and after.spent.model_calls == 1
