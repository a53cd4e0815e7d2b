"""Who waits, and who is next: the queue over all levels of the memory ledger.

After every change only those are looked at who may be next on the levels that changed (the first of each line,
and nested asks). One that is answered leaves its lines, and then its own levels are looked at: so a change costs
what it answers, however many wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from mas_guard.ledger._account import NO_LIMIT, Hold, MemoryAccount
from mas_guard.ledger._books import Books
from mas_guard.ledger._outlook import Outlook, Pair, accounts_of, halting, needed, refusal, turned_away
from mas_guard.ledger._queue import Queue, Waiter
from mas_guard.ledger.base import Ask, Grant, Refusal


class Waiting(Books):
    """The books, and those who wait for them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._arrivals = count()
        self._agenda: list[MemoryAccount] = []
        self._serving = False

    def decide(self, ask: Ask, fitting: bool) -> Grant | Refusal:
        """Answer an ask that does not wait: in full and after those who wait, or *fitting* and past them."""
        known = self.known(ask.hold_id)
        if known is not None:
            return known
        halted = halting(ask)
        if halted is not None:
            return turned_away(ask, halted, halted=True)
        outlook = Outlook(ask, self.live_hold)
        if fitting:
            if outlook.tight is None:
                return self.take(ask, outlook.now)
            return refusal(ask, outlook.tight, ask.least_output, outlook.waiting_helps(ask))
        if outlook.lacking is None and not ask.inside:
            ahead = _somebody_ahead(ask)
            if ahead is not None:
                pair, waiting = ahead
                return refusal(ask, pair, ask.output, can_wait=True, ahead=waiting)
        if not outlook.short:
            return self.take(ask, ask.output)
        return refusal(ask, outlook.lacking or outlook.short[0], ask.output, outlook.waiting_helps(ask))

    def join(self, ask: Ask, wake: Callable[[], object]) -> Waiter:
        """Take a new waiter in; `answer` it next."""
        waiter = Waiter(ask, accounts_of(ask), next(self._arrivals), wake)
        for account in waiter.accounts:
            if account.queue is None:
                account.queue = Queue()
            account.queue.add(waiter)
        for hold_id in ask.inside:
            hold = self.live_hold(hold_id)
            if hold is not None:
                waiter.inside.append(hold)
                hold.stuck += 1
                if hold.stuck == 1:
                    _count_stuck(hold, 1)
        return waiter

    def leave(self, waiter: Waiter, result: Grant | Refusal | None) -> None:
        """Answer *waiter*, or let it go with `None`; its accounts come on the agenda."""
        waiter.waiting = False
        waiter.result = result
        for line in waiter.lines:
            line.left()
        for account in waiter.accounts:
            queue = account.queue
            if queue is not None:
                queue.remove(waiter)
                if not queue.everyone and not account.closed and not account.halted:
                    account.queue = None
        for hold in waiter.inside:
            hold.stuck -= 1
            if not hold.stuck and not hold.spent:
                _count_stuck(hold, -1)
        self._agenda.extend(waiter.accounts)

    def serve(self, accounts: Iterable[MemoryAccount]) -> list[Waiter]:
        """Answer whoever can be answered after a change on *accounts*; return those to be woken."""
        self._agenda.extend(accounts)
        if self._serving:
            return []  # a settle out of a garbage collection while serving: the one who serves goes on with it
        self._serving = True
        answered: list[Waiter] = []
        try:
            while self._agenda:
                queue = self._agenda.pop().queue
                if queue is not None:
                    answered.extend(waiter for waiter in queue.next() if waiter.waiting and self.answer(waiter))
        finally:
            self._serving = False
        return answered

    def answer(self, waiter: Waiter) -> bool:
        """Grant or refuse *waiter* if its time has come; else put it in line wherever it has to wait."""
        ask = waiter.ask
        known = self.known(ask.hold_id)
        if known is not None:
            self.leave(waiter, known)
            return True
        halted = halting(ask)
        if halted is not None:
            self.leave(waiter, turned_away(ask, halted, halted=True))
            return True
        outlook = Outlook(ask, self.live_hold)
        if outlook.lacking is not None:
            self.leave(waiter, refusal(ask, outlook.lacking, ask.output, can_wait=False))
            return True
        if _in_turn(waiter) and not outlook.waiting_helps(ask):
            self.leave(waiter, self._final(ask, outlook))
            return True
        for account, unit in outlook.short:
            if account.queue is not None:
                account.queue.lines[unit].join(waiter)
        return False

    def turn_away(self, account: MemoryAccount) -> list[Waiter]:
        """Refuse all who wait on *account*, which is closed or halted; then serve those whom they kept back."""
        everyone = list(account.queue.everyone) if account.queue is not None else []
        refused = [waiter for waiter in everyone if account.closed or not waiter.ask.passes_halt]
        for waiter in refused:
            self.leave(waiter, turned_away(waiter.ask, account, halted=not account.closed))
        return refused + self.serve(())

    def _final(self, ask: Ask, outlook: Outlook) -> Grant | Refusal:
        if outlook.tight is None:
            return self.take(ask, outlook.now)
        return refusal(ask, outlook.tight, ask.output, can_wait=False)


def _in_turn(waiter: Waiter) -> bool:
    """True where nobody who came before waits for any unit of this ask; else it lines up behind them."""
    if waiter.ask.inside:
        return True
    first = True
    full = needed(waiter.ask, waiter.ask.output)
    for account in waiter.accounts:
        if account.queue is None:
            continue
        for unit, line in enumerate(account.queue.lines):
            if not full[unit] or account.limit[unit] == NO_LIMIT:
                continue
            ahead = line.first()
            if ahead is not None and ahead.arrival < waiter.arrival:
                line.join(waiter)
                first = False
    return first


def _somebody_ahead(ask: Ask) -> tuple[Pair, int] | None:
    full = needed(ask, ask.output)
    for account in accounts_of(ask):
        if account.queue is None:
            continue
        for unit, line in enumerate(account.queue.lines):
            if full[unit] and len(line) and account.limit[unit] != NO_LIMIT:
                return (account, unit), len(line)
    return None


def _count_stuck(hold: Hold, sign: int) -> None:
    for account in hold.accounts:
        account.add_stuck(hold.returnable(), sign)
