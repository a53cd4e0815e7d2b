"""A window in a store is one window, whichever process pays into it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mas_guard
from mas_guard.config import policy_of
from mas_guard.errors import StoreUnavailable
from mas_guard.ledger import Account, Ledger, MemoryLedger
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.types import Amounts, Limits
from mas_guard.windows import root_of_run, window_scope
from mas_guard.windows.opened import KEPT_OPEN
from tests.ledger.redis_server import RedisServer
from tests.windows.booking import Desk, use_tool

WINDOWS = {"day": {"per": "tenant", "every": "day", "tool_calls": 8}}
DAY = 86_400


@pytest.fixture(params=["sqlite", "redis"])
def new_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Makes a ledger on one and the same store, as each process has its own."""
    if request.param == "sqlite":
        yield lambda: SqliteLedger(tmp_path / "ledger.db")
        return
    with RedisServer() as server:
        from mas_guard.ledger.redis import RedisLedger

        yield lambda: RedisLedger(server.url)


def calls_of(desk: Desk, tenant: str = "acme", most: int = 20) -> int:
    made = 0
    try:
        with mas_guard.tenant(tenant), desk.run(windows=WINDOWS):
            while made < most and use_tool():
                made += 1
    except mas_guard.BudgetExceeded:
        pass
    return made


def test_what_one_process_has_spent_another_cannot_spend_again(new_ledger: Callable[[], Ledger]) -> None:
    one, other = Desk(new_ledger()), Desk(new_ledger())
    assert [calls_of(one, most=3), calls_of(other, most=3), calls_of(one), calls_of(other)] == [3, 3, 2, 0]
    assert calls_of(other, "bolt") == 8


def test_a_window_survives_the_processes_that_paid_into_it(new_ledger: Callable[[], Ledger]) -> None:
    assert calls_of(Desk(new_ledger()), most=7) == 7
    assert calls_of(Desk(new_ledger())) == 1


def test_a_process_whose_day_is_over_takes_nothing_from_one_whose_day_goes_on(new_ledger: Callable[[], Ledger]) -> None:
    ahead, behind = Desk(new_ledger()), Desk(new_ledger())
    assert [calls_of(ahead, most=3), calls_of(behind, most=3)] == [3, 3]
    for _ in range(3):
        ahead.pass_time(DAY)
        calls_of(ahead, most=1)
    ahead.now.advance(KEPT_OPEN)
    assert calls_of(behind) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_forked_child_opens_windows_though_another_thread_was_opening_one(
    new_ledger: Callable[[], Ledger],
) -> None:
    desk = Desk(new_ledger())
    assert calls_of(desk, most=3) == 3
    with desk.windows._lock:  # as that thread has it
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            os._exit(calls_of(desk) * 10 + calls_of(desk, "bolt"))
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 5 * 10 + 8
    assert calls_of(desk) == 0


class LostLedger(MemoryLedger):
    """Its store does not answer for what is shared."""

    def open_shared(self, scope: str, limits: Limits, *, root: str = "") -> Account:
        raise StoreUnavailable("the store does not answer", store="redis://host")


def test_without_the_store_nobody_says_that_a_window_has_room_and_nothing_is_latched() -> None:
    desk = Desk(LostLedger())
    with pytest.raises(StoreUnavailable) as caught, desk.run(windows=WINDOWS) as run:
        pytest.fail("it was begun")
    assert caught.value.run.stop is None
    with desk.run() as run:
        assert use_tool()
    assert run.spent == Amounts(tool_calls=1)


def test_an_account_is_named_by_window_tenant_and_period() -> None:
    assert window_scope("tenant-day", "acme", "2026-07-01") == "window:tenant-day:acme:2026-07-01"
    assert window_scope("day", None, "2026-07-01") == "window:day:all:2026-07-01"
    assert window_scope("day", "", "2026-07-01") == "window:day::2026-07-01"
    assert window_scope("day", "a:b*[c]{d}", "2026-07-01") == "window:day:a%3Ab%2A%5Bc%5D%7Bd%7D:2026-07-01"
    assert len(window_scope("day", "ä" * 1_000, "2026-07-01")) < 200


def test_in_a_cluster_all_that_pays_for_a_run_has_one_root() -> None:
    per_tenant = {"day": {"per": "tenant", "every": "day", "usd": 1}}
    for_all = {"all": {"every": "month", "usd": 9}}
    nothing = policy_of()
    assert root_of_run(nothing, "acme") == ""
    assert root_of_run(policy_of(windows=per_tenant), "acme") == "tenant:acme"
    assert root_of_run(policy_of(windows=per_tenant), "a:b") == "tenant:a%3Ab"
    assert root_of_run(policy_of(windows={**per_tenant, **for_all}), "acme") == "windows"
