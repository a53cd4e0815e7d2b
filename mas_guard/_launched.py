"""What `mas-guard run` hands to the processes it starts, in variables that they inherit.

Standard library only: this is read in every process that is started, whether it ever imports a framework or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ACTIVE = "MAS_GUARD_RUN__ACTIVE"
"""`1` where the process was started by `mas-guard run`; without it nothing arms."""

SETTINGS = "MAS_GUARD_RUN__SETTINGS"
"""The settings given by `--set` and `--mode`, as a JSON object."""

DIRECTORY = "MAS_GUARD_RUN__DIRECTORY"
"""Where `mas-guard run` was started: settings files are looked for there, wherever the app goes."""

MODULES = "MAS_GUARD_RUN__MODULES"
"""The modules whose import arms the guard, by comma."""

TOP = "MAS_GUARD_RUN__TOP"
"""The process id of the app itself; its children inherit the variable and have other ids."""

REQUIRED = "MAS_GUARD_RUN__REQUIRED"
"""`1` where `REQUIRE_ARMED` holds: an interpreter without mas-guard must not start the app."""


def command_line_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the command line that started this process; empty where there was none."""
    text = environ.get(SETTINGS, "")
    if not text:
        return {}
    import json  # only where there are some

    found: dict[str, Any] = json.loads(text)
    return found


def settings_directory(environ: Mapping[str, str]) -> str:
    """Where settings files are looked for: where `mas-guard run` was started, else the working directory."""
    return environ.get(DIRECTORY, "") or "."
