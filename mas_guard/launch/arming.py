"""Arms a process that `mas-guard run` started: nothing but the standard library until a framework is imported."""

from __future__ import annotations

import atexit
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from mas_guard._imports import import_watch
from mas_guard._launched import ACTIVE, MODULES, REQUIRED, TOP

if TYPE_CHECKING:
    from mas_guard.launch.summary import Recorder

STOPPED = 3
CONFIGURATION = 2

_OUR_OWN = "mas_guard._guard"  # an app that guards plain Python imports no framework

_armed = False
_begun = False
_recorder: Recorder | None = None
_failure = ""


def arm() -> None:
    """Arm this process if `mas-guard run` started it. A second call does nothing."""
    global _armed
    if _armed or os.environ.get(ACTIVE) != "1":
        return
    _armed = True
    _chain_excepthook()
    atexit.register(_close)
    there = False
    for module in filter(None, (*os.environ.get(MODULES, "").split(","), _OUR_OWN)):
        if module in sys.modules:
            there = True
        else:
            import_watch.when_imported(module, _instrument)
    if there:
        _instrument()


def _instrument() -> None:
    """The first framework is imported, or mas-guard by the app: instrument the process."""
    global _begun, _recorder, _failure
    if _begun:
        return
    _begun = True  # loading the guard brings us here again
    from mas_guard.errors import GuardError

    try:
        from mas_guard._guard import shared_guard
        from mas_guard.launch.summary import Recorder

        _recorder = Recorder()
        guard = shared_guard()
        guard.register(_recorder)
        guard.launch()
    except GuardError as error:
        # A wrong setting, or REQUIRE_ARMED: on purpose, and fatal.
        _failure = str(error)
        raise
    except Exception as error:  # our own bug never breaks the app, and never passes for being armed
        _failure = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"mas-guard is NOT armed, the app runs unguarded: {_failure}. Please report this.\n")
        if os.environ.get(REQUIRED) == "1":
            raise


def _chain_excepthook() -> None:
    before = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, trace)
        code = _exit_code(error)
        if code:
            raise SystemExit(code)  # Python ends with this code where a hook raises it

    sys.excepthook = excepthook


def _exit_code(error: BaseException) -> int:
    errors = sys.modules.get("mas_guard.errors")
    if errors is None:
        return 0
    if isinstance(error, BaseExceptionGroup):
        codes = {_exit_code(inner) for inner in error.exceptions}
        return codes.pop() if len(codes) == 1 else 0
    if isinstance(error, errors.GuardStopped):
        return STOPPED
    return CONFIGURATION if isinstance(error, errors.ConfigError | errors.AdapterError) else 0


def _close() -> None:
    """Say what was armed and what the runs spent; in the app's own process, and in children that had runs."""
    top = os.environ.get(TOP) == str(os.getpid())
    try:
        if _recorder is not None and (top or _recorder.count):
            from mas_guard.launch.summary import closing_summary

            sys.stderr.write(closing_summary(_recorder, _failure))
        elif top:
            looked_for = os.environ.get(MODULES, "").replace(",", ", ") or "none"
            sys.stderr.write(
                f"mas-guard: nothing was armed in this process, it imported no framework (looked for: {looked_for}). "
                "`mas-guard doctor` shows what is installed.\n"
            )
        sys.stderr.flush()
    except Exception:  # a closed stderr or a bug in a summary must not change how the app ends
        return
