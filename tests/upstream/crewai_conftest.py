"""What CrewAI's tests expect of the conftest of its repository, which its source distribution leaves out.

`crewai_suite.py` puts this file beside the unpacked `tests` folder: recorded answers are found by the test's own folder
and matched by address, and what one test leaves behind does not reach the next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent / "tests"

# Regions and resources differ between those who recorded; the tests do not depend on them.
ADDRESSES = (
    (re.compile(r"//bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com"), "//bedrock-runtime.vcr.amazonaws.com"),
    (re.compile(r"//[^/]+\.openai\.azure\.com"), "//fake-azure-endpoint.openai.azure.com"),
)

# Set for the import alone: the tests of telemetry, of versions and of addresses set them themselves.
UNTIL_THE_FIRST_TEST = (
    "CREWAI_DISABLE_TELEMETRY", "CREWAI_DISABLE_VERSION_CHECK", "OPENAI_API_BASE", "OPENAI_BASE_URL", "OTEL_SDK_DISABLED",
)  # fmt: skip


@pytest.fixture(scope="module")
def vcr_cassette_dir(request: Any) -> str:
    """The recorded answers lie in folders like those of the tests."""
    return str(TESTS / "cassettes" / Path(request.path).parent.relative_to(TESTS))


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """An answer belongs to a request of its method and address; nothing is ever recorded."""
    return {
        "record_mode": "none",
        "match_on": ["method", "scheme", "host", "port", "path"],
        "filter_query_parameters": ["key"],
        "before_record_request": _with_common_address,
    }


@pytest.fixture(autouse=True)
def own_environment(tmp_path_factory: Any) -> Iterator[None]:
    """Each test stores things in a folder of its own."""
    os.environ["CREWAI_STORAGE_DIR"] = str(tmp_path_factory.mktemp("storage"))
    os.environ["CREWAI_TESTING"] = "true"
    yield
    for name in ("CREWAI_STORAGE_DIR", "CREWAI_TESTING", *UNTIL_THE_FIRST_TEST):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def own_events() -> Iterator[None]:
    """Each test counts events from the beginning, and its handlers and traces end with it."""
    from crewai.events import base_events, event_context
    from crewai.events.event_bus import crewai_event_bus
    from crewai.events.listeners.tracing.trace_listener import TraceCollectionListener

    base_events.reset_emission_counter()
    event_context._event_id_stack.set(())
    event_context._event_context_config.set(event_context.EventContextConfig())
    yield
    with crewai_event_bus._rwlock.w_locked():
        crewai_event_bus._sync_handlers.clear()
        crewai_event_bus._async_handlers.clear()
    TraceCollectionListener._instance = None


def _with_common_address(request: Any) -> Any:
    # Some clients write the method small.
    request.method = request.method.upper()
    for pattern, common in ADDRESSES:
        request.uri = pattern.sub(common, request.uri)
    return request
