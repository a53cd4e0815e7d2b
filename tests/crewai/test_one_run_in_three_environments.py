"""A LangGraph worker, an Agents SDK worker and a crew share one run, each in the environment that its framework needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import mas_guard
from mas_guard import _guard
from mas_guard.testing import ModelServer, text
from tests.fleet.conftest import Worker

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ROOT / ".venv" / "bin" / "python"
QUIET = {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "OPENAI_AGENTS_DISABLE_TRACING": "1"}


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer(lambda request: text("Yes."), max_requests=200) as server:
        yield server


@pytest.mark.skipif(not OTHERS.exists(), reason="the other frameworks' environment is not there: make .venv/.installed")
def test_three_workers_of_three_frameworks_send_what_one_budget_allows(
    tmp_path: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("MAS_GUARD_STORE", store)
    monkeypatch.setattr(_guard, "_shared", None)
    # Nothing is kept for an owner, so that all eight calls are to be had.
    monkeypatch.setenv("MAS_GUARD_ON_LIMIT", "abort")
    variables = {
        "MAS_GUARD_STORE": store,
        "MAS_GUARD_ON_LIMIT": "abort",
        "MODEL_URL": model_server.url,
        "HOME": str(tmp_path),
        **QUIET,
    }
    workers = [
        Worker("graph_app.py", folder=tmp_path, variables=variables, python=str(OTHERS)),
        Worker("agents_app.py", folder=tmp_path, variables=variables, python=str(OTHERS)),
        Worker("crew_app.py", folder=tmp_path, variables=variables),
    ]
    try:
        assert [worker.hear() for worker in workers] == ["ready"] * 3
        stopped = pytest.raises(mas_guard.BudgetExceeded)  # in a worker, and so where the run began
        with stopped, mas_guard.run("invoices", budget={"model_calls": 8}, on_limit="abort") as run:
            carrier: dict[str, str] = {}
            mas_guard.inject(carrier)
            for worker in workers:
                worker.tell({"carrier": carrier, "items": 20})
            told = [worker.hear() for worker in workers]
            assert run.spent.model_calls == 8
    finally:
        for worker in workers:
            worker.kill()
        mas_guard.uninstrument()
    assert model_server.count == 8
    assert sum(one["done"] for one in told) == 8
    assert all(one["stops"] == ["BudgetExceeded"] for one in told)
