"""How a store that is back is told what it missed: one thing at a time, and again where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mas_guard.ledger.base import Account, AccountLost, Ask, Ledger, Refusal
from mas_guard.ledger.standby.journal import IN_DOUBT, MOST_STRANGERS, PRESENT, Entry, Journal
from mas_guard.ledger.standby.shadow import Levels, StandbyAccount
from mas_guard.types import ZERO, Amounts

SHORT_LEASE = 0.001
"""Seconds; for a hold whose lease is over here: the store ends it, too, as it does with all others."""


_TRIES = 5  # to bring a hold to the store: with what fits there, and under another id

_log = logging.getLogger("mas_guard.ledger")


class Telling(Journal):
    """A journal that is told. Every step may be repeated: it is idempotent by the ids in it."""

    def tell(self, inner: Ledger, most: int) -> bool:
        """Tell *inner* at most *most* things; True once there is nothing left.

        Raises the driver's error where the store is lost again; what was being told is told once more then.
        """
        for _ in range(most):
            if not self._tell_next(inner):
                return True
        return not len(self)

    def _tell_next(self, inner: Ledger) -> bool:
        """Tell one thing, taken out first: what happens to it meanwhile is noted anew. False where nothing is left."""
        if self._left:
            ticket = self._left.popleft()
            self._try(lambda: inner.cancel(ticket), lambda: self._left.appendleft(ticket))
        elif self._unopened:
            account = next(iter(self._unopened))
            before = next((closing for closing in self._closing if closing.scope == account.scope), None)
            if before is not None:
                self._close(inner, before)
                return True
            del self._unopened[account]
            self._try(lambda: self._open(inner, account), lambda: self.opened(account))
        elif self._changed:
            account, _ = self._changed.popitem()
            self._try(lambda: self._change(inner, account), lambda: self.changed(account))
        elif self.entries:
            hold_id = next(iter(self._ended or self.entries))
            self._ended.pop(hold_id, None)
            entry = self.entries.pop(hold_id)
            self._try(lambda: self._tell_of(inner, entry), lambda: self._put_back(entry))
        elif self._charges:
            charge = self._charges.popleft()
            self._try(lambda: self._charge(inner, *charge), lambda: self._charges.appendleft(charge))
        elif self._spenders:
            spender, _ = self._spenders.popitem()
            spent, spender.spent_here = spender.spent_here, {}
            for accounts, amounts in spent.items():  # a sum that was tried once keeps its id, and grows no more
                self._charges.append((accounts, amounts, f"{self._name}.{next(self._numbers)}"))
        elif self._closing:
            self._close(inner, next(iter(self._closing)))
        else:
            self._strangers = 0
            return False
        return True

    def _try(self, tell: Callable[[], None], put_back: Callable[[], None]) -> None:
        try:
            tell()
        except (AccountLost, ValueError) as error:  # the store has lost or closed an account of it
            self.told.dropped += 1
            _log.warning("the store does not take what was done without it: %s", error)
        except BaseException:
            put_back()
            raise

    def _put_back(self, entry: Entry) -> None:
        since = self.entries.setdefault(entry.hold_id, entry)
        if since.ended is not None:
            self._ended[entry.hold_id] = None
        if since is not entry:  # it has ended meanwhile, by a garbage collection
            since.state, since.sent = entry.state, entry.sent

    def _open(self, inner: Ledger, account: StandbyAccount) -> None:
        account.inner = inner.open(account.scope, account.limits, root=account.root)
        account.limits_due = False
        self.told.accounts += 1
        settled = inner.spent(account.inner)[1]
        if any(settled):
            account.shared = True  # another process has spent on it: it never lived here alone
            _log.warning("%r was opened while the store was lost, and others have spent on it before", account.scope)
            self._forget_brought(account, settled)
        if account.halted:
            account.halt_due = True
            self.changed(account)

    def _forget_brought(self, account: StandbyAccount, settled: Amounts) -> None:
        """Of what the run knew of its past and what the store has of it, the larger counts."""
        alone = (account,)
        booked = account.spent_here.get(alone)
        if booked is not None:
            twice = map(min, account.brought, settled)
            account.spent_here[alone] = Amounts(*(all_ - less for all_, less in zip(booked, twice, strict=True)))
            account.brought = ZERO

    def _change(self, inner: Ledger, account: StandbyAccount) -> None:
        if account.closed or account.inner is None:
            return
        if account.limits_due:
            inner.set_limits(account.inner, account.limits)
        if account.halt_due:
            inner.halt(account.inner, account.halted)
        account.limits_due = account.halt_due = False
        self.told.accounts += 1

    def _close(self, inner: Ledger, account: StandbyAccount) -> None:
        del self._closing[account]

        def close() -> None:
            if account.inner is not None:
                inner.close(account.inner)
                account.inner = None  # what is left to tell is told to the levels beside it

        self._try(close, lambda: self.closed(account))

    def _charge(self, inner: Ledger, accounts: Levels, amounts: Amounts, charge_id: str) -> None:
        levels = _theirs(accounts)
        if not levels:
            return
        try:
            inner.charge(levels, amounts, charge_id)
        except (AccountLost, ValueError):
            if len(levels) == 1:
                raise
            for account in accounts:  # the others are paid all the same
                self._try(lambda account=account: self._charge(inner, (account,), amounts, charge_id), lambda: None)  # type: ignore[misc]
            return
        self.told.charged = self.told.charged.plus(amounts)

    def _tell_of(self, inner: Ledger, entry: Entry) -> None:
        hold_id, levels = entry.hold_id, _theirs(entry.accounts)
        if entry.ended is None:
            hold = self._shadow.unsettled(hold_id)
            if hold is None:
                return
            if hold.spent and not hold.sent:  # where the store has it, its lease ends there as well
                if entry.state != PRESENT:
                    self._misses(hold_id)
                return
            lease = max(hold.ends - self._shadow.now(), SHORT_LEASE)
            self._bring(inner, entry, levels, hold.amounts, lease)
            if hold.sent and hold_id not in self.missing:
                inner.dispatch(self.name(hold_id), lease)
            self.told.live += 1
        elif isinstance(entry.ended, str):
            inner.release(self.name(hold_id))
            self.names.pop(hold_id, None)
            self.told.ended += 1
        else:
            if levels and (entry.state != PRESENT or entry.sent):
                self._bring(inner, entry, levels, entry.amounts, 60.0)
            if not inner.settle(self.name(hold_id), entry.ended).known and levels:
                inner.charge(levels, entry.ended, hold_id)
            self.names.pop(hold_id, None)
            self.missing.pop(hold_id, None)
            self.told.ended += 1

    def _bring(self, inner: Ledger, entry: Entry, levels: tuple[Account, ...], amounts: Amounts, lease: float) -> None:
        """See to it that the store has the hold, with these amounts.

        Where they do not fit, because another call has used more than it held, a live one is held with what does: that
        must not be granted to others. One that has ended is charged.
        """
        hold_id, present = entry.hold_id, entry.state == PRESENT
        if not levels or (present and inner.dispatch(self.name(hold_id), lease)):
            return
        if not present:
            entry.state = IN_DOUBT  # until it is answered
        self._misses(hold_id)
        for _ in range(_TRIES):
            name = self.name(hold_id)
            found = inner.reserve_fitting(Ask(name, levels, amounts, lease=lease, passes_halt=True))
            if isinstance(found, Refusal):
                amounts = _fitting(inner, levels, amounts) if entry.ended is None else ZERO
                if not any(amounts):
                    return
            elif found.amounts == amounts or (
                found.spent and present
            ):  # the latter is charged, until its end corrects it
                entry.state = PRESENT
                self.missing.pop(hold_id, None)
                return
            else:
                if not found.spent:  # granted when its answer was lost, with another output
                    inner.release(name)
                self.names[hold_id] = f"{hold_id}~{next(self._numbers)}"

    def _misses(self, hold_id: str) -> None:
        self.missing[hold_id] = 1
        if len(self.missing) > MOST_STRANGERS:
            del self.missing[next(iter(self.missing))]


def _theirs(accounts: Levels) -> tuple[Account, ...]:
    return tuple(account.inner for account in accounts if account.inner is not None)


def _fitting(inner: Ledger, levels: tuple[Account, ...], amounts: Amounts) -> Amounts:
    """As much of *amounts* as every level has left, unit by unit, and less than all of it."""
    for level in levels:
        balance = inner.read(level)
        left = (
            want if limit is None else min(want, max(0, limit - settled - held))
            for want, limit, settled, held in zip(amounts, balance.limits, balance.settled, balance.held, strict=True)
        )
        amounts = Amounts(*left)
    return amounts
