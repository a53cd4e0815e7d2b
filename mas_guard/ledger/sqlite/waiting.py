"""Who waits, and who is next: one queue over all processes, kept in the file.

The rules are those of the memory ledger: after every change those are looked at who may be next on the accounts
that changed (the first of each line, and nested asks). Whoever makes a change serves everybody, also those who
wait in other processes: their answer is left in the file, where their next `sweep` finds it. One whose process
has not been heard of for `GONE` seconds is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from mas_guard.ledger._account import NO_LIMIT, Hold
from mas_guard.ledger._outlook import Outlook, Pair, halting, needed, refusal, turned_away
from mas_guard.ledger.base import Ask, Grant, Refusal
from mas_guard.ledger.sqlite import statements
from mas_guard.ledger.sqlite.accounts import HELD, SqliteAccount, lost
from mas_guard.ledger.sqlite.asks import SqliteTicket, Waiter, ask_text, read_ask, read_result, result_text
from mas_guard.ledger.sqlite.books import Books
from mas_guard.ledger.sqlite.clock import LedgerClock

GONE = 15.0
"""Seconds after which a process that has not called keeps nobody back any more. Who waits calls every second."""

# Lines: one for each unit, in the order of `UNITS`; all who name the account; of them the nested ones.
_EVERYBODY, _NESTED = 4, 5

_FIRSTS = "SELECT " + ", ".join(
    f"(SELECT min(arrival) FROM mas_guard_ledger_lines WHERE account = ?1 AND line = {line})" for line in range(4)
)
_IN_LINE = "SELECT arrival FROM mas_guard_ledger_lines WHERE account = ? AND line = ? ORDER BY arrival"


class Waiting(Books):
    """The books, and those who wait for them.

    Attributes:
        tickets: Those of this process that wait, by arrival.
    """

    def __init__(self, clock: LedgerClock) -> None:
        super().__init__(clock)
        self.tickets: dict[int, SqliteTicket] = {}
        self._joined: dict[int, SqliteTicket] = {}
        self._left: list[int] = []
        self._answers: dict[int, Grant | Refusal] = {}
        self._agenda: list[int] = []
        self._others: dict[int, SqliteAccount] = {}

    # Inside a transaction

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold the ask in full, after those who wait, or refuse."""
        return self.take_at_once(ask) or self.decide(ask, fitting=False)

    def decide(self, ask: Ask, fitting: bool) -> Grant | Refusal:
        """Answer an ask that does not wait: in full and after those who wait, or *fitting* and past them."""
        self._load(ask)
        self._catch_up()
        known = self.known(ask.hold_id)
        if known is not None:
            return known
        outlook = self._outlook(ask)
        halted = halting(ask)
        if halted is not None:
            return turned_away(ask, halted, halted=True)
        if fitting:
            if outlook.tight is None:
                return self.take(ask, outlook.now, self.process)
            return refusal(ask, outlook.tight, ask.least_output, outlook.waiting_helps(ask))
        if outlook.lacking is None and not ask.inside:
            ahead = self._somebody_ahead(ask)
            if ahead is not None:
                pair, waiting = ahead
                return refusal(ask, pair, ask.output, can_wait=True, ahead=waiting)
        if not outlook.short:
            return self.take(ask, ask.output, self.process)
        return refusal(ask, outlook.lacking or outlook.short[0], ask.output, outlook.waiting_helps(ask))

    def wait(self, ticket: SqliteTicket) -> None:
        """Queue a ticket, and answer it where that can be done at once."""
        self._load(ticket.ask)
        self._catch_up()
        waiter = self._join(ticket)
        if self._answer(waiter):
            self.serve(())

    def cancel(self, ticket: SqliteTicket) -> bool:
        """Let a ticket leave; True where its result, which it has or would have got, is taken back."""
        arrival = ticket.arrival
        result = self._answers.get(arrival, ticket.result)
        if result is None and (arrival in self.tickets or arrival in self._joined):
            waiter, result = self._stored(arrival)
            if result is None:
                self._left.append(arrival)
                if waiter is not None:
                    self._leave(waiter, None)
                    self.serve(())
                return False
            self._answers[arrival] = result  # another process has answered it
            self._forget_waiter(arrival)
        if not isinstance(result, Grant) or result.spent:
            return False
        hold = self.find(result.hold_id)
        if hold is None or hold.state != HELD:
            return False
        self.serve(self.give_back(result.hold_id))
        if self._answers.pop(arrival, None) is not None:
            self._left.append(arrival)
        return True

    def serve(self, accounts: Iterable[int]) -> None:
        """Answer whoever can be answered after a change on *accounts*."""
        self._agenda.extend(accounts)
        if not self._agenda:
            return
        if self.execute(statements.ANYBODY_WAITS).fetchone() is None:
            self._agenda.clear()
            return
        while self._agenda:
            for arrival in self._next(self._agenda.pop()):
                waiter, result = self._stored(arrival)
                if waiter is not None and result is None:
                    self._answer(waiter)

    def turn_away(self, account: SqliteAccount, whom: Callable[[Waiter], bool], *, halted: bool = False) -> None:
        """Refuse those who wait on *account*, which is closed or *halted*; then serve whom they kept back."""
        self._load_account(account)
        for (arrival,) in self.execute(_IN_LINE, (account.id, _EVERYBODY)).fetchall():
            waiter, result = self._stored(arrival)
            if waiter is not None and result is None and whom(waiter):
                self._leave(waiter, turned_away(waiter.ask, account, halted=halted))
        self.serve(())

    def collect(self) -> None:
        """Take the answers that other processes left; queue anew who is not in the file any more.

        One that is in the file alone leaves: its call was broken off once that was written, as by Ctrl-C.
        """
        there = set()
        rows = self.execute("SELECT arrival, result FROM mas_guard_ledger_waiters WHERE process = ?", (self.process,))
        for arrival, result in rows.fetchall():
            there.add(arrival)
            if result is not None:
                self._answers[arrival] = read_result(result, self._account)
                self._forget_waiter(arrival)
            elif arrival not in self.tickets and arrival not in self._joined:
                waiter, _ = self._stored(arrival)
                if waiter is not None:
                    self._leave(waiter, None)
        self.serve(())
        for arrival, ticket in list(self.tickets.items()):
            if arrival in there or arrival in self._answers or arrival in self._left:
                continue
            self._left.append(arrival)
            if self._answer(self._join(ticket)):
                self.serve(())

    def pass_over_the_gone(self) -> None:
        """Let those leave whose process is gone, and serve whom they kept back."""
        found = self.execute(
            "SELECT DISTINCT w.process FROM mas_guard_ledger_waiters w LEFT JOIN mas_guard_ledger_processes p "
            "ON p.id = w.process WHERE w.process <> ? AND coalesce(p.seen, -1e18) < ?",
            (self.process, self.clock.time - GONE),
        )
        for (process,) in found.fetchall():
            rows = self.execute("SELECT arrival FROM mas_guard_ledger_waiters WHERE process = ?", (process,))
            for (arrival,) in rows.fetchall():
                waiter, _ = self._stored(arrival)
                if waiter is not None:
                    self._leave(waiter, None)
                self._forget_waiter(arrival)
        self.serve(())

    # When the transaction has ended

    def delivered(self) -> list[SqliteTicket]:
        """The transaction is committed: set the results; return the tickets to be woken."""
        self.tickets.update(self._joined)
        for arrival in self._left:
            self.tickets.pop(arrival, None)
        answered = []
        for arrival, result in self._answers.items():
            found = self.tickets.pop(arrival, None)
            if found is not None:
                found.result = result
                answered.append(found)
        self.undone()
        return answered

    def undone(self) -> None:
        """The transaction is rolled back: what it did to the queue has not happened."""
        self._joined, self._left, self._answers = {}, [], {}
        self._agenda.clear()
        self._others.clear()
        self.must_last = False

    # Helpers

    def _catch_up(self) -> None:
        self.pass_over_the_gone()
        self.serve(self.end_leases())

    def _join(self, ticket: SqliteTicket) -> Waiter:
        ask = ticket.ask
        found = self.execute(
            "INSERT INTO mas_guard_ledger_waiters (process, ask) VALUES (?, ?)", (self.process, ask_text(ask))
        )
        arrival = cast("int", found.lastrowid)
        ticket.arrival = arrival
        for account in ask.accounts:
            self._change_waiting(account.id, 1)  # type: ignore[attr-defined]
            self._line_up(account.id, _EVERYBODY, arrival)  # type: ignore[attr-defined]
            if ask.inside:
                self._line_up(account.id, _NESTED, arrival)  # type: ignore[attr-defined]
        for hold_id in ask.inside:
            hold = self.find(hold_id)
            if hold is not None and hold.live:
                self.execute("INSERT OR IGNORE INTO mas_guard_ledger_inside VALUES (?, ?)", (arrival, hold_id))
        self._joined[arrival] = ticket
        return Waiter(arrival, self.process, ask)

    def _leave(self, waiter: Waiter, result: Grant | Refusal | None) -> None:
        """Answer *waiter*, or let it go with `None`; its accounts come on the agenda."""
        arrival = waiter.arrival
        self.execute("DELETE FROM mas_guard_ledger_lines WHERE arrival = ?", (arrival,))
        self.execute("DELETE FROM mas_guard_ledger_inside WHERE arrival = ?", (arrival,))
        for account in cast("tuple[SqliteAccount, ...]", waiter.ask.accounts):
            self._change_waiting(account.id, -1)
            self._agenda.append(account.id)
        if result is not None and waiter.process != self.process:
            text = result_text(result)
            self.execute("UPDATE mas_guard_ledger_waiters SET result = ? WHERE arrival = ?", (text, arrival))
            return
        self._forget_waiter(arrival)
        if result is not None:
            self._answers[arrival] = result

    def _answer(self, waiter: Waiter) -> bool:
        """Grant or refuse *waiter* if its time has come; else put it in line wherever it has to wait."""
        ask = waiter.ask
        known = self.known(ask.hold_id)
        if known is not None:
            self._leave(waiter, known)
            return True
        outlook = self._outlook(ask)
        halted = halting(ask)
        if halted is not None:
            self._leave(waiter, turned_away(ask, halted, halted=True))
            return True
        if outlook.lacking is not None:
            self._leave(waiter, refusal(ask, outlook.lacking, ask.output, can_wait=False))
            return True
        if self._in_turn(waiter) and not outlook.waiting_helps(ask):
            if outlook.tight is None:
                self._leave(waiter, self.take(ask, outlook.now, waiter.process))
            else:
                self._leave(waiter, refusal(ask, outlook.tight, ask.output, can_wait=False))
            return True
        for account, unit in outlook.short:
            self._line_up(account.id, unit, waiter.arrival)  # type: ignore[attr-defined]
        return False

    def _in_turn(self, waiter: Waiter) -> bool:
        """True where nobody who came before waits for any unit of this ask; else it lines up behind them."""
        if waiter.ask.inside:
            return True
        first = True
        for (account, unit), ahead in self._lines_met(waiter.ask):
            if ahead < waiter.arrival:
                self._line_up(account.id, unit, waiter.arrival)  # type: ignore[attr-defined]
                first = False
        return first

    def _somebody_ahead(self, ask: Ask) -> tuple[Pair, int] | None:
        for pair, _ in self._lines_met(ask):
            account, unit = pair
            in_line = self.execute(_IN_LINE, (account.id, unit)).fetchall()  # type: ignore[attr-defined]
            return pair, len(in_line)
        return None

    def _lines_met(self, ask: Ask) -> list[tuple[Pair, int]]:
        """Where somebody waits for a unit of *ask*, and the arrival of the first who does."""
        full = needed(ask, ask.output)
        met: list[tuple[Pair, int]] = []
        for account in cast("tuple[SqliteAccount, ...]", ask.accounts):
            if not account.waiting:
                continue
            firsts = self.execute(_FIRSTS, (account.id,)).fetchone()
            for unit, first in enumerate(firsts):
                if first is not None and full[unit] and account.limit[unit] != NO_LIMIT:
                    met.append(((account, unit), first))
        return met

    def _next(self, account_id: int) -> list[int]:
        """Those who may be the next to be served there: the first of each line, and the nested ones."""
        firsts = self.execute(_FIRSTS, (account_id,)).fetchone()
        nested = self.execute(_IN_LINE, (account_id, _NESTED)).fetchall()
        return sorted({first for first in firsts if first is not None} | {arrival for (arrival,) in nested})

    def _outlook(self, ask: Ask) -> Outlook:
        self._load(ask)
        stuck: dict[str, Hold] = {}
        for (hold_id,) in self.execute("SELECT DISTINCT hold_id FROM mas_guard_ledger_inside").fetchall():
            hold = self._live(hold_id, stuck=True)
            if hold is not None:
                stuck[hold_id] = hold
                for account in hold.accounts:
                    account.add_stuck(hold.returnable(), 1)
        return Outlook(ask, lambda hold_id: stuck.get(hold_id) or self._live(hold_id, stuck=False))

    def _live(self, hold_id: str, *, stuck: bool) -> Hold | None:
        hold = self.find(hold_id)
        if hold is None or not hold.live:
            return None
        return hold.as_hold(tuple(map(self._account, hold.levels)), stuck)

    def _load(self, ask: Ask) -> None:
        """Read the figures of the ask's accounts."""
        for account in cast("tuple[SqliteAccount, ...]", ask.accounts):
            self._load_account(account)

    def _load_account(self, account: SqliteAccount) -> None:
        row = self.execute(statements.ACCOUNT, (account.id,)).fetchone()
        if row is None:
            raise lost(account.scope)
        account.load(row)

    def _account(self, account_id: int) -> SqliteAccount:
        """The one object that stands for an account in this transaction."""
        found = self.handles.get(account_id) or self._others.get(account_id)
        if found is None:
            row = self.execute("SELECT scope FROM mas_guard_ledger_accounts WHERE id = ?", (account_id,)).fetchone()
            found = self._others[account_id] = SqliteAccount(row[0] if row else "", account_id)
        return found

    def _stored(self, arrival: int) -> tuple[Waiter | None, Grant | Refusal | None]:
        row = self.execute(
            "SELECT process, ask, result FROM mas_guard_ledger_waiters WHERE arrival = ?", (arrival,)
        ).fetchone()
        if row is None:
            return None, None
        process, text, result = row
        return Waiter(arrival, process, read_ask(text, self._account)), None if result is None else read_result(
            result, self._account
        )

    def _line_up(self, account_id: int, line: int, arrival: int) -> None:
        self.execute("INSERT OR IGNORE INTO mas_guard_ledger_lines VALUES (?, ?, ?)", (account_id, line, arrival))

    def _change_waiting(self, account_id: int, by: int) -> None:
        self.execute("UPDATE mas_guard_ledger_accounts SET waiting = waiting + ? WHERE id = ?", (by, account_id))

    def _forget_waiter(self, arrival: int) -> None:
        self.execute("DELETE FROM mas_guard_ledger_waiters WHERE arrival = ?", (arrival,))
