"""Records in one SQLite file, the ledger's, shared by the processes of one machine.

Every write is one statement that commits by itself and names the version that it replaces. So no transaction of ours is
ever open in between, not even for the garbage collector, which may settle an abandoned call in the same file at any
moment. The file lock around it keeps the order among processes and with the ledger, as it does there.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mas_guard.ledger.sqlite import forking
from mas_guard.records import sqlite_statements as statements
from mas_guard.records.sqlite_tables import RecordConnections
from mas_guard.records.store import RETENTION, Record, RecordStore, as_bytes, from_bytes, written

# What a commit waits for: that everything is on the disk, or that the system has it, which outlives the process alone.
SYNCED, UNSYNCED = "FULL", "NORMAL"

AT_ONCE = 64
"""Records that a scan reads at once."""

_NEWEST = (float("inf"), 0)
"""Where a scan begins."""


class SqliteRecordStore(RecordStore):
    """See `RecordStore`. Nothing is created before the first write.

    Args:
        path: The file; where there is none it is created for its owner alone.
        timeout: Seconds that a call waits for other processes before it raises.
        retention: Seconds that a record is kept after its last write, unless that says otherwise.
        clock: Seconds since the epoch.
        allow_network_file_system: Do not refuse one. Only for a file that one machine alone ever opens.

    Raises:
        ConfigError: From a call: the file lies on a network file system, or a later mas-guard wrote it.
        sqlite3.Error: From a call: the file is busy, full, read-only or damaged. Nothing was written then.
    """

    shared = True
    driver_errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(
        self,
        path: str | os.PathLike[str],
        timeout: float = 1.0,
        *,
        retention: float = RETENTION,
        clock: Callable[[], float] = time.time,
        allow_network_file_system: bool = False,
    ) -> None:
        self.place = os.path.abspath(path)
        self._timeout = timeout
        self._retention = retention
        self._clock = clock
        self._connections = RecordConnections(self.place, timeout, allow_network_file_system)
        self._turn = threading.RLock()
        self._held: list[threading.RLock] = []
        self._told: tuple[sqlite3.Connection, str] | None = None
        self._opened = False
        self._finalizer = weakref.finalize(self, self._connections.close)
        forking.follow(self)

    def get(self, kind: str, key: str) -> Record | None:
        """See `RecordStore.get`."""
        rows = self._rows(statements.GET, (kind, as_bytes(key), self._clock()))
        return _record(rows[0]) if rows else None

    def put(
        self,
        kind: str,
        key: str,
        value: Mapping[str, Any],
        *,
        version: int | None = None,
        keep: float | None = None,
        durable: bool = False,
    ) -> Record | None:
        """See `RecordStore.put`."""
        text, name = written(kind, value), as_bytes(key)
        with self._writing(durable) as execute:
            while True:
                now = self._clock()
                until = now + (self._retention if keep is None else keep)
                rows = self._rows(statements.STANDS, (kind, name, now))
                stands, made_at = rows[0] if rows else (0, now)
                if version not in (None, stands):
                    return None
                if stands:
                    done = execute(statements.REPLACE, (kind, name, now, until, text, stands, made_at)).rowcount
                else:
                    done = execute(statements.MAKE, (kind, name, now, until, text)).rowcount
                if done:
                    return Record(key, json.loads(text), stands + 1, made_at, now)
                if version is not None:
                    return None  # somebody came in between, who does not keep to the file lock

    def delete(self, kind: str, key: str, *, version: int | None = None) -> bool:
        """See `RecordStore.delete`."""
        if not self._is_there():
            return False
        with self._writing() as execute:
            return execute(statements.DELETE, (kind, as_bytes(key), self._clock(), version)).rowcount > 0

    def scan(self, kind: str, prefix: str = "") -> Iterator[Record]:
        """See `RecordStore.scan`."""
        if prefix:
            return self._scan_beginning(kind, as_bytes(prefix))
        return self._scan_all(kind)

    def disconnect(self) -> None:
        """Close this process's connections; the next call opens them again."""
        with self._turn:
            self._connections.close()

    # Forking

    def before_fork(self) -> None:
        """See `forking.py`."""
        locks = (self._turn, self._connections.reading)
        self._held = [lock for lock in locks if lock.acquire(timeout=3 * self._timeout)]
        if len(self._held) == len(locks):
            self._connections.close()

    def after_fork_in_parent(self) -> None:
        """See `forking.py`."""
        while self._held:
            self._held.pop().release()

    def after_fork_in_child(self) -> None:
        """See `forking.py`."""
        self._held = []
        self._turn = threading.RLock()
        self._connections.start_anew()

    # Reading

    def _scan_all(self, kind: str) -> Iterator[Record]:
        last = _NEWEST
        while True:
            rows = self._rows(statements.PAGE, (kind, self._clock(), *last, AT_ONCE))
            for row in rows:
                yield _record(row)
            if len(rows) < AT_ONCE:
                return
            last = rows[-1][3], rows[-1][5]

    def _scan_beginning(self, kind: str, prefix: bytes) -> Iterator[Record]:
        after = prefix[:-1] + bytes([prefix[-1] + 1])  # no byte of UTF-8 is 255
        for (key,) in self._rows(statements.KEYS, (kind, prefix, after, self._clock())):
            rows = self._rows(statements.GET, (kind, key, self._clock()))
            if rows:
                yield _record(rows[0])

    def _rows(self, question: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if not self._is_there():
            return []
        with self._connections.reader() as connection:
            return connection.execute(question, values).fetchall()

    def _is_there(self) -> bool:
        """Open the file where that is to be done; False where there is none, and never was one."""
        if not self._connections.ready:
            if not self._opened and not os.path.exists(self.place):
                return False
            with self._writing():
                pass
        return True

    # Writing

    @contextmanager
    def _writing(self, durable: bool = False) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """This process's turn, and among processes the order; gives what executes one statement."""
        if not self._turn.acquire(timeout=3 * self._timeout):
            raise self._busy(3 * self._timeout, "another thread")
        lock = self._connections.file_lock
        try:
            self._connections.prepare()
            until = time.monotonic() + self._timeout
            if not lock.acquire(self._timeout):
                raise self._busy(self._timeout, "another process")
            try:
                connection = self._connections.writer()
                self._opened = True
                self._tell(connection, SYNCED if durable else UNSYNCED)
                # Inside a call of the ledger's on this thread there is nobody else to wait for.
                left = 0.0 if lock.passing else until - time.monotonic()
                with _waiting(connection, left, self._timeout):
                    yield connection.execute
            finally:
                lock.release()
        except OSError as error:
            raise sqlite3.OperationalError(
                f"unable to open the records in {self.place} ({type(error).__name__}: {error})"
            ) from error
        finally:
            self._turn.release()

    def _tell(self, connection: sqlite3.Connection, synchronous: str) -> None:
        if self._told != (connection, synchronous):
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._told = connection, synchronous

    def _busy(self, seconds: float, who: str) -> sqlite3.OperationalError:
        return sqlite3.OperationalError(
            f"database is locked: {who} has kept the records in {self.place} for {seconds:g} s"
        )


def _record(row: tuple[Any, ...]) -> Record:
    return Record(from_bytes(row[0]), json.loads(row[1]), *row[2:5])


@contextmanager
def _waiting(connection: sqlite3.Connection, seconds: float, usually: float) -> Iterator[None]:
    """Let SQLite wait no longer than *seconds* for others; it is told only where that is much less than usual."""
    if seconds >= usually / 2:
        yield
        return
    connection.execute(f"PRAGMA busy_timeout = {max(0, int(seconds * 1000))}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(usually * 1000)}")
