"""Imported by every Python that `mas-guard run` starts: arms, then makes way for another sitecustomize."""

from __future__ import annotations

import importlib
import os
import sys


def _leave_the_path() -> None:
    # The app finds sys.path as it would be without us; its children inherit PYTHONPATH and are guarded all the same.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]


def _arm() -> None:
    try:
        from mas_guard.launch import arm

        arm()
    except Exception as error:  # an interpreter without mas-guard, or a bug of ours: the app runs, and it is said
        sys.stderr.write(
            f"mas-guard is NOT armed in {sys.executable} ({type(error).__name__}: {error}): this process runs "
            f"unguarded. Install it there: {sys.executable} -m pip install mas-guard\n"
        )
        if os.environ.get("MAS_GUARD_RUN__REQUIRED") == "1":
            sys.stderr.write("MAS_GUARD_REQUIRE_ARMED=true: the process ends here.\n")
            sys.stderr.flush()
            os._exit(2)  # an exception would only be printed by Python's start


def _chain() -> None:
    own = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")  # the next one on sys.path, if there is one
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)


_leave_the_path()
_arm()
_chain()
