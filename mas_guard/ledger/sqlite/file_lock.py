"""The order among processes that write: two locked files beside the database.

SQLite's own busy handler sleeps and tries again; one who comes back at once is always quicker than one who
sleeps, so a busy process keeps the others out for seconds. Here whoever wants to write first takes the turnstile
and keeps it until it has the lock: so the one who has just written cannot be next while somebody is waiting.

Both are advisory locks of the system, which end with the process that holds them. Waiting is by trying again
after a moment, because a wait inside the system could not be ended by a time-out.

The garbage collector may interrupt whoever holds the lock with a call on the same thread, by way of another object
on the same file. Since it could not wait for itself, that call passes: the lock keeps an order and protects nothing.
"""

from __future__ import annotations

import os
import threading
import time

try:
    import fcntl
except ImportError:  # Windows: SQLite's own locks keep the ledger right there too, the order is left to chance
    fcntl = None  # type: ignore[assignment]

SHORTEST_PAUSE = 0.000_05  # seconds
LONGEST_PAUSE = 0.001

_within: set[tuple[str, int]] = set()  # files, and the threads of this process that hold their lock or wait for it


class FileLock:
    """One process at a time, in a fair order. Not for several threads at once: their order is made before.

    Args:
        path: The two files are named after it, `-turnstile` and `-lock` appended. They are created for their
            owner alone, are empty, and stay.
    """

    def __init__(self, path: str) -> None:
        self._paths = (f"{path}-turnstile", f"{path}-lock")
        self._files: tuple[int, ...] = ()
        self._passing = 0

    @property
    def passing(self) -> bool:
        """True where this thread held the lock already, or waited for it, when it was acquired here."""
        return self._passing > 0

    def acquire(self, seconds: float) -> bool:
        """Take the lock; False where that took longer than *seconds*."""
        if fcntl is None:
            return True
        me = (self._paths[1], threading.get_ident())
        if me in _within:
            self._passing += 1
            return True
        if not self._files:
            self._open()
        _within.add(me)
        taken = False
        try:
            taken = self._acquire(time.monotonic() + seconds)
        finally:
            if not taken:
                _within.discard(me)
        return taken

    def _acquire(self, until: float) -> bool:
        turnstile, lock = self._files
        if not _take(turnstile, until):
            return False
        try:
            return _take(lock, until)
        finally:
            fcntl.flock(turnstile, fcntl.LOCK_UN)

    def release(self) -> None:
        """Let the lock go; without it, nothing happens."""
        if self._passing:
            self._passing -= 1
            return
        _within.discard((self._paths[1], threading.get_ident()))
        if self._files:
            fcntl.flock(self._files[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Close both files, as before a fork: a child that inherits them would share the parent's locks."""
        files, self._files = self._files, ()
        for file in files:
            os.close(file)

    def _open(self) -> None:
        opened: list[int] = []
        try:
            for path in self._paths:
                opened.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError:
            for file in opened:
                os.close(file)
            raise
        self._files = tuple(opened)


def _take(file: int, until: float) -> bool:
    pause = SHORTEST_PAUSE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_within.clear)  # the parent holds what it held
