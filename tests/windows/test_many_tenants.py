"""Ten thousand tenants: each has its day, and what a day has opened goes once it is over."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import mas_guard
from mas_guard.config import WindowSettings, policy_of
from mas_guard.ledger import Ledger, MemoryLedger
from mas_guard.ledger.sqlite import SqliteLedger, transactions
from mas_guard.windows import period
from mas_guard.windows.opened import KEPT_OPEN, OpenWindows
from tests.clock import Clock
from tests.windows.booking import NOON, Desk, use_tool

TENANTS = 10_000
DAY = 86_400.0
SETTINGS = policy_of(windows={"day": {"per": "tenant", "every": "day", "tool_calls": 1}}).windows["day"]


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(transactions, "SYNCED", "OFF")
    monkeypatch.setattr(transactions, "UNSYNCED", "OFF")
    if request.param == "memory":
        yield MemoryLedger()
        return
    kept = SqliteLedger(tmp_path / "ledger.db")
    yield kept
    kept.disconnect()


def open_accounts(ledger: Ledger) -> int:
    if isinstance(ledger, SqliteLedger):
        return sum(1 for _ in ledger.balances("window:"))
    assert isinstance(ledger, MemoryLedger)
    return len(ledger._accounts)


def a_day_of(tenants: int, opened: OpenWindows, at: float, settings: WindowSettings = SETTINGS) -> int:
    """Every tenant's first run of the day; returns how many windows are open then."""
    for tenant in range(tenants):
        opened.get(settings, f"tenant-{tenant}", period("day", "UTC", at), at, "")
    return len(opened)


def test_what_a_day_has_opened_is_let_go_of_in_the_course_of_the_next(ledger: Ledger) -> None:
    clock = Clock()
    opened = OpenWindows(ledger, clock)
    assert a_day_of(TENANTS, opened, NOON) == TENANTS
    assert a_day_of(100, opened, NOON + DAY) == TENANTS + 100  # its holds may still be settled
    clock.advance(KEPT_OPEN)
    assert a_day_of(TENANTS, opened, NOON + DAY) == TENANTS
    assert open_accounts(ledger) == TENANTS


def test_days_on_end_leave_no_more_open_than_two_of_them(ledger: Ledger) -> None:
    clock = Clock()
    opened = OpenWindows(ledger, clock)
    most = 0
    for day in range(8):
        most = max(most, a_day_of(500, opened, NOON + day * DAY))
        clock.advance(DAY)
    assert most <= 1_000
    assert open_accounts(ledger) <= 1_000


def test_a_quiet_process_lets_go_as_well(ledger: Ledger) -> None:
    clock = Clock()
    opened = OpenWindows(ledger, clock)
    a_day_of(40, opened, NOON)
    for at in (NOON + DAY, NOON + DAY, NOON + DAY, NOON + DAY):
        opened.tidy(at)
        clock.advance(KEPT_OPEN)
    assert len(opened) == open_accounts(ledger) == 0


def test_ten_thousand_tenants_are_kept_apart_run_by_run() -> None:
    desk = Desk()
    windows = {"day": {"per": "tenant", "every": "day", "tool_calls": 1}}
    for _ in range(2):
        for number in range(TENANTS // 4):
            with mas_guard.tenant(f"tenant-{number}"), desk.run(windows=windows):
                assert use_tool()
        with pytest.raises(mas_guard.BudgetExceeded, match="of tenant 'tenant-7'"), mas_guard.tenant("tenant-7"):
            with desk.run(windows=windows):
                pytest.fail("it was begun")
        desk.pass_time(DAY)
    gc.collect()
    kept = [scope for scope in desk.ledger._accounts if scope.startswith("window:")]  # type: ignore[attr-defined]
    assert len(kept) <= TENANTS // 4 * 2
