"""The environment that `mas-guard run` gives to what it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mas_guard._launched import ACTIVE, DIRECTORY, MODULES, REQUIRED, SETTINGS, TOP

START = str(Path(__file__).parent / "start")
"""The directory of our `sitecustomize`."""


def guarded_environment(
    environ: Mapping[str, str],
    *,
    settings: Mapping[str, Any],
    modules: Iterable[str],
    require_armed: bool,
) -> dict[str, str]:
    """*environ* so that every Python started with it arms itself.

    Args:
        environ: What the app would get without us.
        settings: The settings of the command line.
        modules: The modules whose import arms: one for every adapter.
        require_armed: Whether an interpreter without mas-guard must not start.
    """
    before = environ.get("PYTHONPATH", "")
    # An empty entry is the working directory, and stays.
    others = [entry for entry in before.split(os.pathsep) if not entry or os.path.abspath(entry) != START]
    return {
        **unguarded_environment(environ, settings=settings),
        "PYTHONPATH": os.pathsep.join([START, *others] if before else [START]),
        ACTIVE: "1",
        MODULES: ",".join(modules),
        REQUIRED: "1" if require_armed else "",
        TOP: str(os.getpid()),  # exec keeps it
    }


def unguarded_environment(environ: Mapping[str, str], *, settings: Mapping[str, Any]) -> dict[str, str]:
    """*environ* with the settings of the command line, for apps that wrap themselves; nothing arms by itself."""
    given = {**environ, ACTIVE: "", DIRECTORY: environ.get(DIRECTORY) or os.getcwd()}
    if settings:
        given[SETTINGS] = json.dumps(settings, default=str)
    return given
