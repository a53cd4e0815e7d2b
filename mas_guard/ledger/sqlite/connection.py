"""This process's connections to the ledger's file: one that writes, one that reads.

SQLite's connections must not cross a fork, not even unused ones: its locks are kept per process, and what it
believes about them would be inherited. So they are closed before a fork (`forking.py`) and opened again on both
sides by the first call.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from mas_guard.errors import ConfigError
from mas_guard.ledger.sqlite.file_lock import FileLock
from mas_guard.ledger.sqlite.network_file_system import file_system_of
from mas_guard.ledger.sqlite.schema import prepare

_log = logging.getLogger("mas_guard.ledger")

_inherited: dict[str, list[sqlite3.Connection]] = {}
"""Connections of a parent that was in the middle of a transaction when it forked, by path. In the child they can neither
be used nor closed without harm to the parent's, and SQLite takes the parent's locks for the child's own: so the file is
out of its reach."""

_CACHE = -8_000  # kibibytes of pages that the writer keeps
_LONGEST_WAL = 16 * 1024 * 1024  # bytes; a log that grew beyond is cut back once it is taken over


class Connections:
    """Connections to the file at *path*, opened when they are asked for.

    Args:
        path: The database file, absolute.
        timeout: Seconds that anything may wait for another process.
        allow_network: Do not refuse a network file system.

    Attributes:
        file_lock: Taken around everything that writes.
        path: The database file.
        replaced: How often the file was found to be another one.
        reading: Held by whoever uses the reader.
        timeout: Seconds.
    """

    def __init__(self, path: str, timeout: float, allow_network: bool) -> None:
        self.path = path
        self.timeout = timeout
        self.replaced = 0
        self.file_lock = FileLock(path)
        self.reading = threading.RLock()
        self._allow_network = allow_network
        self._file: tuple[int, int] | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def prepare(self) -> None:
        """Before anything is made on the disk: refuse a network file system, and make the folder."""
        if self.path in _inherited:
            raise sqlite3.OperationalError(
                f"the ledger {self.path} cannot be used in this process: it was forked off one whose transaction did not "
                "end in time; start it anew"
            )
        if self._writer is None:
            self._refuse_network()
            os.makedirs(os.path.dirname(self.path), exist_ok=True)

    def writer(self) -> sqlite3.Connection:
        """The connection that writes, whose file is still the one at the path. The file lock must be held."""
        if self._writer is not None and not self._is_the_file():
            _log.warning("The ledger's file %s was replaced or deleted; what was in it is gone.", self.path)
            self.replaced += 1
            self.close(keep_lock=True)
        if self._writer is None:
            self._writer = self._open_writer()
        return self._writer

    @property
    def in_transaction(self) -> bool:
        """True while the writer has a transaction open."""
        return self._writer is not None and self._writer.in_transaction

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """The connection that reads; only after a writer was opened, which makes the file."""
        with self.reading:
            if self._reader is None:
                self._reader = self._connect(self.timeout)
                self._reader.execute("PRAGMA query_only = 1")
            yield self._reader

    @property
    def ready(self) -> bool:
        """True where the file was opened before and is still there."""
        return self._writer is not None and self._is_the_file()

    def close(self, *, keep_lock: bool = False) -> None:
        """Close everything; the next call opens it again."""
        with self.reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
        if not keep_lock:
            self.file_lock.close()

    def start_anew(self) -> None:
        """In a forked child; see `_inherited` for one whose parent could not close everything in time."""
        self.reading = threading.RLock()
        left = [connection for connection in (self._writer, self._reader) if connection is not None]
        if left:
            _inherited.setdefault(self.path, []).extend(left)
        self._writer = self._reader = None
        self.file_lock.close()  # the parent's lock stays; but the child must not keep it when the parent has ended

    def _is_the_file(self) -> bool:
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def _open_writer(self) -> sqlite3.Connection:
        try:
            # Before SQLite does it: what runs spend is for whoever runs the app. Only where there is none yet: closing
            # a file that SQLite has open in this process, for an app perhaps, would undo the locks that it holds.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError:
            pass  # it is there, or SQLite says why it cannot be
        connection = self._connect(self.timeout)
        try:
            self._write_ahead(connection)
            connection.execute(f"PRAGMA cache_size = {_CACHE}")
            connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_WAL}")
            connection.execute("BEGIN IMMEDIATE")
            self._make_tables(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        found = os.stat(self.path)
        self._file = found.st_dev, found.st_ino
        return connection

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Make the tables, or bring them up to date, inside the transaction that is open."""
        prepare(connection, self.path)

    def _connect(self, timeout: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA fullfsync = 1")  # macOS: without it a sync leaves data in the disk's cache
        return connection

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Set the mode, which lasts. SQLite does not wait where another process is just doing the same."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                with closing(connection.execute("PRAGMA journal_mode = WAL")) as answer:
                    mode = answer.fetchone()[0]
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= until:
                    raise
                time.sleep(0.005)
                continue
            if mode != "wal":
                raise sqlite3.OperationalError(
                    f"the ledger in {self.path} cannot use a write-ahead log (the journal mode stayed {mode!r}): the "
                    "file system does not offer shared memory; name a file on a local disk in STORE"
                )
            return

    def _refuse_network(self) -> None:
        name, kind = file_system_of(self.path)
        if kind == "network" and not self._allow_network:
            raise ConfigError(
                f"The ledger {self.path} lies on a network file system ({name}), where SQLite's locks do not hold and "
                "budgets could be overspent. Name a file on a local disk in STORE, or use redis:// for several "
                "machines.",
                source="STORE",
                key="STORE",
            )
        if kind == "unknown":
            _log.info(
                "Whether %s lies on a local disk is unknown (%s): SQLite's locks hold on a local one alone.",
                self.path,
                f"file system {name!r}" if name else "the system does not say",
            )
