"""LangGraph's own suites, bare and guarded in enforce mode with every setting at its default.

Each suite comes from the source distribution of exactly that version. Prints the counts of both and every test that
differs; exits 1 where a test differs that is not named in `KNOWN`. Run it by `make upstream-langgraph`; arguments
choose suites by name.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from suites import Suite, create_environment, prepared, python_of, unpacked_source

COMMON = (
    "pytest", "pytest-cov", "pytest-dotenv", "pytest-mock", "syrupy", "httpx", "pytest-watcher",
    "pytest-xdist[psutil]", "pytest-repeat", "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres", "psycopg[binary]", "uvloop", "pycryptodome", "redis", "langgraph-cli[inmem]",
)  # fmt: skip

KNOWN: dict[str, str] = {}
"""Tests that differ when guarded, each with its reason."""


@dataclass(frozen=True)
class Recipe:
    """One suite: the distribution whose `tests/` are run, and what it is run with."""

    name: str
    source: str
    requires: tuple[str, ...]


RECIPES = (
    Recipe("langgraph-newest", "langgraph==1.2.22", ("langgraph==1.2.22", "langchain-core==1.7.2")),
    Recipe("prebuilt", "langgraph-prebuilt==1.1.2", ("langgraph==1.2.22", "langgraph-prebuilt==1.1.2")),
    Recipe(
        "supervisor",
        "langgraph-supervisor==0.0.31",
        ("langgraph==1.2.22", "langgraph-supervisor==0.0.31", "pytest-asyncio"),
    ),
    Recipe("swarm", "langgraph-swarm==0.1.0", ("langgraph==1.2.22", "langgraph-swarm==0.1.0", "pytest-asyncio")),
    Recipe(
        "langgraph-oldest", "langgraph==1.1.0", ("langgraph==1.1.0", "langgraph-prebuilt<1.0.9", "langchain-core<1.3")
    ),
)


def suite(recipe: Recipe) -> Suite:
    """Fetch the tests and install what they need."""

    def prepare(folder: Path) -> None:
        unpacked = unpacked_source(recipe.source, folder)
        # Only the tests: the package itself is the installed one.
        shutil.move(unpacked / "tests", folder / "tests")
        shutil.rmtree(unpacked)
        create_environment(folder, *recipe.requires, *COMMON)

    folder = prepared(recipe.name, (recipe, COMMON), prepare)
    # LangGraph's own asynchronous tests run under anyio; the two small suites use pytest-asyncio.
    asynchronous = any((folder / "venv").glob("lib/*/site-packages/pytest_asyncio"))
    return Suite(
        title=f"{recipe.name} ({recipe.source})",
        adapter="langgraph",
        python=python_of(folder),
        folder=folder,
        arguments=("-o", "asyncio_mode=auto") if asynchronous else (),
        variables={"NO_DOCKER": "true", "LANGSMITH_TRACING": "false"},
        known=KNOWN,
    )


def main() -> int:
    """Run the suites that were asked for, by default all."""
    wanted = sys.argv[1:]
    unexplained = 0
    for recipe in RECIPES:
        if not wanted or recipe.name in wanted:
            unexplained += suite(recipe).compare()
            sys.stdout.flush()
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
