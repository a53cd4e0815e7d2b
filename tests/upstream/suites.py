"""What the frameworks' own suites share: where they are set up, how they run bare and guarded, what a difference is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".upstream"
UV = ROOT / ".uv" / "bin" / "uv"

LONGEST = 1800  # seconds for one run of one suite
ATTEMPTS = 3  # how often a test must differ when it runs alone


@dataclass(frozen=True)
class Outcomes:
    """What one run of pytest said: its closing line, the tests that did not pass, and what the guard armed."""

    closing: str
    failed: frozenset[str]
    guard: str


@dataclass(frozen=True)
class Suite:
    """One version of a framework with its tests, ready to be run.

    Attributes:
        title: What its figures are printed under.
        adapter: The name of the adapter that has to be armed.
        python: The interpreter of its environment.
        folder: Where pytest runs.
        arguments: Added to pytest's command line.
        variables: Added to its environment.
        import_paths: Go before the environment's own packages.
        known: Tests that differ when guarded, each with its reason.
    """

    title: str
    adapter: str
    python: Path
    folder: Path
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    import_paths: tuple[Path, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)

    def outcomes(self, *tests: str, guarded: bool, workers: int = 2) -> Outcomes:
        """Run the suite, or *tests* of it; 0 workers run it in pytest's own process."""
        paths = (*self.import_paths, ROOT / "tests" / "upstream")
        environment = unguarded_environment() | dict(self.variables) | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        plugin = ["-p", "instrumented"] if guarded else []
        finished = subprocess.run(
            [self.python, "-m", "pytest", *plugin, "-q", "-n", str(workers), "--tb=no", "-rfE", "-p", "no:cacheprovider",
             "-o", "addopts=", *self.arguments, *(tests or ("tests",))],
            cwd=self.folder, env=environment, text=True, capture_output=True, check=False, timeout=LONGEST,
        )  # fmt: skip
        lines = finished.stdout.splitlines()
        closing = next((line for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "no result")
        # A test's parameters may have spaces; the reason comes after a dash.
        failed = {match[1] for line in lines if (match := re.match(r"(?:FAILED|ERROR) (.+?)(?: - |$)", line))}
        guard = next((line for line in reversed(lines) if line.startswith("mas-guard armed")), "mas-guard: no word")
        return Outcomes(closing, frozenset(failed), guard)

    def compare(self) -> int:
        """Print both closing lines and every difference; returns how many are not explained."""
        print(self.title, flush=True)
        bare = self.outcomes(guarded=False)
        print(f"  bare     {bare.closing}", flush=True)
        guarded = self.outcomes(guarded=True)
        print(f"  guarded  {guarded.closing}\n  {guarded.guard}", flush=True)
        unexplained = 0
        if not re.search(rf"\b{self.adapter} \d", guarded.guard):
            print(f"  NOT ARMED  {self.adapter}")
            unexplained += 1
        if "no result" in (bare.closing, guarded.closing):
            unexplained += 1
        differing = sorted(guarded.failed - bare.failed)
        # Apart: a test that the guard stops may leave something behind that the next one in its process would meet.
        explained = [test for test in differing if test.split("[")[0] in self.known]
        others = [test for test in differing if test not in explained]
        for test in (*self._differing_alone(explained), *self._differing_alone(others)):
            reason = self.known.get(test.split("[")[0], "")
            unexplained += not reason
            print(f"  differs  {test}: {reason or 'NOT EXPLAINED'}")
        for test in sorted(bare.failed - guarded.failed):
            print(f"  fails bare only  {test}")
        return unexplained

    def _differing_alone(self, tests: list[str]) -> list[str]:
        """Those of *tests* that fail guarded each time, and pass bare, without the rest of the suite.

        Some tests hold wall-clock bounds, which a busy machine breaks: a difference must show alone as well.
        """
        left = tests
        for _ in range(ATTEMPTS):
            if left:
                again = self.outcomes(*left, guarded=True, workers=0)
                if again.closing == "no result":
                    return tests
                left = [test for test in left if test in again.failed]
        for test in set(tests) - set(left):
            print(f"  passes alone  {test}")
        if not left:
            return []
        bare = self.outcomes(*left, guarded=False, workers=0)
        for test in bare.failed & set(left):
            print(f"  fails alone bare as well  {test}")
        return [test for test in left if test not in bare.failed]


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


def unguarded_environment() -> dict[str, str]:
    """This process's environment without settings of the guard, so that every one is at its default."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAS_GUARD_")}


def prepared(name: str, recipe: object, prepare: Callable[[Path], None]) -> Path:
    """The folder *name*, set up by *prepare* unless it was by this very *recipe* before.

    The guard is installed anew each time: its plugins are found by what was written at its installation.
    """
    folder = WORK / name
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != repr(recipe):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        prepare(folder)
        ready.write_text(repr(recipe))
    install(folder, "--no-deps", "--no-build-isolation", "-e", ROOT)
    return folder


def unpacked_source(source: str, folder: Path) -> Path:
    """Fetch the source distribution *source* (`name==version`) and unpack it inside *folder*."""
    pip = (os.environ.get("PYTHON", "python3"), "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "download", "--no-deps", "--no-binary", ":all:", source, "-d", folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = (path.parent for path in folder.glob("*/tests"))
    return unpacked


def create_environment(folder: Path, *packages: str | Path) -> None:
    """Make the virtual environment of *folder*: *packages*, and what the guard needs, which never brings its own."""
    run(UV, "venv", "-q", folder / "venv")
    install(folder, *packages, "click", "pluggy", "wrapt", "pydantic", "hatchling")


def install(folder: Path, *packages: str | Path) -> None:
    """Install into the virtual environment of *folder*."""
    run(UV, "pip", "install", "-q", "--python", folder / "venv", *packages)


def python_of(folder: Path) -> Path:
    """The interpreter of the virtual environment of *folder*."""
    return folder / "venv" / "bin" / "python"
