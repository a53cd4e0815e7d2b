"""A transaction that writes: the file lock, the time, the calls, the commit, and what follows from it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable

from mas_guard.ledger.sqlite.asks import SqliteTicket
from mas_guard.ledger.sqlite.boot import boot_id, note_boot
from mas_guard.ledger.sqlite.connection import Connections
from mas_guard.ledger.sqlite.group_commit import Item, own_copy
from mas_guard.ledger.sqlite.processes import Process
from mas_guard.ledger.sqlite.retention import A_LITTLE, Retention
from mas_guard.ledger.sqlite.schema import MIGRATIONS
from mas_guard.ledger.sqlite.waiting import Waiting

_log = logging.getLogger("mas_guard.ledger")

# What a commit waits for: that everything is on the disk, or that the system has it, which outlives the process alone.
SYNCED, UNSYNCED = "FULL", "NORMAL"


class WriteTransactions:
    """Carries out calls, many in one transaction. One that fails is taken out and the others are done without it.

    Attributes:
        process: This process in the file.
        sync_each: True where the machine's start has no name: then a dispatch must be synced as a reserve is.
    """

    def __init__(self, connections: Connections, books: Waiting, retention: Retention) -> None:
        self._connections = connections
        self._books = books
        self._retention = retention
        self._boot = boot_id()
        self._synchronous = ""
        self._connection: sqlite3.Connection | None = None
        self._replaced = 0
        self._inside: list[Item] = []
        self.process = Process()
        self.sync_each = not self._boot

    @property
    def open(self) -> bool:
        """True while a transaction is open."""
        return self._connections.in_transaction

    def carry_out(self, items: list[Item]) -> list[Callable[[], None]]:
        """See `group_commit.Transactions`."""
        self._inside = []
        left = list(items)
        answered: list[SqliteTicket] = []
        try:
            self._connections.prepare()
            until = time.monotonic() + self._connections.timeout
            if not self._connections.file_lock.acquire(self._connections.timeout):
                raise sqlite3.OperationalError(
                    f"database is locked: another process has kept the ledger {self._connections.path} for "
                    f"{self._connections.timeout:g} s"
                )
            try:
                while left:
                    failed = self._attempt(left, until)
                    if failed is None:
                        answered = self._books.delivered()
                        break
                    left.remove(failed)
                    left.extend(item for item in self._inside if item not in left)
                    failed.done = True
            finally:
                self._connections.file_lock.release()
        except (sqlite3.Error, OSError) as error:
            for item in left:
                item.error = own_copy(_driver_error(error, self._connections.path))
        except Exception as error:  # such as a `ConfigError` while the file is opened
            for item in left:
                item.error = own_copy(error)
        except BaseException:  # such as Ctrl-C: what is not done is done once more, and finds what was committed
            self._books.undone()
            raise
        for item in left:
            item.done = True
        return [lambda ticket=ticket: _wake(ticket) for ticket in answered]  # type: ignore[misc]

    def carry_out_inside(self, item: Item) -> None:
        """See `group_commit.Transactions`."""
        self._inside.append(item)
        try:
            item.result = item.work()
        except Exception as error:
            item.error = error
        item.done = True

    def _attempt(self, items: list[Item], until: float) -> Item | None:
        """Carry *items* out in one transaction; return the one that failed, then nothing has happened.

        Raises what the transaction itself raises; nothing has happened then either.
        """
        durable = any(item.durable for item in items)
        connection = self._begin(durable, until)
        try:
            for item in items:
                item.error = None
                try:
                    item.result = item.work()
                except Exception as error:
                    item.error = error
                    self._roll_back(connection)
                    return item
            if self._retention.work_left:
                self._retention.delete(connection.execute, A_LITTLE)
            must_last = self._books.must_last and not durable
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        if must_last:
            self._sync(connection)
        return None

    def _begin(self, durable: bool, until: float) -> sqlite3.Connection:
        connection = self._connections.writer()
        books, execute = self._books, connection.execute
        opened = connection is not self._connection
        if opened:
            self._connection, self._synchronous = connection, ""
        if self._connections.replaced != self._replaced:
            self._replaced = self._connections.replaced
            self.process = Process()
        self._set_synchronous(connection, SYNCED if durable else UNSYNCED)
        left = until - time.monotonic()
        if left < self._connections.timeout / 2:  # the file lock took some of the time
            execute(f"PRAGMA busy_timeout = {max(0, int(left * 1000))}")
            try:
                execute("BEGIN IMMEDIATE")
            finally:
                execute(f"PRAGMA busy_timeout = {int(self._connections.timeout * 1000)}")
        else:
            execute("BEGIN IMMEDIATE")
        try:
            version, boot, latest, ahead = execute(
                "SELECT version, boot, latest, ahead FROM mas_guard_ledger"
            ).fetchone()
            if version != len(MIGRATIONS):
                raise sqlite3.OperationalError(
                    f"the ledger {self._connections.path} was brought to version {version} by a later mas-guard while this "
                    "process had it open; start this process anew"
                )
            books.execute = execute
            books.clock.set(execute, latest, ahead)
            now = books.clock.time
            if opened and boot != self._boot:
                note_boot(execute, self._boot, now)
            if self.process.due(now, waits=bool(books.tickets)):
                self.process.sign(execute, now, books.handles)
            books.process = self.process.id
        except BaseException:
            self._roll_back(connection)
            raise
        return connection

    def _set_synchronous(self, connection: sqlite3.Connection, wanted: str) -> None:
        if wanted != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted

    def _sync(self, connection: sqlite3.Connection) -> None:
        """What was just committed must last: a commit that is synced takes everything before it along."""
        self._set_synchronous(connection, SYNCED)
        connection.execute("UPDATE mas_guard_ledger SET version = version")

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:  # it has rolled back itself, as where the disk is full
                _log.debug("rolling back failed", exc_info=True)
        self._books.undone()


def _driver_error(error: Exception, path: str) -> Exception:
    if isinstance(error, OSError):
        return sqlite3.OperationalError(f"unable to open the ledger {path} ({type(error).__name__}: {error})")
    return error


def _wake(ticket: SqliteTicket) -> None:
    try:
        ticket.wake()
    except Exception:
        _log.exception("waking %r failed; if it got a hold, that ends with its lease", ticket.ask.hold_id)
