"""The ledger of all processes of one machine, in one SQLite file.

What is answered has happened: a reserve returns once it is on the disk. A settle need not be: where the machine
loses power its hold stands for it, in full. A killed process loses nothing that was answered.

Every call that changes something is one transaction (`group_commit.py` lets many share it), in the order that
`file_lock.py` keeps among processes. A busy or broken file raises `sqlite3.Error` after the time-out at the latest.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from mas_guard.ledger.base import Account, Ask, Balance, Breach, CrashedHold, Grant, Ledger, Refusal, Settlement, Ticket
from mas_guard.ledger.sqlite import forking, inspection, statements
from mas_guard.ledger.sqlite.accounts import SqliteAccount, lost
from mas_guard.ledger.sqlite.asks import SqliteTicket
from mas_guard.ledger.sqlite.clock import LedgerClock
from mas_guard.ledger.sqlite.connection import Connections
from mas_guard.ledger.sqlite.group_commit import GroupCommit
from mas_guard.ledger.sqlite.retention import MORE, Retention
from mas_guard.ledger.sqlite.transactions import WriteTransactions
from mas_guard.ledger.sqlite.waiting import GONE, Waiting
from mas_guard.types import UNITS, Amounts, Limits

TIMEOUT = 1.0
RETENTION = 7 * 86_400.0

RECHECK = 0.05
"""Seconds after which one who waits looks again, where other processes hold something or wait as well."""

RECHECK_ALONE = 1.0
"""The same where this process is the only one: another may come, or raise the limit."""

_Answer = TypeVar("_Answer")


class SqliteLedger(Ledger):
    """See `Ledger`. Accounts of one scope are one account, whichever process opens them.

    Closing is each process's own affair: `close` ends this process's handle, and refuses those of its calls that
    wait there. The account itself is forgotten once every process that had it open has closed it; one that died
    without doing so counts until the retention is over. A hold that lives on is settled on its other accounts.

    A `Grant` is a picture of the moment: its `spent` does not change when the hold ends. Those who wait get their
    turn over all processes in order of arrival; one in another process hears of it with its next `sweep`, after
    `RECHECK` seconds. After a fork the child goes on with the accounts that its parent had open.

    Args:
        path: The file; it is created with the first call, for its owner alone. Beside it lie SQLite's `-wal` and
            `-shm`, and `-lock` and `-turnstile`, which keep the order among processes.
        clock: Seconds, the same for every process of the machine; for leases only. May jump, see `clock.py`.
        timeout: Seconds that a call waits for other processes before it raises.
        retention: Seconds that an account is kept which nobody uses and nobody closed.
        allow_network_file_system: Do not refuse one. Only for a file that one machine alone ever opens.

    Raises:
        ConfigError: From the first call: the file lies on a network file system, or a later mas-guard wrote it.
        sqlite3.Error: From any call: the file is busy, full, read-only or damaged. Nothing of that call has
            happened then, unless the error says otherwise.
    """

    driver_errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Callable[[], float] = time.monotonic,
        *,
        timeout: float = TIMEOUT,
        retention: float = RETENTION,
        allow_network_file_system: bool = False,
    ) -> None:
        self.path = os.path.abspath(path)
        self._clock = LedgerClock(clock)
        self._retention = Retention(retention)
        self._connections = Connections(self.path, timeout, allow_network_file_system)
        self._accounts: dict[str, SqliteAccount] = {}
        self._held: list[Callable[[], None]] = []
        self._start()
        self._finalizer = weakref.finalize(self, self._connections.close)
        forking.follow(self)

    def _start(self) -> None:
        self._books = Waiting(self._clock)
        self._transactions = WriteTransactions(self._connections, self._books, self._retention)
        self._commits = GroupCommit(self._transactions, 3 * self._connections.timeout)

    # Accounts

    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        """See `Ledger.open`."""
        return self._write(partial(self._open, scope, limits, keep_limits, origin))

    def origin(self, account: Account) -> str:
        """See `Ledger.origin`. Numbers of accounts begin at random in each file, so no other account has this one's."""
        return str(cast("SqliteAccount", account).id)

    def halt(self, account: Account, halted: bool = True) -> None:
        """See `Ledger.halt`."""
        self._write(partial(self._halt, _open_account(account), halted), durable=True)

    def set_limits(self, account: Account, limits: Limits) -> None:
        """See `Ledger.set_limits`."""
        self._write(partial(self._set_limits, _open_account(account), limits), durable=True)

    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        """See `Ledger.charge`."""

        def charge() -> None:
            self._books.serve(self._books.charge(cast("tuple[SqliteAccount, ...]", accounts), amounts, charge_id))

        self._write(charge, durable=True)

    def close(self, account: Account) -> None:
        """See `Ledger.close`, and this class for accounts that several processes have open."""
        level = cast("SqliteAccount", account)
        if level.closed:
            return
        self._write(partial(self._close, level))
        level.closed = True
        if self._accounts.get(level.scope) is level:
            del self._accounts[level.scope]
        self._books.handles.pop(level.id, None)

    # Holds

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve`."""
        _check(ask)
        return self._write(partial(self._books.reserve, ask), durable=True)

    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve_fitting`."""
        _check(ask)
        return self._write(partial(self._books.decide, ask, fitting=True), durable=True)

    def dispatch(self, hold_id: str, lease: float) -> bool:
        """See `Ledger.dispatch`."""

        def dispatch() -> bool:
            lives, changed = self._books.dispatch(hold_id, lease)
            self._books.serve(changed)
            return lives

        return self._write(dispatch, durable=self._transactions.sync_each)

    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        """See `Ledger.settle`."""

        def settle() -> Settlement:
            settlement, changed = self._books.settle(hold_id, actual)
            self._books.serve(changed)
            return settlement

        return self._write(settle)

    def release(self, hold_id: str) -> None:
        """See `Ledger.release`."""
        self._write(lambda: self._books.serve(self._books.give_back(hold_id)))

    # The queue

    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        """See `Ledger.wait`."""
        _check(ask)
        ticket = SqliteTicket(ask, wake)
        try:
            self._write(partial(self._books.wait, ticket))
        except BaseException:  # it may stand in the queue all the same, where it would keep others back
            with suppress(sqlite3.Error):
                self.cancel(ticket)
            raise
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """See `Ledger.cancel`."""
        if self._write(partial(self._books.cancel, cast("SqliteTicket", ticket))):
            ticket.result = None

    def sweep(self) -> float | None:
        """See `Ledger.sweep`. Where somebody waits it names at most `RECHECK` seconds, or `RECHECK_ALONE`."""
        for _ in range(2):
            found = self._look()
            if found is not None:
                soonest, others = found
                break
            self._write(self._sweep)
        else:
            soonest, others = RECHECK, True  # the clock goes back all the time
        if self._books.tickets:
            soonest = min(soonest, RECHECK if others else RECHECK_ALONE)
        return None if soonest == math.inf else max(soonest, 0.0)

    # Reading

    def read(self, account: Account) -> Balance:
        """See `Ledger.read`."""
        level = _open_account(account)
        row, breaches = self._balance(level)
        now = None if row is None else self._clock.peek(row[17], row[18])
        if row is None or now is None or (row[19] is not None and row[19] <= now):
            self._write(self._sweep)
            row, breaches = self._balance(level)
        if row is None:
            raise lost(level.scope)
        return Balance(
            Limits(*row[0:4]), Amounts(*row[4:8]), Amounts(*row[8:12]), Amounts(*row[12:16]), breaches, bool(row[20])
        )

    def spent(self, account: Account) -> tuple[Limits, Amounts]:
        """See `Ledger.spent`."""
        level = _open_account(account)
        self._make_ready()
        with self._connections.reader() as connection:
            row = connection.execute(statements.SPENT, (level.id,)).fetchone()
        if row is None:
            raise lost(level.scope)
        return Limits(*row[0:4]), Amounts(*row[4:8])

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        """See `Ledger.balances`. In the order of their making."""
        self.sweep()
        return inspection.balances(self._connections, prefix)

    def crashed_holds(self) -> list[CrashedHold]:
        """See `Ledger.crashed_holds`."""
        self.sweep()
        return inspection.crashed_holds(self._connections)

    def disconnect(self) -> None:
        """Close this process's connections; the next call opens them again. Nothing is lost, held or forgotten."""
        self._commits.turn.acquire()
        try:
            self._connections.close()
        finally:
            self._commits.let_go()

    # Forking

    def before_fork(self) -> None:
        """See `forking.py`."""
        patience = 3 * self._connections.timeout
        if self._commits.turn.acquire(timeout=patience):
            self._held.append(self._commits.let_go)
        if self._connections.reading.acquire(timeout=patience):
            self._held.append(self._connections.reading.release)
        if len(self._held) == 2 and not self._transactions.open:
            self._connections.close()

    def after_fork_in_parent(self) -> None:
        """See `forking.py`."""
        while self._held:
            self._held.pop()()

    def after_fork_in_child(self) -> None:
        """See `forking.py`."""
        handles = self._books.handles
        self._held = []
        self._connections.start_anew()
        self._start()
        self._books.handles = handles

    # Inside a transaction

    def _open(self, scope: str, limits: Limits, keep_limits: bool, origin: str) -> SqliteAccount:
        execute, now = self._books.execute, self._clock.time
        found = execute("SELECT id FROM mas_guard_ledger_accounts WHERE scope = ? AND closed = 0", (scope,)).fetchone()
        if origin and (found is None or str(found[0]) != origin):
            raise lost(scope)
        if found is not None:
            account = self._handle(scope, found[0])
            if not keep_limits:
                self._set_limits(account, limits)
        else:
            made = execute(statements.NEW_ACCOUNT, (scope, now, *limits))
            account = self._handle(scope, cast("int", made.lastrowid))
            self._books.pass_over_the_gone()  # else a killed process's would keep their accounts for ever
            self._retention.look(execute, now)
        execute("INSERT OR IGNORE INTO mas_guard_ledger_openers VALUES (?, ?)", (account.id, self._books.process))
        if self._retention.work_left:
            self._retention.delete(execute, MORE)
        return account

    def _handle(self, scope: str, account_id: int) -> SqliteAccount:
        account = self._accounts.get(scope)
        if account is None or account.closed or account.id != account_id:
            account = self._accounts[scope] = SqliteAccount(scope, account_id)
        self._books.handles[account_id] = account
        return account

    def _set_limits(self, account: SqliteAccount, limits: Limits) -> None:
        changed = self._books.execute(statements.SET_LIMITS, (*limits, self._clock.time, account.id))
        if changed.rowcount != 1:
            raise lost(account.scope)
        self._books.serve((account.id,))

    def _halt(self, account: SqliteAccount, halted: bool) -> None:
        if self._books.execute(statements.HALT, (halted, self._clock.time, account.id)).rowcount != 1:
            raise lost(account.scope)
        if halted:
            self._books.turn_away(account, lambda waiter: not waiter.ask.passes_halt, halted=True)
        else:
            self._books.serve((account.id,))

    def _close(self, account: SqliteAccount) -> None:
        books, execute = self._books, self._books.execute
        if execute(statements.ACCOUNT, (account.id,)).fetchone() is None:
            return
        touched = books.end_leases()
        execute("DELETE FROM mas_guard_ledger_openers WHERE account = ? AND process = ?", (account.id, books.process))
        others = execute("SELECT 1 FROM mas_guard_ledger_openers WHERE account = ? LIMIT 1", (account.id,)).fetchone()
        books.turn_away(account, lambda waiter: others is None or waiter.process == books.process)
        if others is None:
            execute("UPDATE mas_guard_ledger_accounts SET closed = 1 WHERE id = ?", (account.id,))
            self._retention.delete(execute, MORE)
        books.serve(touched)

    def _sweep(self) -> None:
        books = self._books
        books.pass_over_the_gone()
        books.serve(books.end_leases())
        if books.tickets:
            books.collect()

    # Helpers

    def _write(self, work: Callable[[], _Answer], durable: bool = False) -> _Answer:
        return cast("_Answer", self._commits.do(work, durable))

    def _make_ready(self) -> None:
        if not self._connections.ready:
            self._write(lambda: None)

    def _balance(self, account: SqliteAccount) -> tuple[tuple[Any, ...] | None, tuple[Breach, ...]]:
        self._make_ready()
        with self._connections.reader() as connection:
            row = connection.execute(statements.BALANCE, (account.id,)).fetchone()
            if row is None or not row[16]:
                return row, ()
            found = connection.execute(statements.LATEST_BREACHES, (account.id,)).fetchall()
        return row, tuple(Breach(hold_id, UNITS[unit], held, actual) for hold_id, unit, held, actual in found)

    def _look(self) -> tuple[float, bool] | None:
        """Seconds to the next lease's end, and whether others use the file; `None` where something is to be done."""
        self._make_ready()
        me, waits = self._transactions.process.id, bool(self._books.tickets)
        with self._connections.reader() as connection:
            latest, ahead, ends = connection.execute(statements.LEASES).fetchone()
            now = self._clock.peek(latest, ahead)
            if now is None or (ends is not None and ends <= now):
                return None
            others = False
            if waits:
                answered, gone, others = connection.execute(statements.QUEUE, (me, now - GONE)).fetchone()
                if answered or gone or self._transactions.process.due(now, waits=True):
                    return None
        return (math.inf if ends is None else ends - now), bool(others)


def _check(ask: Ask) -> None:
    if not ask.accounts:
        raise ValueError(f"the ask {ask.hold_id!r} names no account; give at least the run's")
    for account in cast("tuple[SqliteAccount, ...]", ask.accounts):
        if account.closed:
            raise ValueError(f"the account {account.scope!r} is closed; open it again to reserve on it")


def _open_account(account: Account) -> SqliteAccount:
    level = cast("SqliteAccount", account)
    if level.closed:
        raise ValueError(f"the account {level.scope!r} is closed; open it again to use it")
    return level


__all__ = ["RECHECK", "RECHECK_ALONE", "RETENTION", "TIMEOUT", "SqliteLedger"]
