"""LangGraph's own suites, bare and guarded in enforce mode with every setting at its default.

Each suite comes from the source distribution of exactly that version. Prints the counts of both and every test that
differs; exits 1 where a test differs that is not named in `KNOWN`. Run it by `make upstream-langgraph`; arguments
choose suites by name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".upstream"
UV = ROOT / ".uv" / "bin" / "uv"

COMMON = (
    "pytest", "pytest-cov", "pytest-dotenv", "pytest-mock", "syrupy", "httpx", "pytest-watcher",
    "pytest-xdist[psutil]", "pytest-repeat", "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres", "psycopg[binary]", "uvloop", "pycryptodome", "redis", "langgraph-cli[inmem]",
    "click", "pluggy", "wrapt", "pydantic", "hatchling",
)  # fmt: skip

LONGEST = 1800  # seconds for one run of one suite

KNOWN: dict[str, str] = {}
"""Tests that differ when guarded, each with its reason."""


@dataclass(frozen=True)
class Suite:
    """One suite: the distribution whose `tests/` are run, and what it is run with."""

    name: str
    source: str
    requires: tuple[str, ...]


SUITES = (
    Suite("langgraph-newest", "langgraph==1.2.22", ("langgraph==1.2.22", "langchain-core==1.7.2")),
    Suite("prebuilt", "langgraph-prebuilt==1.1.2", ("langgraph==1.2.22", "langgraph-prebuilt==1.1.2")),
    Suite(
        "supervisor",
        "langgraph-supervisor==0.0.31",
        ("langgraph==1.2.22", "langgraph-supervisor==0.0.31", "pytest-asyncio"),
    ),
    Suite("swarm", "langgraph-swarm==0.1.0", ("langgraph==1.2.22", "langgraph-swarm==0.1.0", "pytest-asyncio")),
    Suite(
        "langgraph-oldest", "langgraph==1.1.0", ("langgraph==1.1.0", "langgraph-prebuilt<1.0.9", "langchain-core<1.3")
    ),
)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


def prepare(suite: Suite) -> Path:
    """Fetch the tests and install what they need; returns the folder to run them in."""
    folder = WORK / suite.name
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = os.environ.get("PYTHON", "python3")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "download", "--no-deps", "--no-binary", ":all:", suite.source, "-d", folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = (path.parent for path in folder.glob("*/tests"))
    # Only the tests: the package itself is the installed one.
    shutil.move(unpacked / "tests", folder / "tests")
    shutil.rmtree(unpacked)
    run(UV, "venv", "-q", folder / "venv")
    run(UV, "pip", "install", "-q", "--python", folder / "venv", *suite.requires, *COMMON)
    run(UV, "pip", "install", "-q", "--python", folder / "venv", "--no-deps", "--no-build-isolation", "-e", ROOT)
    (folder / "ready").touch()
    return folder


def outcomes(folder: Path, *tests: str, guarded: bool) -> tuple[str, set[str]]:
    """Run the suite, or *tests* of it; returns pytest's closing line and the tests that did not pass."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAS_GUARD_")}
    environment |= {"NO_DOCKER": "true", "LANGSMITH_TRACING": "false", "PYTHONPATH": str(ROOT / "tests" / "upstream")}
    plugin = ["-p", "instrumented"] if guarded else []
    # LangGraph's own asynchronous tests run under anyio; the two small suites use pytest-asyncio.
    if any((folder / "venv").glob("lib/*/site-packages/pytest_asyncio")):
        plugin += ["-o", "asyncio_mode=auto"]
    finished = subprocess.run(
        [folder / "venv/bin/python", "-m", "pytest", *plugin, "-q", "-n", "2", "--tb=no", "-rfE", "-p", "no:cacheprovider",
         "-o", "addopts=", *(tests or ("tests",))],
        cwd=folder, env=environment, text=True, capture_output=True, check=False, timeout=LONGEST,
    )  # fmt: skip
    lines = finished.stdout.splitlines()
    closing = next((line for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "no result")
    failed = {match[1] for line in lines if (match := re.match(r"(?:FAILED|ERROR) (\S+)", line))}
    return closing, failed


def main() -> int:
    """Run the suites that were asked for, by default all."""
    wanted = sys.argv[1:]
    unexplained = 0
    for suite in SUITES:
        if wanted and suite.name not in wanted:
            continue
        folder = prepare(suite)
        bare, bare_failed = outcomes(folder, guarded=False)
        guarded, guarded_failed = outcomes(folder, guarded=True)
        print(f"{suite.name} ({suite.source})\n  bare     {bare}\n  guarded  {guarded}")
        differing = sorted(guarded_failed - bare_failed)
        if differing:
            # Some tests hold wall-clock bounds, which a busy machine breaks: a difference must show alone as well.
            _, again = outcomes(folder, *differing, guarded=True)
            for test in set(differing) - again:
                print(f"  passes alone  {test}")
            differing = sorted(again)
        for test in differing:
            reason = KNOWN.get(test.split("[")[0], "")
            unexplained += not reason
            print(f"  differs  {test}: {reason or 'NOT EXPLAINED'}")
        for test in sorted(bare_failed - guarded_failed):
            print(f"  fails bare only  {test}")
        sys.stdout.flush()
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
