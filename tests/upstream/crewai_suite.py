"""CrewAI's own suite, bare and guarded in enforce mode with every setting at its default.

The tests and their recorded answers come from the source distribution of exactly that version; nothing leaves the
machine. Prints the counts of both and every test that differs; exits 1 where a test differs that is not named in
`KNOWN`. Run it by `make upstream-crewai`; arguments choose: `newest`, `oldest`, and `fast` for the parts that the guard
stands in.
"""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path

from suites import Suite, create_environment, prepared, python_of, unpacked_source

VERSIONS = {"newest": "1.15.30", "oldest": "1.15.24"}

# What its tests import; those of other providers are skipped.
EXTRAS = (
    "a2a", "anthropic", "azure-ai-inference", "bedrock", "file-processing", "google-genai", "litellm", "mem0",
    "openpyxl", "pandas", "qdrant", "qdrant-edge", "tools", "voyageai", "watson",
)  # fmt: skip

# The versions that its repository names, where others would break the playing back of answers. LiteLLM's newer ones
# want a newer `mcp` than CrewAI allows, and fail at every call with a tool.
TOOLS = (
    "pytest==9.0.3", "pytest-asyncio==1.3.0", "pytest-recording==0.13.4", "pytest-subprocess==1.5.3",
    "pytest-timeout==2.4.0", "pytest-xdist==3.8.0", "vcrpy==8.2.1", "exa-py", "instructor<1.15", "litellm<1.89",
    "openai==2.54.0",
)  # fmt: skip

# Tests of the repository, not of the package: what they read is not in the source distribution.
REPOSITORY_TESTS = ("ci", "telemetry/test_wharf_runner.py", "test_jev_evaluation_runner.py")

# A third of the suite: crews, tasks, agents, models, tools and flows.
FAST = (
    "agents",
    "crew",
    "hooks",
    "llms",
    "task",
    "tools",
    "test_crew.py",
    "test_flow.py",
    "test_llm.py",
    "test_task.py",
)

ADAPTER = "crewai"

VARIABLES = {
    "ANTHROPIC_API_KEY": "unused",
    "AWS_ACCESS_KEY_ID": "unused",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "unused",
    "AZURE_API_KEY": "unused",
    "AZURE_API_VERSION": "2024-02-15-preview",
    "AZURE_ENDPOINT": "https://fake-azure-endpoint.openai.azure.com",
    "AZURE_OPENAI_API_KEY": "unused",
    "AZURE_OPENAI_ENDPOINT": "https://fake-azure-endpoint.openai.azure.com",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_PERSONAL_ACCESS_TOKEN": "unused",
    "CREWAI_PLUS_URL": "https://fake.crewai.com",
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "EXA_API_KEY": "unused",
    "EXA_BASE_URL": "https://api.exa.ai",
    "GEMINI_API_KEY": "unused",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_API_BASE": "https://api.openai.com/v1",
    "OPENAI_API_KEY": "unused",
    "OPENAI_API_VERSION": "2024-02-15-preview",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENROUTER_API_KEY": "unused",
    "OTEL_SDK_DISABLED": "true",
    "PYTEST_VCR_RECORD_MODE": "none",
    "SERPER_API_KEY": "unused",
}

# How its repository runs them, but for the order, which is not shuffled, and for a longer time-out.
CONFIGURATION = """\
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
markers =
    telemetry: telemetry is not replaced
"""

# Stand-ins for the files of another package's tests that these read. The answers were recorded, so what they show does
# not matter; their kind does.
FILES = {
    "agents.pdf": b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>>>> endobj
4 0 obj <</Length 33>> stream
BT /F 9 Tf 9 9 Td (agents) Tj ET

endstream endobj
5 0 obj <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>> endobj
trailer <</Root 1 0 R>>
startxref
300
%%EOF
""",
    "revenue_chart.png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    ),
    "review_guidelines.txt": b"Be kind, be brief.\n",
    "sample_audio.wav": b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00",
    "sample_video.mp4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
}

KNOWN: dict[str, str] = {
    "tests/tools/test_tool_failure.py::TestRepeatedToolCallStopsTheRun::test_native_loop_stops_the_crew_early": (
        "its model makes one call with one result for ever: the repetition rule answers from the third on, and ends it at "
        "the sixth, where CrewAI would have at the fifth"
    ),
    "tests/tools/test_tool_failure.py::TestKickoffGuardrailRetries::test_blocked_attempt_failures_survive_the_retry": (
        "on the oldest version its model answers the guardrail's retry with one step 26 times over, which is what the "
        "repetition rule ends at the sixth"
    ),
}
"""Tests that differ when guarded, each with its reason."""


def folder_of(version: str) -> Path:
    """The folder of one version: its tests where its repository has them, and its environment."""
    distribution = f"crewai=={version}"

    def prepare(folder: Path) -> None:
        source = unpacked_source(distribution, folder)
        (folder / "lib").mkdir()
        shutil.move(source, folder / "lib" / "crewai")
        create_environment(folder, f"crewai[{','.join(EXTRAS)}]=={version}", *TOOLS)

    folder = prepared(f"crewai-{version}", (distribution, EXTRAS, TOOLS), prepare)
    package = folder / "lib" / "crewai"
    (package / "pytest.ini").write_text(CONFIGURATION)
    files = folder / "lib" / "crewai-files" / "tests" / "fixtures"
    files.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (files / name).write_bytes(content)
    (folder / "home").mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("crewai_conftest.py"), package / "conftest.py")
    return folder


def suite(name: str, folder: Path, *, fast: bool) -> Suite:
    """The tests of one version, or the part of them that is run often."""
    package = folder / "lib" / "crewai"
    left_out = set(REPOSITORY_TESTS)
    if fast:
        left_out |= {path.name for path in (package / "tests").glob("*") if path.name not in FAST}
    own = {"HOME": str(folder / "home"), "CREWAI_STORAGE_DIR": str(folder / "home" / "storage")}
    return Suite(
        title=f"crewai-{name} ({VERSIONS[name]}{', the fast part' if fast else ''})",
        adapter=ADAPTER,
        python=python_of(folder),
        folder=package,
        arguments=(
            "--dist", "loadfile", "--import-mode", "importlib", "--timeout", "180", "--block-network",
            *(f"--ignore=tests/{place}" for place in sorted(left_out)),
        ),
        variables=VARIABLES | own,
        known=KNOWN,
    )  # fmt: skip


def main() -> int:
    """Run what was asked for, by default both versions whole."""
    wanted = set(sys.argv[1:])
    unexplained = 0
    for name, version in VERSIONS.items():
        if not wanted & VERSIONS.keys() or name in wanted:
            unexplained += suite(name, folder_of(version), fast="fast" in wanted).compare()
            sys.stdout.flush()
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
