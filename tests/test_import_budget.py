"""`import mas_guard` is cheap and brings no framework; neither do the adapters' front doors."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = ("langgraph", "langchain_core", "langchain", "openai", "agents", "crewai", "pydantic", "click")
CPU_LIMIT = 0.100  # seconds of CPU, user and system, beyond a bare interpreter

MEASURE = """
import resource
{imports}
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def loaded_frameworks(code: str) -> str:
    """Which frameworks *code* brings into a fresh interpreter."""
    ending = f"; import sys; print([name for name in {FRAMEWORKS!r} if name in sys.modules])"
    return run(code + ending).strip()


def cpu_seconds(imports: str) -> float:
    """The CPU time of a fresh interpreter that runs *imports*; the least of five, since noise only adds."""
    return min(float(run(MEASURE.format(imports=imports))) for _ in range(5))


def run(code: str) -> str:
    """What *code* prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_mas_guard_loads_no_framework() -> None:
    assert loaded_frameworks("import mas_guard") == "[]"


def test_the_public_names_load_no_framework() -> None:
    assert loaded_frameworks("import mas_guard; [getattr(mas_guard, name) for name in mas_guard.__all__]") == "[]"


@pytest.mark.parametrize("adapter", ["mas_guard_langgraph", "mas_guard_openai"])
def test_an_adapters_front_door_loads_no_framework(adapter: str) -> None:
    assert loaded_frameworks(f"import {adapter}") == "[]"


def test_what_mas_guard_run_puts_into_every_process_loads_no_framework() -> None:
    assert loaded_frameworks("import mas_guard.launch") == "[]"


def test_importing_mas_guard_takes_less_than_a_tenth_of_a_second_of_cpu() -> None:
    assert cpu_seconds("import mas_guard") - cpu_seconds("") < CPU_LIMIT


def test_what_every_process_under_mas_guard_run_pays_takes_less_than_that_as_well() -> None:
    assert cpu_seconds("import mas_guard.launch") - cpu_seconds("") < CPU_LIMIT
