"""The windows that a run pays into now: another period may have begun since its last call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mas_guard.errors import StoreUnavailable
from mas_guard.ledger import Account, Refusal
from mas_guard.types import Amounts, Limits, Unit
from mas_guard.windows.opened import OpenWindow, open_windows
from mas_guard.windows.periods import period
from mas_guard.windows.scopes import root_of_run

if TYPE_CHECKING:
    from mas_guard._run import Run


class _InForce(NamedTuple):
    since: float
    until: float
    windows: tuple[OpenWindow, ...]


NOT_YET = _InForce(math.inf, -math.inf, ())
A_MOMENT = 0.01  # seconds; who wakes just before a window is over would be refused by it


class WindowAccounts:
    """The windows of one run, by its policy and its tenant."""

    __slots__ = ("_in_force", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._in_force = NOT_YET

    def current(self) -> tuple[OpenWindow, ...]:
        """The windows in force at this instant, opened where they are not.

        Raises:
            StoreUnavailable: The store is lost, so nobody can say what is left.
        """
        at = self._run.engine.wall()
        found = self._in_force
        if not found.since <= at < found.until:
            found = self._in_force = self._at(at)
        return found.windows

    def last(self) -> tuple[OpenWindow, ...]:
        """The windows that the latest call was paid from; empty before the first."""
        return self._in_force.windows

    def _at(self, at: float) -> _InForce:
        run = self._run
        opened = open_windows(run.ledger, run.engine.now)
        root = root_of_run(run.policy, run.tenant, run.groups)
        windows = []
        for settings in run.policy.windows.values():
            tenant = run.tenant if settings.per == "tenant" else None
            if tenant == "":
                run.note(
                    f"no tenant is known, and the window {settings.name!r} is per tenant: this run was counted together with "
                    "all others that have none. Name it with mas_guard.tenant(…), wrap(…, tenant=…) or MAS_GUARD_TENANT"
                )
            windows.append(opened.get(settings, tenant, period(settings.every, settings.tz, at), at, root))
        opened.tidy(at)
        return _InForce(
            max(window.period.start for window in windows), min(window.period.end for window in windows), tuple(windows)
        )

    def look(self) -> None:
        """Tell of the thresholds that the windows of the latest call have reached, by figures that are there anyway."""
        for window in self.last():
            try:
                limits, settled = self._run.ledger.spent(window.account)
            except (StoreUnavailable, ValueError):  # the store is lost, or the window was over long ago
                continue
            for threshold, unit in window.passed(limits, settled):
                _tell(self._run, window, threshold, unit, limits, settled)


def windows_of(run: Run) -> WindowAccounts | None:
    """The windows that *run* pays into; `None` where its policy has none, or only observes."""
    return WindowAccounts(run) if run.policy.windows and run.policy.mode == "enforce" else None


def windows_in_force(run: Run) -> tuple[OpenWindow, ...]:
    """The windows that *run* pays into now, those of the run around it included.

    Raises:
        StoreUnavailable: The store is lost, so nobody can say what is left.
    """
    found = run.windows.current() if run.windows is not None else ()
    outer = run.outer
    if outer is not None and outer.windows is not None:
        accounts = {window.account.scope for window in found}
        found += tuple(window for window in outer.windows.current() if window.account.scope not in accounts)
    return found


def accounts_of(run: Run) -> tuple[Account, ...]:
    """The accounts of the windows that *run* pays into now."""
    if run.windows is None and run.outer is None:
        return ()
    return tuple(window.account for window in windows_in_force(run))


def refusing_window(run: Run, refusal: Refusal) -> OpenWindow | None:
    """The window that has refused; `None` where another level did."""
    if run.windows is None and run.outer is None:
        return None
    return open_windows(run.ledger, run.engine.now).find(refusal.account)


def is_over(run: Run, refusal: Refusal) -> bool:
    """True where what has refused is a window that has begun anew since: what it refused is asked for again."""
    window = refusing_window(run, refusal)
    return window is not None and run.engine.wall() not in window.period


def seconds_until_over(run: Run, refusal: Refusal) -> float | None:
    """Seconds until the window that has refused begins anew; `None` where another level did."""
    window = refusing_window(run, refusal)
    return None if window is None else max(0.0, window.period.end - run.engine.wall()) + A_MOMENT


def look_at_windows(run: Run) -> None:
    """Tell of the thresholds that the windows of *run*'s latest call have reached."""
    if run.windows is not None:
        run.windows.look()
    if run.outer is not None and run.outer.windows is not None:
        run.outer.windows.look()


def tell_of_refusal(run: Run, refusal: Refusal) -> None:
    """Tell that a call was refused by a window, if one did: what is left is not enough, so all thresholds are reached."""
    window = refusing_window(run, refusal)
    if window is None or refusal.asked < 0:
        return
    try:
        limits, settled = run.ledger.spent(window.account)
    except (StoreUnavailable, ValueError):
        return
    for threshold in window.take_thresholds(100):
        _tell(run, window, threshold, refusal.unit, limits, settled)


def _tell(run: Run, window: OpenWindow, threshold: int, unit: Unit, limits: Limits, settled: Amounts) -> None:
    run.engine.event(
        run,
        "window",
        window=window.settings.name,
        rule="budget",
        figures={
            "percent": threshold,
            "unit": unit,
            "spent": getattr(settled, unit),
            "limit": getattr(limits, unit),
            "period": window.period.name,
            "until": window.period.end,
        },
    )
