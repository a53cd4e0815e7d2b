"""The windows that this process pays into: opened when a run first needs one, let go of once they are over.

A store forgets an account that every process has closed, and would grant a window anew. So a window is closed only once
it has been over for a while: by then its holds have ended, and a clock that was wrong for less than that has come back.
"""

from __future__ import annotations

import heapq
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable

from mas_guard.config.windows import WindowSettings
from mas_guard.ledger import Account, Ledger
from mas_guard.types import UNITS, Amounts, Limits, Unit
from mas_guard.windows.periods import Period
from mas_guard.windows.scopes import window_scope

logger = logging.getLogger("mas_guard")

KEPT_OPEN = 3_600.0
"""Seconds that a window stays open here after it is over; the longest hold ends in less."""

CLOSED_AT_ONCE = 16
"""How many windows that are over one opening closes at most, so that no call pays for thousands."""

THRESHOLDS = (50, 80, 100)
"""Per cent of a limit at which an event tells of it."""


class OpenWindow:
    """One window in one period, for one tenant or for all.

    Attributes:
        settings: What the settings say of it.
        tenant: Whose it is; `None` for all runs together, empty for those without a tenant.
        period: When it began and when it begins anew.
        account: Its account in the ledger.
        limits: The most that may be spent.
        over_since: When it was first found over, on the monotonic clock; `None` while it is in force.
        asked: The limits that policies of this process give it.
    """

    __slots__ = ("_told", "account", "asked", "limits", "over_since", "period", "settings", "tenant")

    def __init__(self, settings: WindowSettings, tenant: str | None, period: Period, account: Account) -> None:
        self.settings = settings
        self.tenant = tenant
        self.period = period
        self.account = account
        self.limits = settings.budget.limits
        self.over_since: float | None = None
        self.asked = {self.limits}
        self._told = 0

    def passed(self, limits: Limits, settled: Amounts) -> list[tuple[int, Unit]]:
        """The thresholds that *settled* has reached and nobody was told of, each with the unit that is nearest its limit."""
        if self._told == len(THRESHOLDS):
            return []
        percent = THRESHOLDS[self._told]
        for limit, used in zip(limits, settled, strict=True):
            if limit is not None and 100 * used >= percent * limit:
                break
        else:  # the usual case: nothing new was reached
            return []
        shares = [
            (100 * used // limit if limit else 100, unit)
            for unit, limit, used in zip(UNITS, limits, settled, strict=True)
            if limit is not None
        ]
        percent, unit = max(shares, key=lambda share: share[0], default=(0, UNITS[0]))
        return [(threshold, unit) for threshold in self.take_thresholds(percent)]

    def take_thresholds(self, percent: int) -> list[int]:
        """The thresholds up to *percent* that nobody was told of; each is given once."""
        before = self._told
        reached = sum(percent >= threshold for threshold in THRESHOLDS)
        if reached <= before:
            return []
        self._told = reached  # of two threads at once both may tell; none is left out
        return list(THRESHOLDS[before:reached])


class OpenWindows:
    """The windows that one ledger has open in this process.

    Args:
        ledger: Where their accounts are.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], float]) -> None:
        self._ledger = weakref.ref(ledger)  # it is a key of the weak table that holds this
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[str, OpenWindow] = {}
        self._ends: list[tuple[float, str]] = []
        self._over: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, settings: WindowSettings, tenant: str | None, period: Period, at: float, root: str) -> OpenWindow:
        """The window *settings* of *tenant* in *period*, which the instant *at* falls into; opened where it is not.

        Where two policies of this process give one window different limits, the smaller ones hold for both.

        Raises:
            StoreUnavailable: The store is lost, so nobody can say what is left.
        """
        scope = window_scope(settings.name, tenant, period.name)
        limits = settings.budget.limits
        found = self._open.get(scope)
        if found is not None and found.over_since is None and limits in found.asked:
            return found
        ledger = self._ledger()
        assert ledger is not None  # the run that asks holds it
        with self._lock:
            found = self._open.get(scope)
            if found is None:
                account = ledger.open_shared(scope, limits, root=root)
                found = self._open[scope] = OpenWindow(settings, tenant, period, account)
                heapq.heappush(self._ends, (period.end, scope))
            elif found.over_since is not None:  # the clock has gone back
                found.over_since = None
                heapq.heappush(self._ends, (period.end, scope))
            if limits not in found.asked:
                _narrow(ledger, found, limits)
            self._close_those_over(ledger, at)
        return found

    def find(self, account: Account) -> OpenWindow | None:
        """The window whose account *account* is; `None` where it is another level's."""
        found = self._open.get(account.scope)
        return found if found is not None and found.account is account else None

    def tidy(self, at: float) -> None:
        """Let go of a few windows that have been over for long enough at the instant *at*."""
        if (self._ends and self._ends[0][0] <= at) or (self._over and self._is_due(self._over[0][0])):
            ledger = self._ledger()
            if ledger is not None:
                with self._lock:
                    self._close_those_over(ledger, at)

    def unlock(self) -> None:
        """In a child process: no thread of the parent lets go of the lock here."""
        self._lock = threading.Lock()

    def _is_due(self, over_since: float) -> bool:
        return self._now() - over_since >= KEPT_OPEN

    def _close_those_over(self, ledger: Ledger, at: float) -> None:
        while self._ends and self._ends[0][0] <= at:
            _, scope = heapq.heappop(self._ends)
            window = self._open.get(scope)
            if window is not None and window.over_since is None:
                window.over_since = self._now()
                self._over.append((window.over_since, scope))
        for _ in range(CLOSED_AT_ONCE):
            if not self._over or not self._is_due(self._over[0][0]):
                break
            since, scope = self._over.popleft()
            window = self._open.get(scope)
            if window is not None and window.over_since == since:  # else the clock has gone back since
                del self._open[scope]
                ledger.close(window.account)


def _narrow(ledger: Ledger, found: OpenWindow, wanted: Limits) -> None:
    """Another policy of this process has other limits for the window *found*."""
    found.asked.add(wanted)
    pairs = zip(found.limits, wanted, strict=True)
    limits = Limits(
        *(mine if theirs is None else theirs if mine is None else min(mine, theirs) for mine, theirs in pairs)
    )
    logger.warning(
        "Two policies of this process give the window %r different limits: %s and %s (tokens, model calls, tool calls, "
        "nano-USD). Until it begins anew the smaller of each holds for both: give them the same limits, or another name.",
        found.settings.name,
        tuple(found.limits),
        tuple(wanted),
    )
    if limits != found.limits:
        ledger.set_limits(found.account, limits)
        found.limits = limits


_opened: weakref.WeakKeyDictionary[Ledger, OpenWindows] = weakref.WeakKeyDictionary()
_opened_lock = threading.Lock()


def open_windows(ledger: Ledger, now: Callable[[], float]) -> OpenWindows:
    """The windows that *ledger* has open in this process."""
    found = _opened.get(ledger)
    if found is None:
        with _opened_lock:
            found = _opened.get(ledger)
            if found is None:
                found = _opened[ledger] = OpenWindows(ledger, now)
    return found


def _after_fork() -> None:
    global _opened_lock
    _opened_lock = threading.Lock()  # another thread of the parent may have held it
    for found in list(_opened.values()):
        found.unlock()


os.register_at_fork(after_in_child=_after_fork)
