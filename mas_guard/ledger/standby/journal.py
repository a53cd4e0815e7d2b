"""What a store must still be told of an outage.

Bounded by what the process has open anyway: one entry for each hold that lived when the store was lost or lives now, one
sum for each open account and those that pay with it, and at most `MOST_STRANGERS` ends of holds that were taken
elsewhere; older ones are dropped, and counted.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final

from mas_guard.ledger.base import Ticket
from mas_guard.ledger.standby.shadow import Levels, Shadow, StandbyAccount
from mas_guard.types import ZERO, Amounts

MOST_STRANGERS = 10_000
"""Ends of holds unknown here that are kept for the store."""

ABSENT, IN_DOUBT, PRESENT = range(3)
"""Whether the store has a hold: it was never asked, its answer was lost, it has granted it."""

RELEASED: Final = "released"


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
