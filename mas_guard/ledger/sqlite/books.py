"""The holds: how they are taken, how they end, and what is remembered of them. Everything inside a transaction.

Figures change by sums only, in the database. So what a garbage collection slips in between two statements stays
right, and nothing has to be undone in memory where a transaction is rolled back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from mas_guard.ledger._outlook import needed
from mas_guard.ledger.base import REMEMBERED_BREACHES, REMEMBERED_IDS, Ask, Breach, Grant, Settlement
from mas_guard.ledger.sqlite import statements
from mas_guard.ledger.sqlite.accounts import (
    CRASHED,
    LAPSED,
    RELEASED,
    SENT,
    SETTLED,
    SqliteAccount,
    StoredHold,
    breaches_text,
    make_grant,
)
from mas_guard.ledger.sqlite.clock import LedgerClock
from mas_guard.types import UNITS, ZERO, Amounts

UNKNOWN = Settlement(known=False)

_FORGET_AT_ONCE = 64
"""Ids beyond those that are remembered are forgotten in such pieces, so that no call pays for thousands."""

Four = Sequence[int]
_NOTHING = (0, 0, 0, 0)


class Books:
    """All holds and accounts of one file.

    Attributes:
        execute: Of the connection whose transaction is open.
        process: This process's number in the file.
        must_last: Set where something was booked that a loss of power must not undo.
        handles: The accounts that this process has open, by their numbers.
    """

    execute: Callable[..., sqlite3.Cursor]
    process: int

    def __init__(self, clock: LedgerClock) -> None:
        self.clock = clock
        self.must_last = False
        self.handles: dict[int, SqliteAccount] = {}

    # Taking

    def take_at_once(self, ask: Ask) -> Grant | None:
        """Hold the ask in full where it fits and nobody waits; `None` where that is to be looked at."""
        amounts = needed(ask, ask.output)
        keep: Four = ask.keep
        taken = 0
        for account in ask.accounts:
            found = self.execute(
                statements.HOLD_IF_IT_FITS,
                (*amounts, account.id, *keep, self.clock.time, ask.passes_halt),  # type: ignore[attr-defined]
            )
            if found.rowcount != 1:
                break
            keep = ZERO  # the owner's share is withheld on the first level alone
            taken += 1
        else:
            if taken and self._note_hold(ask, ask.output, amounts, self.process):
                self.must_last = True
                return make_grant(ask.hold_id, ask.output, amounts)
        for account in ask.accounts[:taken]:  # all levels or none
            self._book(account.id, _negative(amounts), _NOTHING)  # type: ignore[attr-defined]
        return None

    def take(self, ask: Ask, output: int, process: int) -> Grant:
        """Hold the ask with *output* output tokens for *process*. Whoever calls has seen that it fits."""
        amounts = needed(ask, output)
        if not self._note_hold(ask, output, amounts, process):
            raise sqlite3.IntegrityError(f"the hold {ask.hold_id!r} exists already")
        for account in ask.accounts:
            self._book(account.id, amounts, _NOTHING)  # type: ignore[attr-defined]
        self.must_last = True
        return make_grant(ask.hold_id, output, amounts)

    def known(self, hold_id: str) -> Grant | None:
        """What a repeated ask gets. A hold that lapsed unsent is forgotten: its id may be taken anew."""
        hold = self.find(hold_id)
        if hold is None:
            return None
        if hold.state == LAPSED or not (hold.live or hold.first_open):
            self.execute("DELETE FROM mas_guard_ledger_holds WHERE hold_id = ?", (hold_id,))
            return None
        return hold.grant()

    # Sending and ending

    def dispatch(self, hold_id: str, lease: float) -> tuple[bool, Iterable[int]]:
        """Say that the call is sent; return whether its hold still lives, and the accounts that changed."""
        hold = self.find(hold_id)
        if hold is None or not hold.live:
            return False, ()
        now = self.clock.time
        if hold.ends <= now:
            return False, self.end_leases()
        self.execute(
            "UPDATE mas_guard_ledger_holds SET ends = ?, state = ? WHERE hold_id = ?", (now + lease, SENT, hold_id)
        )
        if hold.state == SENT:
            return True, ()
        for level in hold.levels:
            self._book(level, _NOTHING, _NOTHING, sent=hold.amounts)
        return True, hold.levels

    def settle(self, hold_id: str, actual: Amounts) -> tuple[Settlement, Iterable[int]]:
        """End a hold with what was used, or put right what its lease's end has booked."""
        hold = self.find(hold_id)
        if hold is None or hold.state == RELEASED or not (hold.live or hold.first_open):
            return UNKNOWN, ()
        if hold.state == SETTLED:
            return hold.settlement, ()
        held = _NOTHING if hold.state == LAPSED else hold.amounts
        breaches = _breaches(hold_id, held, actual)
        if hold.live:
            self._end(hold, SETTLED, actual, breaches)
        else:
            self._correct(hold, SETTLED, actual, breaches)
        for level in hold.levels if breaches else ():
            self._note_breaches(level, breaches)
        self.must_last = self.must_last or bool(breaches)  # otherwise its hold stands for it
        return Settlement(late=not hold.live, breaches=breaches), hold.levels

    def give_back(self, hold_id: str) -> Iterable[int]:
        """End a hold that cost nothing; where its lease's end charged it, take that back."""
        hold = self.find(hold_id)
        if hold is None:
            return ()
        if hold.live:
            self._end(hold, RELEASED, ZERO)
        elif hold.state == CRASHED and hold.first_open:
            self._correct(hold, RELEASED, ZERO)
        return hold.levels

    def end_leases(self) -> list[int]:
        """End every lease that is over; return the accounts where that changed something."""
        over = self.execute(statements.HOLD + "WHERE state < 2 AND ends <= ? ORDER BY ends", (self.clock.time,))
        touched: list[int] = []
        for row in over.fetchall():
            hold = self.find(row[0])  # anew: several that end at once number one another
            if hold is None or not hold.live:
                continue
            if hold.state == SENT:
                self._end(hold, CRASHED, hold.amounts)
                for level in hold.levels:
                    self.execute(statements.BOOK_CRASHED, (*hold.amounts, level))
            else:
                self._end(hold, LAPSED, ZERO)
            touched.extend(hold.levels)
        return touched

    def charge(self, accounts: Iterable[SqliteAccount], amounts: Amounts, charge_id: str) -> Iterable[int]:
        """Book spend without a hold, once; return the accounts where that changed something."""
        levels = [account.id for account in accounts if not account.closed and self._is_open(account.id)]
        if not levels:
            return ()
        first = levels[0]
        count = "(SELECT charged + 1 FROM mas_guard_ledger_accounts WHERE id = ?1)"
        statement = f"INSERT OR IGNORE INTO mas_guard_ledger_charges VALUES (?1, ?2, {count})"
        if self.execute(statement, (first, charge_id)).rowcount != 1:
            return ()
        self.execute("UPDATE mas_guard_ledger_accounts SET charged = charged + 1 WHERE id = ?", (first,))
        self.execute(statements.FORGET_CHARGES, (first, REMEMBERED_IDS))
        for level in levels:
            self._book(level, _NOTHING, amounts)
        self.must_last = True
        return levels

    # Reading

    def find(self, hold_id: str) -> StoredHold | None:
        """Return the hold with that id, be it live or ended."""
        row = self.execute(statements.HOLD + "WHERE hold_id = ?", (hold_id,)).fetchone()
        return None if row is None else StoredHold.read(row)

    def _is_open(self, account_id: int) -> bool:
        return self.execute(statements.ACCOUNT, (account_id,)).fetchone() is not None

    # Helpers

    def _note_hold(self, ask: Ask, output: int, amounts: Four, process: int) -> bool:
        ids = [account.id for account in ask.accounts]  # type: ignore[attr-defined]
        levels = " ".join(map(str, ids))
        ends = self.clock.time + ask.lease
        values = (ask.hold_id, ids[0], levels, output, *amounts, ends, process)
        return self.execute(statements.NEW_HOLD, values).rowcount == 1

    def _book(self, account_id: int, held: Four, settled: Four, *, sent: Four = _NOTHING, ended: int = 0) -> None:
        values = (*held, *settled, sent[1], sent[2], self.clock.time, ended, account_id)
        self.execute(statements.BOOK, values)

    def _end(self, hold: StoredHold, state: int, settled: Four, breaches: tuple[Breach, ...] = ()) -> None:
        back = _negative(hold.amounts)
        unsent = back if hold.state == SENT else _NOTHING
        for level in hold.levels:
            self._book(level, back, settled, sent=unsent, ended=int(level == hold.first))
        if not hold.first_open:
            self.execute("DELETE FROM mas_guard_ledger_holds WHERE hold_id = ?", (hold.hold_id,))
            return
        number = hold.first_ended + 1
        self.execute(statements.END_HOLD, (state, number, 0, breaches_text(breaches), hold.hold_id))
        if number > REMEMBERED_IDS and not number % _FORGET_AT_ONCE:
            self._forget(hold.first, number - REMEMBERED_IDS)

    def _correct(self, hold: StoredHold, state: int, actual: Amounts, breaches: tuple[Breach, ...] = ()) -> None:
        charged = hold.amounts if hold.state == CRASHED else _NOTHING
        difference = tuple(mine - theirs for mine, theirs in zip(actual, charged, strict=True))
        for level in hold.levels:
            self._book(level, _NOTHING, difference)
            if hold.state == CRASHED:
                self.execute(statements.BOOK_CRASHED, (*_negative(charged), level))
        self.execute(
            "UPDATE mas_guard_ledger_holds SET state = ?, late = 1, breaches = ? WHERE hold_id = ?",
            (state, breaches_text(breaches), hold.hold_id),
        )

    def _forget(self, account_id: int, until: int) -> None:
        """Forget the oldest ids of an account that stays open; a few at a time is more than come in."""
        self.execute(
            "DELETE FROM mas_guard_ledger_holds WHERE hold_id IN (SELECT hold_id FROM mas_guard_ledger_holds "
            "WHERE state >= 2 AND first = ? AND ended <= ? LIMIT ?)",
            (account_id, until, 2 * _FORGET_AT_ONCE),
        )

    def _note_breaches(self, account_id: int, breaches: tuple[Breach, ...]) -> None:
        self.execute(
            "UPDATE mas_guard_ledger_accounts SET breached = breached + ? WHERE id = ?", (len(breaches), account_id)
        )
        row = self.execute("SELECT breached FROM mas_guard_ledger_accounts WHERE id = ?", (account_id,)).fetchone()
        if row is None:
            return
        first = row[0] - len(breaches) + 1
        for number, breach in enumerate(breaches, first):
            unit = UNITS.index(breach.unit)
            self.execute(
                "INSERT INTO mas_guard_ledger_breaches VALUES (?, ?, ?, ?, ?, ?)",
                (account_id, number, breach.hold_id, unit, breach.held, breach.actual),
            )
        self.execute(
            "DELETE FROM mas_guard_ledger_breaches WHERE account = ? AND number <= ?",
            (account_id, row[0] - REMEMBERED_BREACHES),
        )


def _breaches(hold_id: str, held: Four, actual: Amounts) -> tuple[Breach, ...]:
    return tuple(
        Breach(hold_id, unit, had, used) for unit, had, used in zip(UNITS, held, actual, strict=True) if used > had
    )


def _negative(amounts: Four) -> Four:
    return tuple(-amount for amount in amounts)
