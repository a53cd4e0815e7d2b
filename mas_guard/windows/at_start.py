"""Whether there is enough left in its windows for a run to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mas_guard.errors import BudgetExceeded
from mas_guard.types import UNITS, Unit
from mas_guard.windows.in_force import windows_in_force
from mas_guard.windows.opened import OpenWindow
from mas_guard.windows.wording import NAME, begins_anew, figure, level_of, setting_of

if TYPE_CHECKING:
    from mas_guard._run import Run


def refused_by_window(run: Run) -> BudgetExceeded | None:
    """The error for a run that has not begun, where one of its windows is used up, or holds less than `start_if_left`.

    A run that is resumed has begun before: only a window that is used up refuses it.

    Raises:
        StoreUnavailable: The store is lost, so nobody can say what is left.
    """
    if run.policy.rule_mode("budget") != "enforce":
        return None
    for window in windows_in_force(run):
        limits, settled = run.ledger.spent(window.account)
        for unit, limit, used in zip(UNITS, limits, settled, strict=True):
            if limit is None:
                continue
            least = _least_left(window, unit) if not run.resumed else 0
            if limit - used < max(least, 1):
                return _refusal(window, unit, limit, used, least)
    return None


def _least_left(window: OpenWindow, unit: Unit) -> int:
    least = window.settings.start_if_left
    return least[1] if least is not None and least[0] == unit else 0


def _refusal(window: OpenWindow, unit: Unit, limit: int, used: int, least: int) -> BudgetExceeded:
    more = f", and start_if_left asks for {figure(unit, least)}" if least and used < limit else ""
    return BudgetExceeded(
        f"{level_of(window)} has spent {figure(unit, used)} of {figure(unit, limit)} {NAME[unit]}{more}: this run was refused "
        f"before its first call. It begins anew at {begins_anew(window)}; raise {setting_of(window, unit)} to begin sooner.",
        unit="usd" if unit == "nano_usd" else unit,
        used=used,
        limit=limit,
        window=window.settings.name,
        begins_anew=window.period.end,
    )
