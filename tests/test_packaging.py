"""What is shipped is what is promised: extras, packages, and rooms of a readable size."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import mas_guard
from mas_guard._guard import shared_guard

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 400  # lines


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_the_extras_hold_what_the_adapters_support() -> None:
    extras = project()["project"]["optional-dependencies"]
    adapters = shared_guard().adapters()
    assert {adapter.name for adapter in adapters} == {"crewai", "langgraph", "openai", "openai-agents"}
    for adapter in adapters:
        (extra,) = extras[adapter.name]
        assert extra.partition(";")[0] == f"{adapter.target}{adapter.supports}"


def test_every_package_is_in_the_wheel_and_typed() -> None:
    packages = project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    adapters = sorted(path for path in (ROOT / "adapters").iterdir() if path.is_dir() and path.name != "__pycache__")
    assert packages == ["mas_guard", *(str(path.relative_to(ROOT)) for path in adapters)]
    assert all((ROOT / package / "py.typed").exists() for package in packages)
    assert not (ROOT / "adapters" / "__init__.py").exists()


def test_every_public_name_is_there() -> None:
    assert sorted(mas_guard.__all__) == sorted(set(mas_guard.__all__))
    for name in mas_guard.__all__:
        assert getattr(mas_guard, name) is not None
    assert project()["project"]["version"] == mas_guard.__version__


def test_no_file_is_over_four_hundred_lines_without_a_reason_at_its_top() -> None:
    for folder in ("mas_guard", "adapters", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            lines = path.read_text("utf-8").splitlines()
            if len(lines) > LONGEST_FILE:
                assert any("one file because" in line.lower() for line in lines[:20]), f"{path}: {len(lines)} lines"
