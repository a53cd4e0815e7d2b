"""What a store must still be told of an outage, and how it is told: every step may be repeated.

Bounded by what the process has open anyway: one entry for each hold that lived when the store was lost or lives now, one
sum for each open account and those that pay with it, and at most `MOST_STRANGERS` ends of holds that were taken
elsewhere; older ones are dropped, and counted.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final

from mas_guard.ledger.base import Account, AccountLost, Ask, Ledger, Refusal, Ticket
from mas_guard.ledger.standby.shadow import Levels, Shadow, StandbyAccount
from mas_guard.types import ZERO, Amounts

MOST_STRANGERS = 10_000
"""Ends of holds unknown here that are kept for the store."""

SHORT_LEASE = 0.001
"""Seconds; for a hold whose lease is over here: the store ends it, too, as it does with all others."""

ABSENT, IN_DOUBT, PRESENT = range(3)
"""Whether the store has a hold: it was never asked, its answer was lost, it has granted it."""

RELEASED: Final = "released"

_TRIES = 5  # to bring a hold to the store: with what fits there, and under another id

_log = logging.getLogger("mas_guard.ledger")


class Entry:
    """A hold of which the store does not know what became.

    Attributes:
        hold_id: Its id.
        accounts: What it is held on.
        state: `ABSENT`, `IN_DOUBT` or `PRESENT`.
        sent: True where it was dispatched without the store.
        amounts: What it held.
        ended: How it ended: what was used, or `RELEASED`; `None` while it lives here.
    """

    __slots__ = ("accounts", "amounts", "ended", "hold_id", "sent", "state")

    def __init__(self, hold_id: str, accounts: Levels, state: int) -> None:
        self.hold_id = hold_id
        self.accounts = accounts
        self.state = state
        self.sent = False
        self.amounts = ZERO
        self.ended: Amounts | str | None = None


@dataclass(slots=True)
class Told:
    """What the store was told: holds that ended or still live, accounts opened or changed, and what was booked.

    `dropped` counts what the store would not take any more, such as the end of a hold on an account that it has lost.
    """

    ended: int = 0
    live: int = 0
    accounts: int = 0
    charged: Amounts = ZERO
    dropped: int = 0

    def figures(self) -> dict[str, object]:
        """The same for an event."""
        return {**asdict(self), "charged": self.charged._asdict()}

    @property
    def anything(self) -> bool:
        """True where there was something to tell."""
        return bool(self.ended or self.live or self.accounts or any(self.charged) or self.dropped)


class Journal:
    """See the module. Whoever uses it holds the shadow's lock.

    Attributes:
        entries: By hold.
        names: Under which id the store has a hold, where that is another one.
        missing: Holds that live here, or have lapsed, and are not in the store: what they use is charged there.
        told: What was told since the store was lost.
    """

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._name, self._numbers = f"standby.{os.urandom(8).hex()}", count()
        self.entries: dict[str, Entry] = {}
        self._ended: dict[str, None] = {}  # those of them that have: they are told first, so that the others fit
        self.names: dict[str, str] = {}
        self.missing: dict[str, int] = {}
        self.told = Told()
        self._unopened: dict[StandbyAccount, None] = {}
        self._changed: dict[StandbyAccount, None] = {}
        self._spenders: dict[StandbyAccount, None] = {}
        self._charges: deque[tuple[Levels, Amounts, str]] = deque()
        self._closing: dict[StandbyAccount, None] = {}
        self._left: deque[Ticket] = deque()
        self._strangers = 0

    def __len__(self) -> int:
        holds, accounts = len(self.entries), len(self._unopened) + len(self._changed) + len(self._closing)
        return holds + accounts + len(self._spenders) + len(self._charges) + len(self._left)

    def name(self, hold_id: str) -> str:
        """Under which id the store has the hold."""
        return self.names.get(hold_id, hold_id) if self.names else hold_id

    # -- what is noted --------------------------------------------------------------------------------

    def opened(self, account: StandbyAccount) -> None:
        """The account is not in the store yet."""
        self._unopened[account] = None

    def reached(self, account: StandbyAccount) -> None:
        """It is by now."""
        self._unopened.pop(account, None)

    def changed(self, account: StandbyAccount) -> None:
        """Its limits are others, or it is halted, or that was lifted."""
        self._changed[account] = None

    def closed(self, account: StandbyAccount) -> None:
        """It was closed. One that the store never had is forgotten, but for what others pay with it."""
        self._changed.pop(account, None)
        if account.inner is not None:
            self._closing[account] = None
            return
        self._unopened.pop(account, None)
        self._spenders.pop(account, None)
        spent, account.spent_here = account.spent_here, {}
        for accounts, amounts in spent.items():
            self.spend(accounts, amounts)

    def left(self, ticket: Ticket) -> None:
        """Its owner does not wait in the store's queue any more."""
        self._left.append(ticket)

    def doubt(self, hold_id: str, accounts: Levels) -> None:
        """The store may have granted the hold; it is given back there, unless it lives here."""
        entry = self.entries.get(hold_id)
        if entry is None:
            entry = self.entries[hold_id] = Entry(hold_id, accounts, IN_DOUBT)
            self._end(entry, RELEASED)

    def granted(self, hold_id: str, accounts: Levels) -> None:
        """The hold lives here."""
        entry = self.entries.get(hold_id)
        if entry is None:
            self.entries[hold_id] = Entry(hold_id, accounts, ABSENT)
        else:
            entry.ended = None
            self._ended.pop(hold_id, None)

    def dispatched(self, hold_id: str, accounts: Levels) -> None:
        """It was dispatched without the store."""
        self._entry(hold_id, accounts).sent = True

    def settled(self, hold_id: str, accounts: Levels, held: Amounts, actual: Amounts) -> None:
        """It has ended with what was used."""
        entry = self._entry(hold_id, accounts)
        if entry.state == ABSENT:
            del self.entries[hold_id]
            self.spend(accounts, actual)
        else:
            entry.amounts = held
            self._end(entry, actual)

    def released(self, hold_id: str, accounts: Levels) -> None:
        """It has ended and cost nothing."""
        entry = self._entry(hold_id, accounts)
        if entry.state == ABSENT:
            del self.entries[hold_id]
        else:
            self._end(entry, RELEASED)

    def ended_elsewhere(self, hold_id: str, ended: Amounts | str) -> None:
        """A hold that is unknown here has ended."""
        if hold_id not in self.entries:
            self._strangers += 1
            if self._strangers > MOST_STRANGERS:
                oldest = next((one for one in self.entries.values() if not one.accounts), None)
                if oldest is not None:
                    del self.entries[oldest.hold_id], self._ended[oldest.hold_id]
                self.told.dropped += 1
        self._end(self._entry(hold_id, ()), ended)

    def _end(self, entry: Entry, ended: Amounts | str) -> None:
        entry.ended = ended
        self._ended[entry.hold_id] = None

    def spend(self, accounts: Levels, amounts: Amounts) -> None:
        """What was spent without the store. Those are left out that neither side has any more."""
        paying = tuple(account for account in accounts if account.inner is not None or not account.closed)
        if paying and any(amounts):
            sums = paying[0].spent_here
            sums[paying] = sums.get(paying, ZERO).plus(amounts)
            self._spenders[paying[0]] = None

    def charge(self, accounts: Levels, amounts: Amounts, charge_id: str) -> None:
        """A charge that the store may have booked."""
        self._charges.append((accounts, amounts, charge_id))

    def _entry(self, hold_id: str, accounts: Levels) -> Entry:
        entry = self.entries.get(hold_id)
        if entry is None:
            entry = self.entries[hold_id] = Entry(hold_id, accounts, PRESENT)
        return entry

    def tear_up(self) -> None:
        """Forget everything: in a forked process all of it is the parent's to tell."""
        for account in self._spenders:
            account.spent_here = {}
        for parents in (
            self.entries,
            self._ended,
            self._changed,
            self._spenders,
            self._charges,
            self._closing,
            self._left,
        ):
            parents.clear()
        self._name, self.told, self._strangers = f"standby.{os.urandom(8).hex()}", Told(), 0

    # -- how it is told -------------------------------------------------------------------------------

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
