"""Those who wait: in the store's queue, and in this process's own while the store is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from mas_guard.errors import StoreUnavailable
from mas_guard.ledger.base import AccountLost, Ask, Grant, Ticket
from mas_guard.ledger.standby.passage import Passage
from mas_guard.ledger.standby.shadow import Levels, ours

_log = logging.getLogger("mas_guard.ledger")


class StandbyTicket(Ticket):
    """A ticket that may move between the store's queue and this process's own.

    Attributes:
        wake: Called once it is answered, or once nobody can say whether it ever will be.
        place: Where it waits now; `None` while it is moved, and once it is answered or has left.
        last: The ticket that the store gave for it last, unless it was answered here.
        asked: True once it was on its way to the store's queue.
    """

    __slots__ = ("asked", "last", "place", "wake")

    def __init__(self, ask: Ask, wake: Callable[[], object]) -> None:
        super().__init__(ask)
        self.wake = wake
        self.place: Place | None = None
        self.last: Ticket | None = None
        self.asked = False

    @property
    def levels(self) -> Levels:
        """What it asks to be paid from."""
        return cast("Levels", self.ask.accounts)


class Place:
    """A ticket's place in one queue; called when it is answered there.

    Attributes:
        ticket: Whose it is.
        here: True in this process's own queue, False in the store's.
        theirs: The ticket of that queue; `None` until that is known.
        early: True where it was answered before.
    """

    __slots__ = ("_say", "early", "here", "theirs", "ticket")

    def __init__(self, ticket: StandbyTicket, here: bool, say: Callable[[Place], None]) -> None:
        self.ticket = ticket
        self.here = here
        self.theirs: Ticket | None = None
        self.early = False
        self._say = say

    def __call__(self) -> None:
        """It is answered."""
        self._say(self)


class Waiting(Passage):
    """See the module."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._tickets: dict[StandbyTicket, None] = {}  # in order of arrival

    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        """See `Ledger.wait`. Who waits for a shared account is woken without a result where the store is lost; all others
        go on to wait here meanwhile, and in the store's queue again once it is back."""
        ticket = StandbyTicket(ask, wake)
        while True:
            there = self.attend() is not None
            with self.door:
                if self.lost:
                    self.must_be_local(ticket.levels)
                    self._tickets[ticket] = None
                    self._queue_here(ticket)
                    return ticket
                if there:
                    self.translated(ask)
                    self._tickets[ticket] = None
                    break
        self._queue_there(ticket)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """See `Ledger.cancel`."""
        mine = cast("StandbyTicket", ticket)
        with self.door:
            place, mine.place = mine.place, None
            waited = mine in self._tickets
            if waited:
                del self._tickets[mine]
                if place is None or place.theirs is None:
                    return  # on its way to a queue: whoever brings it there sees that it has left
                if place.here:
                    self.shadow.cancel(place.theirs)
                    return
            found = mine.result
            theirs = place.theirs if place is not None else mine.last
        grant = found if isinstance(found, Grant) and not found.spent else None
        if not waited and grant is None:
            return

        def there() -> None:
            if theirs is not None:
                self.inner.cancel(theirs)
                if grant is not None and theirs.result is None:
                    mine.result = None
                    self.shadow.release(grant.hold_id)
            elif grant is not None and self._is_unsent(grant.hold_id):
                mine.result = None
                self.release(grant.hold_id)

        def here() -> None:
            if waited and theirs is not None:
                self.journal.left(theirs)
            elif grant is not None and self._is_unsent(grant.hold_id):
                mine.result = None
                self.release_here(grant.hold_id)

        self.either(there, here)

    def sweep(self) -> float | None:
        """See `Ledger.sweep`. Never raises. While the store is lost it also names when to try it again."""

        def there() -> float | None:
            seconds = self.inner.sweep()
            self.shadow.sweep()
            return seconds

        def here() -> float:
            seconds = self.shadow.sweep()
            again = self.seconds_to_next_try()
            return again if seconds is None else min(seconds, again)

        try:
            return self.either(there, here)
        except StoreUnavailable:
            return None

    def release(self, hold_id: str) -> None:
        """See `Ledger.release`."""
        raise NotImplementedError

    def release_here(self, hold_id: str) -> None:
        """Release without the store."""
        raise NotImplementedError

    def become_another_process(self) -> None:
        """In a forked process nobody waits."""
        super().become_another_process()
        self._tickets = {}

    # -- from one queue to the other ------------------------------------------------------------------

    def _queue_there(self, ticket: StandbyTicket) -> None:
        """Put *ticket* into the store's queue, unless it has a place or has left by now."""
        while True:
            epoch = self.attend()
            with self.door:
                if self.lost or ticket not in self._tickets or ticket.place is not None:
                    return
                place = ticket.place = Place(ticket, False, self._hear)
                ticket.asked = True
            try:
                found = self.inner.wait(self.translated(ticket.ask), place)
            except Exception as error:
                if epoch is not None and self.is_outage(error):
                    self._queue_failed(place, error, epoch)
                    continue
                with self.door:
                    if ticket.place is place:
                        ticket.place = None
                        del self._tickets[ticket]
                self.explain(error)
                raise
            with self.door:
                place.theirs = ticket.last = found
                if ticket.place is place:
                    if place.early:
                        self._answered(place)
                    return
            self._leave(found)  # it went elsewhere meanwhile
            return

    def _leave(self, theirs: Ticket) -> None:
        self.either(lambda: self.inner.cancel(theirs), lambda: self.journal.left(theirs))

    def _queue_failed(self, place: Place, error: Exception, epoch: int) -> None:
        ticket = place.ticket
        self.lose(error, epoch, ours(ticket.ask.accounts[0]).root)
        with self.door:
            if ticket.place is place:
                ticket.place = None
            if self.lost:
                self.journal.doubt(ticket.ask.hold_id, ticket.levels)  # the store may have granted it at once

    def _queue_here(self, ticket: StandbyTicket) -> None:
        place = ticket.place = Place(ticket, True, self._hear)
        try:
            place.theirs = self.shadow.wait(ticket.ask, place)
        except ValueError:  # one of its accounts was closed
            self._let_go(ticket)
            return
        if place.early:
            self._answered(place)

    def _wait_here(self) -> None:
        for ticket in list(self._tickets):
            place, ticket.place = ticket.place, None
            if place is not None and place.theirs is not None:
                self.journal.left(place.theirs)
            if all(map(self.is_local, ticket.levels)):
                self._queue_here(ticket)
            else:
                self._let_go(ticket)

    def _go_back(self) -> None:
        places = [ticket.place for ticket in self._tickets if ticket.place is not None]
        self.shadow.move_out([place.theirs for place in places if place.theirs is not None])
        for place in places:
            place.ticket.place = None
        super()._go_back()

    def _wait_there(self) -> None:
        for ticket in list(self._tickets):
            self._queue_there(ticket)

    # -- answers --------------------------------------------------------------------------------------

    def _hear(self, place: Place) -> None:
        """Whoever says that *place* is answered may be in the middle of the store's own work, and must not wait."""
        self.door.post(lambda: self._answered(place))

    def _answered(self, place: Place) -> None:
        """*place* was answered; where its ticket is elsewhere by now, whoever moved it sees to that."""
        if place.theirs is None:
            place.early = True
            return
        ticket = place.ticket
        if ticket.place is not place:
            return
        try:
            found = place.theirs.result
        except (
            AccountLost,
            ValueError,
        ):  # one of its accounts is lost or closed; who waits hears of it by asking again
            found = None
        if found is None:
            self._let_go(ticket)
            return
        hold_id = ticket.ask.hold_id
        if isinstance(found, Grant) and not found.spent:
            if place.here:
                if ticket.asked:  # the store may have granted it, too
                    self.journal.doubt(hold_id, ticket.levels)
                self.journal.granted(hold_id, ticket.levels)
            else:
                self.shadow.confirm(ticket.ask, found)
        if place.here:
            ticket.last = None
        ticket.result = self.answer(ticket.ask, found)
        self._let_go(ticket)

    def _let_go(self, ticket: StandbyTicket) -> None:
        ticket.place = None
        self._tickets.pop(ticket, None)
        self.door.afterwards(lambda: _wake(ticket))

    def _is_unsent(self, hold_id: str) -> bool:
        hold = self.shadow.live(hold_id)
        return hold is not None and not hold.sent


def _wake(ticket: StandbyTicket) -> None:
    try:
        ticket.wake()
    except Exception:
        _log.exception("waking %r failed; if it got a hold, that ends with its lease", ticket.ask.hold_id)
