"""Which process has begun an effect, and whether it still runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_token = os.urandom(8).hex()


def _after_fork() -> None:
    global _token
    _token = os.urandom(8).hex()


os.register_at_fork(after_in_child=_after_fork)


class Process(NamedTuple):
    """A process, as a record names it.

    Attributes:
        token: Random; of one process alone, also after a fork.
        host: The name of its machine.
        pid: Its number there, which a later process may have again.
        began: When it began, in ticks since its machine did; empty where the system does not say.
    """

    token: str
    host: str
    pid: int
    began: str = ""

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> Process:
        """From a record."""
        return cls(
            str(saved.get("token", "")),
            str(saved.get("host", "")),
            int(saved.get("pid", 0)),
            str(saved.get("began", "")),
        )

    @property
    def is_this(self) -> bool:
        """True for the process that asks."""
        return self.token == _token

    def runs(self) -> bool:
        """True where it is known to run still; False where it is gone, or runs on another machine, if at all."""
        return bool(self.began) and self.host == _host() and _began(self.pid) == self.began


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(_token, _host(), pid, _began(pid))


def _host() -> str:
    import platform  # lazily: most processes have no such tools

    return platform.node()


def _began(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    # The name, in parentheses, may hold anything; the start is the twentieth field after it.
    fields = status.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]
