"""The life of a hold, with the store and without."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any, cast

from mas_guard.ledger._account import Hold
from mas_guard.ledger.base import AccountLost, Ask, Grant, Refusal, Settlement
from mas_guard.ledger.standby.journal import RELEASED
from mas_guard.ledger.standby.passage import ATTEND, Step
from mas_guard.ledger.standby.queue import Waiting
from mas_guard.ledger.standby.shadow import Levels, ours
from mas_guard.types import Amounts

_log = logging.getLogger("mas_guard.ledger")


class Holds(Waiting):
    """See the module."""

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve`. Raises `StoreUnavailable` where the store is lost and the ask needs it."""
        return self.drive(self._reserve(ask, "reserve"))

    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        """See `Ledger.reserve_fitting`. Raises `StoreUnavailable` as `reserve` does."""
        return self.drive(self._reserve(ask, "reserve_fitting"))

    def dispatch(self, hold_id: str, lease: float) -> bool:
        """See `Ledger.dispatch`. Raises `StoreUnavailable` where the hold is shared and cannot be told; it has ended then."""
        return self.drive(self._dispatch(hold_id, lease))

    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        """See `Ledger.settle`. Taken without the store, too."""
        return self.drive(self._settle(hold_id, actual))

    async def reserve_async(self, ask: Ask) -> Grant | Refusal:
        """See `reserve`. Awaits the store where its ledger can be awaited."""
        return await self.drive_async(self._reserve(ask, "reserve"))

    async def dispatch_async(self, hold_id: str, lease: float) -> bool:
        """See `dispatch`."""
        return await self.drive_async(self._dispatch(hold_id, lease))

    async def settle_async(self, hold_id: str, actual: Amounts) -> Settlement:
        """See `settle`."""
        return await self.drive_async(self._settle(hold_id, actual))

    def _reserve(self, ask: Ask, way: str) -> Generator[Step, Any, Grant | Refusal]:
        expected = asked = False
        while True:
            epoch = yield ATTEND
            if epoch is None:
                with self.door:
                    if self.lost:
                        return self._reserve_here(ask, way, expected, asked)
                continue
            with self.door:
                if self.lost:
                    continue
                theirs = self.translated(ask)
                expected = self.shadow.expect(ask) or expected
            try:
                found = yield (way, (theirs,))
            except Exception as error:
                if self.is_outage(error):
                    asked = True
                    self.lose(error, epoch, ours(ask.accounts[0]).root)
                    continue
                with self.door:
                    if expected:
                        self.shadow.take_back(ask.hold_id)
                self.explain(error)
                raise
            with self.door:
                if isinstance(found, Refusal):
                    if expected:
                        self.shadow.take_back(ask.hold_id)
                elif not found.spent:
                    self.shadow.confirm(ask, found)
            return self.answer(ask, found)

    def _reserve_here(self, ask: Ask, way: str, expected: bool, asked: bool) -> Grant | Refusal:
        levels, hold_id = cast("Levels", ask.accounts), ask.hold_id
        if expected:
            self.shadow.take_back(hold_id)  # it was never weighed
        if asked and self.shadow.unsettled(hold_id) is None:
            self.journal.doubt(hold_id, levels)
        self.must_be_local(levels)
        known = self.shadow.live(hold_id) is not None
        found: Grant | Refusal = getattr(self.shadow, way)(ask)
        if isinstance(found, Grant) and not found.spent and not known:
            self.journal.granted(hold_id, levels)
        return found

    def _dispatch(self, hold_id: str, lease: float) -> Generator[Step, Any, bool]:
        while True:
            epoch = yield ATTEND
            if epoch is None:
                with self.door:
                    if self.lost:
                        return self._dispatch_here(hold_id, lease)
                continue
            try:
                taken: bool = yield "dispatch", (self.journal.name(hold_id), lease)
            except Exception as error:
                if self.is_outage(error):
                    self.lose(error, epoch, self._root_of(hold_id))
                    continue
                self.explain(error)
                raise
            with self.door:
                if taken:
                    self.shadow.sent(hold_id, lease)
                else:
                    self.shadow.over(hold_id)
            return taken

    def _dispatch_here(self, hold_id: str, lease: float) -> bool:
        hold = self.shadow.live(hold_id)
        if hold is None:
            return False
        levels = cast("Levels", hold.accounts)
        if not all(map(self.is_local, levels)):
            self.release_here(hold_id)  # nothing is sent
            self.must_be_local(levels)
        taken = self.shadow.dispatch(hold_id, lease)
        if taken:
            self.journal.dispatched(hold_id, levels)
        return taken

    def _settle(self, hold_id: str, actual: Amounts) -> Generator[Step, Any, Settlement]:
        while True:
            epoch = yield ATTEND
            if epoch is None:
                with self.door:
                    if self.lost:
                        return self._settle_here(hold_id, actual)
                continue
            try:
                settlement: Settlement = yield "settle", (self.journal.name(hold_id), actual)
            except Exception as error:
                if self.is_outage(error):
                    self.lose(error, epoch, self._root_of(hold_id))
                    continue
                if not isinstance(error, AccountLost):
                    raise
                _log.warning("what the call %r used is not in the books of the store any more: %s", hold_id, error)
                return self.shadow.settle(hold_id, actual)
            return self._settled_there(hold_id, actual, settlement)

    def _settled_there(self, hold_id: str, actual: Amounts, settlement: Settlement) -> Settlement:
        self.journal.names.pop(hold_id, None)
        hold = self.shadow.unsettled(hold_id)
        if settlement.known or hold is None:  # of what has ended without the store it knows nothing
            here = self.shadow.settle(hold_id, actual)
            return settlement if settlement.known else here
        if self.journal.missing.pop(hold_id, 0):
            self._charge_missing(hold, actual)
            return self.shadow.settle(hold_id, actual)
        self.shadow.release(hold_id)  # somebody else has ended it
        return settlement

    def _charge_missing(self, hold: Hold, actual: Amounts) -> None:
        levels = tuple(level for level in cast("Levels", hold.accounts) if not level.closed)

        def there() -> None:
            self.inner.charge(tuple(map(self.theirs, levels)), actual, hold.hold_id)

        if levels:
            self.either(there, lambda: self.journal.charge(levels, actual, hold.hold_id), levels[0].root)

    def _settle_here(self, hold_id: str, actual: Amounts) -> Settlement:
        hold = self.shadow.unsettled(hold_id)
        if hold is not None:
            self.journal.settled(hold_id, cast("Levels", hold.accounts), hold.amounts, actual)
        elif hold_id not in self.shadow.holds:
            self.journal.ended_elsewhere(hold_id, actual)
        return self.shadow.settle(hold_id, actual)

    def release(self, hold_id: str) -> None:
        """See `Ledger.release`. Taken without the store, too."""

        def there() -> None:
            try:
                self.inner.release(self.journal.name(hold_id))
            except AccountLost as error:
                _log.warning("the hold %r is not in the books of the store any more: %s", hold_id, error)
            self.shadow.release(hold_id)
            self.journal.names.pop(hold_id, None)

        self.either(there, lambda: self.release_here(hold_id), self._root_of(hold_id))

    def release_here(self, hold_id: str) -> None:
        """Release without the store."""
        hold = self.shadow.unsettled(hold_id)
        if hold is not None:
            self.journal.released(hold_id, cast("Levels", hold.accounts))
        elif hold_id not in self.shadow.holds:
            self.journal.ended_elsewhere(hold_id, RELEASED)
        self.shadow.release(hold_id)

    def _root_of(self, hold_id: str) -> str:
        hold = self.shadow.unsettled(hold_id)
        return ours(hold.accounts[0]).root if hold is not None else ""
