"""The OpenAI Agents SDK's own suite and examples, bare and guarded in enforce mode with every setting at its default.

Both come from the source distribution of exactly that version and run with the packages that its own lock file pins.
Prints the counts of both and everything that differs; exits 1 where something differs that is not named in `KNOWN`.
Run it by `make upstream-openai-agents`; arguments choose by name: `newest`, `oldest`, `tests`, `examples`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from openai_agents_examples import Examples
from suites import UV, Suite, create_environment, install, prepared, python_of, run, unpacked_source

VERSIONS = {"newest": "0.24.0", "oldest": "0.20.0"}

# What its tests use; sandbox providers are left out but for Docker's client, whose tests need no Docker.
EXTRAS = ("litellm", "any-llm", "sqlalchemy", "encrypt", "redis", "voice", "viz", "docker")

# Tools of its repository that no test imports; some of them would have to be compiled.
UNUSED = (
    "evdev", "mkdocs", "mkdocs-material", "mkdocs-static-i18n", "mkdocstrings", "playwright", "pynput", "pyright",
    "sounddevice", "testcontainers", "types-pynput",
)  # fmt: skip

# Tests of the repository, not of the package: what they read is not in the source distribution.
REPOSITORY_TESTS = (
    "docs", "test_asyncio_stability_command.py", "test_change_detection.py", "test_check_optional_truthiness.py",
    "test_code_change_verification_policy.py", "test_code_change_verification_runner.py", "test_integration_runner.py",
    "test_release_automation.py", "test_release_please.py", "test_release_provenance.py",
    "test_released_api_contract.py", "test_repository_workflow_interfaces.py", "test_run_serial_tests.py",
    "test_run_state_compatibility_corpus.py", "test_update_rclone_pin.py",
)  # fmt: skip

ADAPTER = "openai-agents"

KNOWN: dict[str, str] = {
    "tests/test_hitl_error_scenarios.py::test_preserve_max_turns_when_resuming_from_runresult_state": (
        "its model makes one call with one result eleven times over, which is what the repetition rule ends at the sixth"
    ),
}
"""Tests that differ when guarded, each with its reason."""


def pins(source: Path) -> Path:
    """The versions in the SDK's own lock file, as a requirements file."""
    target = source.parent / "pins.txt"
    options = [part for extra in EXTRAS for part in ("--extra", extra)]
    options += [part for package in UNUSED for part in ("--prune", package)]
    run(UV, "export", "-q", "--frozen", "--project", source, "--no-emit-project", "--no-hashes", "--group", "dev",
        *options, "-o", target)  # fmt: skip
    return target


def folder_of(version: str) -> Path:
    """The folder of one version, with its source and its environment."""
    distribution = f"openai-agents=={version}"

    def prepare(folder: Path) -> None:
        source = unpacked_source(distribution, folder)
        create_environment(folder, "-r", pins(source), "psutil")
        # The tests import the source; this makes its version known, by which the guard decides whether to arm.
        install(folder, "--no-deps", distribution)

    return prepared(f"openai-agents-{version}", (distribution, EXTRAS, UNUSED), prepare)


def suite(name: str, folder: Path, source: Path) -> Suite:
    """The tests of one version; those that have to run alone on a machine are left out."""
    ignored = [f"--ignore=tests/{place}" for place in REPOSITORY_TESTS]
    return Suite(
        title=f"openai-agents-{name} ({VERSIONS[name]})",
        adapter=ADAPTER,
        python=python_of(folder),
        folder=source,
        arguments=("-m", "not serial", *ignored),
        import_paths=(source / "src",),
        known=KNOWN,
    )


def main() -> int:
    """Run what was asked for, by default all."""
    wanted = set(sys.argv[1:])
    unexplained = 0
    for name, version in VERSIONS.items():
        if wanted & VERSIONS.keys() and name not in wanted:
            continue
        folder = folder_of(version)
        source = folder / f"openai_agents-{version}"
        if "examples" not in wanted or "tests" in wanted:
            unexplained += suite(name, folder, source).compare()
        if "tests" not in wanted or "examples" in wanted:
            unexplained += Examples(
                f"openai-agents-{name} examples ({version})", ADAPTER, python_of(folder), source
            ).compare()
        sys.stdout.flush()
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
