"""A ledger over a store that may be lost: what lives in this process alone goes on without it.

While the store answers, it decides, and what it has acknowledged is noted in a shadow (`shadow.py`). Once it does not
answer, what is shared with other processes is refused with `StoreUnavailable`, and nothing is latched. The accounts of
this process alone go on from the shadow, with what they have left: never more than their limit over both. What the store
missed is noted (`journal.py`) and told to it when it is back (`telling.py`), before it decides again. When it is tried
stands in `outage.py`. What is spent already is never refused: settles, releases and charges are always taken.

Here are the accounts; holds stand in `holds.py`, those who wait in `queue.py`.
"""

from __future__ import annotations

import logging
import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn, cast

from mas_guard.errors import StoreUnavailable
from mas_guard.ledger.base import Account, AccountLost, Balance, CrashedHold, Ledger
from mas_guard.ledger.standby.holds import Holds
from mas_guard.ledger.standby.outage import Tell
from mas_guard.ledger.standby.shadow import Levels, StandbyAccount, ours
from mas_guard.types import Amounts, Limits

_log = logging.getLogger("mas_guard.ledger")
_ledgers: weakref.WeakSet[StandbyLedger] = weakref.WeakSet()


class StandbyLedger(Holds, Ledger):
    """See the module, and `Ledger`.

    An account is this process's own until it is said to be shared, or is found to be: opened with an origin or to keep
    its limits, spent on by others, or inherited over a fork.

    Args:
        make: Opens the store's ledger; called with the first call, and again while that fails.
        place: Where the store is, for people, without a password.
        on_error: `local` lets the accounts of this process alone go on without the store, `closed` refuses everything.
        tell: Hears of `store_lost`, `store_back` and `reconciled`, with figures.
        now: Seconds, for leases and the back-off.
        jitter: At random from 0 up to 1, for the back-off.
    """

    driver_errors: tuple[type[Exception], ...] = (StoreUnavailable,)

    def __init__(
        self,
        make: Callable[[], Ledger],
        *,
        place: str,
        on_error: Literal["local", "closed"] | str = "local",
        tell: Tell = lambda event, fields: None,
        now: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(make, place, on_error == "closed", tell, now, jitter)
        _ledgers.add(self)

    # -- accounts -------------------------------------------------------------------------------------

    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        """See `Ledger.open`. While the store is lost it may be opened all the same, unless others have opened it first."""
        return self._open(scope, limits, keep_limits, root, origin, shared=keep_limits or bool(origin))

    def open_shared(self, scope: str, limits: Limits, *, root: str = "") -> Account:
        """See `Ledger.open_shared`. Raises `StoreUnavailable` while the store is lost."""
        return self._open(scope, limits, False, root, "", shared=True)

    def _open(
        self, scope: str, limits: Limits, keep_limits: bool, root: str, origin: str, *, shared: bool
    ) -> StandbyAccount:
        def there() -> StandbyAccount:
            theirs = self.inner.open(scope, limits, keep_limits=keep_limits, root=root, origin=origin)
            in_force, settled = self.inner.spent(theirs)
            with self.door:
                account = self.shadow.account(scope)
                if account is None or (account.inner is not None and account.inner is not theirs):
                    account = self.shadow.enter(scope, in_force, root)
                    account.shared = any(settled)
                account.inner = theirs
                self.journal.reached(account)
                account.shared = account.shared or shared or _by_others(account, settled)
                self.shadow.set_limits(account, in_force)
                return account

        def here() -> StandbyAccount:
            account = self.shadow.account(scope)
            if shared:
                raise self.unavailable(scope)
            if account is None:
                account = self.shadow.enter(scope, limits, root)
                self.journal.opened(account)
            elif not keep_limits:
                self._limit_here(account, limits)
            return account

        return self.either(there, here, root)

    def share(self, account: Account) -> None:
        """See `Ledger.share`. Raises `StoreUnavailable` while the store is lost: others would not see what was spent."""
        level = ours(account)

        def there() -> None:
            with self.door:
                level.shared = level.shared or not self.lost

        def here() -> NoReturn:
            level.wanted = True
            raise self.unavailable(level.scope, f"{level.scope!r} cannot be shared meanwhile")

        while not level.shared:
            self.either(there, here)

    def origin(self, account: Account) -> str:
        """See `Ledger.origin`."""
        level = ours(account)
        if level.inner is None:
            self.attend()
        if level.inner is None:
            raise self.unavailable(level.scope, f"{level.scope!r} is not in it yet")
        return self.inner.origin(level.inner)

    def set_limits(self, account: Account, limits: Limits) -> None:
        """See `Ledger.set_limits`."""
        level = _open_account(account)

        def there() -> None:
            self.inner.set_limits(self.theirs(level), limits)
            with self.door:
                self.shadow.set_limits(level, limits)
                level.limits_due = False

        def here() -> None:
            self.must_be_local((level,))
            self._limit_here(level, limits)

        self.either(there, here, level.root)

    def halt(self, account: Account, halted: bool = True) -> None:
        """See `Ledger.halt`. Other processes hear of it once the store is back."""
        level = _open_account(account)

        def there() -> None:
            self.inner.halt(self.theirs(level), halted)
            with self.door:
                self.shadow.halt(level, halted)
                level.halt_due = False

        def here() -> None:
            if halted or self.is_local(level):
                self.shadow.halt(level, halted)
                level.halt_due = True
                self.journal.changed(level)
            self.must_be_local((level,))

        self.either(there, here, level.root)

    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        """See `Ledger.charge`. Taken without the store, too: it is spent already."""
        levels = tuple(level for level in cast("Levels", accounts) if not level.closed)
        if not levels:
            return
        asked = False

        def there() -> None:
            nonlocal asked
            asked = True
            try:
                self.inner.charge(tuple(map(self.theirs, levels)), amounts, charge_id)
            except AccountLost as error:
                _log.warning("%s units are not in the books of the store any more: %s", tuple(amounts), error)
            self.shadow.charge(levels, amounts, charge_id)

        def here() -> None:
            if charge_id in levels[0].charges:
                return
            if len(levels) == 1 and levels[0].inner is None and levels[0].untouched:
                levels[0].brought = levels[0].brought.plus(amounts)
            self.shadow.charge(levels, amounts, charge_id)
            if asked:
                self.journal.charge(levels, amounts, charge_id)
            else:
                self.journal.spend(levels, amounts)

        self.either(there, here, levels[0].root)

    def read(self, account: Account) -> Balance:
        """See `Ledger.read`. While the store is lost, from what this process knows."""
        level = _open_account(account)

        def there() -> Balance:
            balance = self.inner.read(self.theirs(level))
            if not level.shared and _by_others(level, balance.settled):
                level.shared = True
            return balance

        def here() -> Balance:
            self.must_be_local((level,))
            return self.shadow.read(level)

        return self.either(there, here, level.root)

    def spent(self, account: Account) -> tuple[Limits, Amounts]:
        """See `Ledger.spent`. While the store is lost, from what this process knows."""
        level = _open_account(account)

        def here() -> tuple[Limits, Amounts]:
            self.must_be_local((level,))
            return self.shadow.spent(level)

        return self.either(lambda: self.inner.spent(self.theirs(level)), here, level.root)

    def close(self, account: Account) -> None:
        """See `Ledger.close`. What was done on it without the store is told all the same."""
        level = ours(account)
        if level.closed:
            return

        def there() -> None:
            if level.inner is not None:
                try:
                    self.inner.close(level.inner)
                except AccountLost:
                    pass
            self.shadow.close(level)

        def here() -> None:
            self.shadow.close(level)
            self.journal.closed(level)

        self.either(there, here, level.root)

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        """See `Ledger.balances`. Raises `StoreUnavailable` while the store is lost."""
        return self.either(lambda: self.inner.balances(prefix), self._looking_on)

    def crashed_holds(self) -> list[CrashedHold]:
        """See `Ledger.crashed_holds`. Raises `StoreUnavailable` while the store is lost."""
        return self.either(lambda: self.inner.crashed_holds(), self._looking_on)

    def _looking_on(self) -> NoReturn:
        raise self.unavailable("", "What other processes have spent is not known here")

    def _limit_here(self, level: StandbyAccount, limits: Limits) -> None:
        self.shadow.set_limits(level, limits)
        level.limits_due = True
        if level.inner is not None:
            self.journal.changed(level)


def _by_others(account: StandbyAccount, settled: Amounts) -> bool:
    """True where more is spent than this process has held or spent: then others pay from *account* as well."""
    return any(theirs > ours for theirs, ours in zip(settled, account.used(), strict=True))


def _open_account(account: Account) -> StandbyAccount:
    level = cast("StandbyAccount", account)
    if level.closed:
        raise ValueError(f"the account {level.scope!r} is closed; open it again to use it")
    return level


def _before_fork() -> None:
    for ledger in _ledgers:
        ledger.shadow.lock.acquire(timeout=3.0)  # so that what the child inherits is whole


def _after_fork_in_parent() -> None:
    for ledger in _ledgers:
        for account in ledger.shadow.accounts():
            account.shared = account.shared or account.wanted
        try:
            ledger.shadow.lock.release()
        except RuntimeError:
            pass  # it was not to be had in time


def _after_fork_in_child() -> None:
    for ledger in _ledgers:
        ledger.become_another_process()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
