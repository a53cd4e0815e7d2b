"""Whether a run may begin: what it would be paid from must not be used up before its first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mas_guard.errors import BudgetExceeded, StoreUnavailable
from mas_guard.windows import refused_by_window

if TYPE_CHECKING:
    from mas_guard._run import Run


def refused_at_start(run: Run) -> BudgetExceeded | None:
    """The error for a run whose group or window is used up; `None` where it may begin.

    Raises:
        StoreUnavailable: The store is lost, so nobody can say what is left. Nothing is latched then.
    """
    if run.policy.mode != "enforce":
        return None
    try:
        for group in run.groups:
            refused = group.exhausted()
            if refused is not None:
                return refused
        return refused_by_window(run)
    except StoreUnavailable as lost:
        raise run.raised(lost) from lost.__cause__
