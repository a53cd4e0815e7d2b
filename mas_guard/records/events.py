"""The audit record: one JSON object a line, written to a path or to standard output.

A path may hold `{pid}` and `{date}`. A full disk or a path that cannot be written never reaches the app: the
fault is logged once, counted, and said in the outcome; later lines are tried again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger("mas_guard")

EVENT_VERSION = 1


@cache
def event_schema() -> dict[str, Any]:
    """Return the published JSON schema of one event line."""
    return json.loads(Path(__file__).with_name("event.schema.json").read_text("utf-8"))  # type: ignore[no-any-return]


class EventSink:
    """Writes events to where `EVENTS` says.

    Attributes:
        lost: How many lines could not be written.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.lost = 0
        # Re-entrant: the garbage collector may settle an abandoned stream, and so write, in the middle of a write.
        self._lock = threading.RLock()
        self._file: Any = None
        self._path = ""

    def write(self, event: Mapping[str, Any]) -> None:
        """Append *event*; never raises."""
        try:
            line = json.dumps(event, ensure_ascii=False, default=str, separators=(",", ":"))
            with self._lock:
                out = self._open()
                out.write(line + "\n")
                out.flush()
        except Exception as error:  # a full disk, a closed pipe: the app goes on
            self.lost += 1
            if self.lost == 1:
                logger.error(
                    "Events cannot be written to %s: %s. Lines are lost until that works again; set "
                    "MAS_GUARD_EVENTS to a path that can be written. Logged once.",
                    self.target,
                    error,
                )

    def _open(self) -> Any:
        if self.target == "stdout":
            return sys.stdout
        path = self.target.replace("{pid}", str(os.getpid())).replace("{date}", time.strftime("%Y-%m-%d"))
        if path != self._path or self._file is None:
            if self._file is not None:
                self._file.close()
            Path(path).expanduser().parent.mkdir(parents=True, exist_ok=True)
            self._file = open(Path(path).expanduser(), "a", encoding="utf-8")  # noqa: SIM115 - kept open over lines
            self._path = path
        return self._file

    def close(self) -> None:
        """Close the file, if one is open."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
