"""One process of a crew that looks an order up and pays it back: `python -m tests.crewai.refunding_crew URL FOLDER [die]`.

It goes on from the latest checkpoint in FOLDER, or begins. With `die` the process kills itself after the bank has paid and
before anybody has recorded it. Prints what the crew says, and the notes of its outcome.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from crewai import Crew, Task
from crewai.state.checkpoint_config import CheckpointConfig
from crewai.tools import BaseTool

import mas_guard
from tests.crewai.crews import ANALYST, RESEARCHER, agent, crew_of, model

COMPLETED: Any = ["task_completed"]


class Refund(BaseTool):
    """A checkpoint keeps the tool's fields; a function in it could not be kept."""

    name: str = "refund"
    description: str = "Pay an order back."
    folder: str = ""

    def _run(self, order_id: str, note: str) -> str:
        with Path(self.folder, "book.txt").open("a") as lines:
            lines.write(f"{order_id} {mas_guard.effect_id()}\n")
        if "die" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{order_id} is paid back"


def refunding_crew(url: str, folder: Path) -> Crew:
    """A researcher who answers, and a clerk who pays back."""
    chat = model(url)
    clerk = agent(ANALYST, chat, tools=[Refund(folder=str(folder))])
    tasks = [
        Task(description="Look the order up.", expected_output="The order", agent=agent(RESEARCHER, chat)),
        Task(description="Pay it back.", expected_output="What was paid", agent=clerk),
    ]
    saved = CheckpointConfig(location=str(folder / "checkpoints"), on_events=COMPLETED)
    crew = crew_of(tasks, checkpoint=saved)
    return mas_guard.wrap(crew, once_tools=["refund:order_id"], store=f"sqlite:///{folder}/guard.db")


def latest(folder: Path) -> CheckpointConfig | None:
    """The checkpoint to go on from."""
    files = sorted((folder / "checkpoints").rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return CheckpointConfig(restore_from=str(files[-1]), location=str(folder / "checkpoints")) if files else None


def main(url: str, folder: Path) -> None:
    """Carry the run out, or on."""
    result = refunding_crew(url, folder).kickoff(from_checkpoint=latest(folder))
    print("\n" + json.dumps({"said": result.raw, "notes": list(mas_guard.outcome(result).notes)}))


if __name__ == "__main__":
    os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
    from tests.crewai.refunding_crew import main as under_its_own_name  # as a checkpoint names the tool's class

    under_its_own_name(sys.argv[1], Path(sys.argv[2]))
