"""CrewAI without telemetry, tracing or files in the user's folders; each test starts and ends with an unguarded process.

CrewAI reads its environment when it is imported, and it runs in an environment of its own: elsewhere nothing here is
collected.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.doubtful_results import judged, queue
from tests.fixtures import clock, guard, unguarded_process

__all__ = ["clock", "guard", "judged", "queue", "unguarded_process"]

collect_ignore_glob: list[str] = []

if importlib.util.find_spec("crewai") is None:
    collect_ignore_glob.append("*.py")
else:
    _storage = tempfile.TemporaryDirectory(prefix="crewai-", ignore_cleanup_errors=True)
    os.environ.update(
        CREWAI_DISABLE_TELEMETRY="true",
        CREWAI_DISABLE_VERSION_CHECK="true",
        CREWAI_STORAGE_DIR=_storage.name,
        CREWAI_TRACING_ENABLED="false",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        OTEL_SDK_DISABLED="true",
    )


@pytest.fixture(autouse=True)
def no_waiting_for_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """CrewAI waits 1 s and 2 s after a 429, whatever the provider's headers say: it reads them only where they are a
    dict, and the clients' are not. How often it tries again stays as it is."""
    from crewai.llms import retry

    monkeypatch.setattr(retry, "_LLM_RATE_LIMIT_INITIAL_DELAY_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def nobody_at_the_console(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CrewAI asks on the console where nothing else was set; a test that gets there fails instead of waiting."""

    def asked(prompt: object = "") -> str:
        raise AssertionError(f"CrewAI asked on the console: {prompt}")

    monkeypatch.setattr("builtins.input", asked)
    yield
