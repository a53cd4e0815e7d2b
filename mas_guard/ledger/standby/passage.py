"""How a call goes to the store, or does without it: what every call of the ledger has in common.

A call is a generator that yields what it asks of the store; one driver calls, the other awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

from mas_guard.errors import StoreUnavailable
from mas_guard.ledger.base import Account, AccountLost, Ask, Grant, Ledger, Refusal
from mas_guard.ledger.standby.outage import Outage, Tell
from mas_guard.ledger.standby.shadow import Levels, StandbyAccount, copied

T = TypeVar("T")
Step = tuple[str, tuple[Any, ...]]
ATTEND: Step = ("attend", ())


class Passage(Outage):
    """See the module."""

    def __init__(
        self,
        make: Callable[[], Ledger],
        place: str,
        closed: bool,
        tell: Tell,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(make, place, tell, now, jitter)
        self._closed = closed

    def either(self, there: Callable[[], T], here: Callable[[], T], root: str = "") -> T:
        """What *there* answers with the store; where it is lost, what *here* does under the lock."""
        while True:
            epoch = self.attend()
            if epoch is not None:
                try:
                    return there()
                except Exception as error:
                    if self.is_outage(error):
                        self.lose(error, epoch, root)
                        continue
                    self.explain(error)
                    raise
            with self.door:
                if self.lost:
                    return here()

    def drive(self, flow: Generator[Step, Any, T]) -> T:
        """Carry *flow* out, and return what it returns."""
        try:
            way, arguments = next(flow)
            while True:
                try:
                    answer = self.attend() if way == "attend" else getattr(self._inner, way)(*arguments)
                except Exception as error:
                    way, arguments = flow.throw(error)
                else:
                    way, arguments = flow.send(answer)
        except StopIteration as done:
            return cast("T", done.value)

    async def drive_async(self, flow: Generator[Step, Any, T]) -> T:
        """The same; awaits the store where its ledger can be awaited, and tries a lost one in a thread."""
        try:
            way, arguments = next(flow)
            while True:
                try:
                    if way != "attend":
                        twin = getattr(self._inner, f"{way}_async", None)
                        answer = await twin(*arguments) if twin is not None else getattr(self._inner, way)(*arguments)
                    elif self.is_due():
                        answer = await asyncio.to_thread(self.attend)
                    else:
                        answer = self.attend()
                except Exception as error:
                    way, arguments = flow.throw(error)
                else:
                    way, arguments = flow.send(answer)
        except StopIteration as done:
            return cast("T", done.value)

    def explain(self, error: Exception) -> None:
        """Raise what *error* means, where that is not what it says itself."""
        if isinstance(error, AccountLost):
            raise self.books_lost(error) from error

    def is_local(self, level: StandbyAccount) -> bool:
        """True where *level* goes on without the store."""
        return not (level.shared or self._closed)

    def must_be_local(self, levels: Levels) -> None:
        """Raise `StoreUnavailable` where one of *levels* needs the store."""
        for level in levels:
            if not self.is_local(level):
                raise self.unavailable(level.scope)

    def _why(self, scope: str) -> str:
        if self._closed:
            return f"With ON_STORE_ERROR=closed {scope!r} is refused meanwhile, as everything is"
        return f"{scope!r} is shared with other processes, or may be, so nothing is granted on it meanwhile"

    def theirs(self, level: StandbyAccount) -> Account:
        """The store's own handle of *level*."""
        if level.inner is None:
            raise StoreUnavailable(
                f"The store {self.place} did not take the account {level.scope!r}, which was opened without it. Start a "
                "new run.",
                store=self.place,
            )
        return level.inner

    def translated(self, ask: Ask) -> Ask:
        """*ask* as the store knows its accounts and holds. Raises `ValueError` on a closed account."""
        levels = cast("Levels", ask.accounts)
        for level in levels:
            if level.closed:
                raise ValueError(f"the account {level.scope!r} is closed; open it again to reserve on it")
        name = self.journal.name
        return Ask(
            name(ask.hold_id),
            tuple([level.inner or self.theirs(level) for level in levels]),
            ask.base,
            ask.per_output,
            ask.output,
            ask.least_output,
            ask.keep,
            ask.lease,
            frozenset(map(name, ask.inside)) if ask.inside and self.journal.names else ask.inside,
            ask.passes_halt,
        )

    def answer(self, ask: Ask, found: Grant | Refusal) -> Grant | Refusal:
        """What the store has answered to *ask*, with the caller's own account and id in it."""
        if isinstance(found, Refusal):
            for level in ask.accounts:
                if level.scope == found.account.scope:
                    found.account = level
        elif found.hold_id != ask.hold_id:
            return copied(found, ask.hold_id)
        return found
