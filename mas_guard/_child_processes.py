"""Hands the run to the child processes of an app under `mas-guard run`, by a variable in their environment.

`subprocess` and asyncio's subprocesses start through `subprocess.Popen`. The workers of `multiprocessing`'s spawn method
and of task queues are not the child of one run: hand the run to their jobs with `inject` and `extract`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from mas_guard._context import ENVIRONMENT, inject
from mas_guard._group import current_groups
from mas_guard._run import current_run
from mas_guard.errors import StoreUnavailable
from mas_guard.patching import Patch, PatchSet

logger = logging.getLogger("mas_guard")

_PLACE_OF_ENV = 10  # among the positional arguments of `Popen`


def _make_popen(original: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Any, *arguments: Any, **keywords: Any) -> None:
        run, groups = current_run.get(), current_groups.get()
        if not (run.store.shared if run is not None else groups):
            return original(self, *arguments, **keywords)
        given = list(arguments)
        positional = len(given) > _PLACE_OF_ENV
        environment = dict((given[_PLACE_OF_ENV] if positional else keywords.get("env")) or os.environ)
        try:
            inject(environment, header=ENVIRONMENT)
        except StoreUnavailable as lost:
            told = f"a child process was started outside of the run, since the store was lost: {lost}"
            logger.warning("%s", told)
            if run is not None:
                run.note(told)
            return original(self, *arguments, **keywords)
        if positional:
            given[_PLACE_OF_ENV] = environment
        else:
            keywords["env"] = environment
        return original(self, *given, **keywords)

    return begin


child_patches = PatchSet("python", (Patch("subprocess", "Popen.__init__", _make_popen, faithful=True),))
"""Put in by `mas-guard run` alone: a process that only wraps its apps starts its children as ever."""
