"""Apps of several processes on one store: real workers, a real model server, a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

import mas_guard
from mas_guard import _guard
from mas_guard.testing import ModelServer, text
from tests.ledger.redis_server import RedisServer

WORKERS = Path(__file__).with_name("workers")
PATIENCE = 120.0  # seconds until a worker that says nothing counts as hung


class Worker:
    """One process of the app, which takes part in the run that it is given."""

    def __init__(
        self, script: str, *arguments: str, folder: Path, variables: Mapping[str, str], python: str = ""
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAS_GUARD_")}
        self.process = subprocess.Popen(
            [python or sys.executable, str(WORKERS / script), *arguments],
            cwd=folder,
            env=clean | dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, message: Any) -> Worker:
        """Hand it a line."""
        stdin: IO[str] = self.process.stdin  # type: ignore[assignment]
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        return self

    def hear(self) -> Any:
        """The next line that it says."""
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        assert line, f"the worker ended with {self.process.wait(PATIENCE)}"
        return json.loads(line)

    def end(self) -> None:
        """Let it end."""
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait(PATIENCE)
        self.process.stdout.close()  # type: ignore[union-attr]

    def kill(self) -> None:
        """End it as the out-of-memory killer does."""
        self.process.kill()
        self.end()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of the test's own, that every process may open."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    return f"redis://127.0.0.1:{server.port}/0?prefix={tmp_path.name}"


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer(lambda request: text("Done."), max_requests=300) as server:
        yield server


@pytest.fixture
def variables(store_url: str, model_server: ModelServer) -> dict[str, str]:
    """What every process of the app has in its environment."""
    return {"MAS_GUARD_STORE": store_url, "MODEL_URL": model_server.url}


@pytest.fixture
def guarded(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[mas_guard.Guard]:
    """This process as one of the app's, with a guard of its own."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_guard, "_shared", None)
    yield _guard.shared_guard()
    mas_guard.uninstrument()


@pytest.fixture
def start(tmp_path: Path, variables: dict[str, str]) -> Iterator[Callable[..., Worker]]:
    """Starts workers, and ends those that the test leaves running."""
    started: list[Worker] = []

    def begin(script: str, *arguments: str, python: str = "", **more: str) -> Worker:
        worker = Worker(script, *arguments, folder=tmp_path, variables=variables | more, python=python)
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
