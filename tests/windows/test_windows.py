"""Limits over a day, an hour or a month: whose they are, when they begin anew, and what is said of them."""

from __future__ import annotations

import pickle
import threading
from contextvars import copy_context
from typing import Any

import pytest

import mas_guard
from mas_guard._run import current_run
from tests.windows.booking import Desk, ask_model, use_tool

TENANT_DAY = {"tenant-day": {"per": "tenant", "every": "day", "tool_calls": 3}}
ALL_DAY = {"all-day": {"every": "day", "tool_calls": 3}}
BERLIN = "Europe/Berlin"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def tools_until_refused(desk: Desk, most: int = 20, **overrides: Any) -> int:
    """How many tool calls of one run are made."""
    made = 0
    try:
        with desk.run(**overrides):
            while made < most and use_tool():
                made += 1
    except mas_guard.BudgetExceeded:
        pass
    return made


# Whose they are


def test_two_tenants_have_a_day_each_and_their_runs_share_it(desk: Desk) -> None:
    made = []
    for tenant in ("acme", "bolt", "acme", "bolt"):
        with mas_guard.tenant(tenant):
            made.append(tools_until_refused(desk, most=2, windows=TENANT_DAY))
    assert made == [2, 2, 1, 1]
    assert desk.settled("window:tenant-day:acme:2026-07-01").tool_calls == 3
    assert desk.settled("window:tenant-day:bolt:2026-07-01").tool_calls == 3


def test_a_window_over_all_counts_every_tenants_runs(desk: Desk) -> None:
    made = []
    for tenant in ("acme", "bolt"):
        with mas_guard.tenant(tenant):
            made.append(tools_until_refused(desk, most=2, windows=ALL_DAY))
    assert made == [2, 1]


def test_the_innermost_block_stands_above_what_wrap_was_given_and_that_above_the_setting(desk: Desk) -> None:
    def booked_for(given: Any = None, **overrides: Any) -> str:
        policy = mas_guard.load_policy(overrides)
        return desk.guard.open_run(policy, tenant=given).tenant

    assert booked_for(tenant="setting") == "setting"
    assert booked_for(lambda: "wrap", tenant="setting") == "wrap"
    with mas_guard.tenant("outer"), mas_guard.tenant("block"):
        assert booked_for(lambda: "wrap", tenant="setting") == "block"
    with mas_guard.tenant(7):
        assert booked_for() == "7"
    assert booked_for(lambda: "") == booked_for(lambda: None) == ""


def test_a_run_within_another_is_booked_for_its_tenant(desk: Desk) -> None:
    outer = desk.guard.open_run(mas_guard.load_policy(), tenant="acme")
    assert desk.guard.open_run(mas_guard.load_policy({"tenant": "setting"}), within=outer).tenant == "acme"


def test_runs_without_a_tenant_share_one_window_and_the_outcome_says_so(desk: Desk) -> None:
    with desk.run(windows=TENANT_DAY) as run:
        assert use_tool() and use_tool()
    assert "no tenant is known, and the window 'tenant-day' is per tenant" in run.outcome.notes[0]
    assert tools_until_refused(desk, windows=TENANT_DAY) == 1
    with mas_guard.tenant("acme"), desk.run(windows=TENANT_DAY) as run:
        assert use_tool()
    assert run.outcome.notes == ()


def test_a_tenant_named_inside_of_a_run_changes_nothing_and_the_outcome_says_so(desk: Desk) -> None:
    with mas_guard.tenant("acme"), desk.run(windows=TENANT_DAY) as run:
        with mas_guard.tenant("bolt"):
            use_tool()
    assert run.outcome.notes == ("tenant('bolt') inside of this run changes nothing for it: it began for 'acme'",)
    assert desk.settled("window:tenant-day:acme:2026-07-01").tool_calls == 1


@pytest.mark.parametrize(
    "names", [("a:b", "a"), ("*", "acme"), ("all", "acme"), ("ä", "%C3%A4"), ("x" * 500, "x" * 501), ("\ud800", "?")]
)
def test_no_name_of_a_tenant_is_taken_for_another_ones(desk: Desk, names: tuple[str, str]) -> None:
    for name in names:
        with mas_guard.tenant(name):
            assert tools_until_refused(desk, windows=TENANT_DAY) == 3
    assert tools_until_refused(desk, windows={"tenant-day": {"every": "day", "tool_calls": 3}}) == 3


# When they begin anew


@pytest.mark.parametrize(
    ("date", "next_day", "hours"),
    [("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25)],
)
def test_a_day_in_berlin_ends_at_its_own_midnight_where_clocks_change(
    desk: Desk, date: str, next_day: str, hours: int
) -> None:
    windows = {"day": {"every": "day", "tool_calls": 3, "tz": BERLIN}}
    desk.set_wall(f"{date}T00:00", BERLIN)
    assert tools_until_refused(desk, windows=windows) == 3
    desk.pass_time(hours * 3_600 - 1)
    assert tools_until_refused(desk, windows=windows) == 0
    desk.pass_time(1)
    assert tools_until_refused(desk, windows=windows) == 3
    assert desk.settled(f"window:day:all:{next_day}").tool_calls == 3


def test_the_repeated_hour_is_a_window_of_its_own(desk: Desk) -> None:
    windows = {"hour": {"every": "hour", "tool_calls": 3, "tz": BERLIN}}
    desk.set_wall("2026-10-25T02:30", BERLIN)
    assert tools_until_refused(desk, windows=windows) == 3
    desk.pass_time(3_600)
    assert tools_until_refused(desk, windows=windows) == 3
    assert tools_until_refused(desk, windows=windows) == 0


def test_a_hold_across_midnight_counts_in_the_old_day_and_the_next_call_in_the_new_one(desk: Desk) -> None:
    windows = {"day": {"every": "day", "usd": 5}}
    desk.set_wall("2026-07-01T23:59:59")
    with desk.run(windows=windows):
        ask_model(10, during=lambda: desk.pass_time(2))
        assert desk.settled("window:day:all:2026-07-01").nano_usd == 100_000_000
        assert desk.settled("window:day:all:2026-07-02") is None
        ask_model(20)
    assert desk.settled("window:day:all:2026-07-01").nano_usd == 100_000_000
    assert desk.settled("window:day:all:2026-07-02").nano_usd == 200_000_000


def test_a_call_that_waits_for_a_window_gets_the_next_one_when_that_begins(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.set_wall("2026-07-01T23:59:59.999")
    wait = desk.ledger.wait

    def midnight_strikes(*arguments: Any) -> Any:
        ticket = wait(*arguments)
        desk.pass_time(1)
        return ticket

    monkeypatch.setattr(desk.ledger, "wait", midnight_strikes)
    with desk.run(windows={"day": {"every": "day", "tokens": 100}}) as run:
        within = copy_context()
        ask_model(90, during=lambda: in_a_thread(within.run, ask_model, 60))
    assert run.outcome.status == "completed"
    assert desk.settled("window:day:all:2026-07-01").tokens == 90
    assert desk.settled("window:day:all:2026-07-02").tokens == 60


def in_a_thread(work: Any, *arguments: Any) -> None:
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_a_clock_that_jumps_ahead_and_comes_back_grants_nothing_anew(desk: Desk) -> None:
    assert tools_until_refused(desk, windows=ALL_DAY) == 3
    desk.wall.advance(48 * 3_600)
    assert tools_until_refused(desk, windows=ALL_DAY) == 3
    desk.now.advance(600)
    desk.wall.advance(-48 * 3_600)
    for _ in range(4):
        assert tools_until_refused(desk, windows=ALL_DAY) == 0
        desk.now.advance(1_800)


def test_a_run_under_way_pays_into_the_day_that_its_clock_has_gone_back_to(desk: Desk) -> None:
    desk.set_wall("2026-07-02T00:30")
    with desk.run(windows=ALL_DAY):
        use_tool()
        desk.wall.advance(-3_600)
        use_tool()
        desk.wall.advance(3_600)
        use_tool()
    assert desk.settled("window:all-day:all:2026-07-01").tool_calls == 1
    assert desk.settled("window:all-day:all:2026-07-02").tool_calls == 2


# What is held, and what is said


def test_fifty_threads_at_a_window_of_eight_calls_make_exactly_eight(desk: Desk) -> None:
    windows = {"hour": {"every": "hour", "tool_calls": 8}}
    made, lock, ready = [], threading.Lock(), threading.Barrier(50)

    def work() -> None:
        ready.wait(timeout=30)
        try:
            with desk.run(windows=windows):
                if use_tool():
                    with lock:
                        made.append(1)
        except mas_guard.BudgetExceeded:
            pass

    threads = [threading.Thread(target=work) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(made) == 8
    assert desk.settled("window:hour:all:2026-07-01T12+0000").tool_calls == 8


def test_the_refusal_names_window_tenant_figures_when_it_begins_anew_and_what_raises_it(desk: Desk) -> None:
    windows = {"tenant-day": {"per": "tenant", "every": "day", "usd": 1, "tz": BERLIN}}
    with pytest.raises(mas_guard.BudgetExceeded) as caught, mas_guard.tenant("acme"), desk.run(windows=windows):
        ask_model(60)
        ask_model(60)
    said = str(caught.value)
    assert said.startswith(
        "Window 'tenant-day' of tenant 'acme' (2026-07-01): 0.600000 spent, 0.000000 held by calls under way, "
        "0.600000 asked for, limit 1.000000 USD."
    )
    assert "It begins anew at 2026-07-02 00:00 (Europe/Berlin); raise [windows.tenant-day] usd to go on sooner." in said
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.window, error.unit, error.rule) == ("tenant-day", "usd", "budget")
    assert error.begins_anew == desk.wall.seconds + 10 * 3_600
    assert error.outcome.status == "aborted"


def test_a_window_reached_latches_the_run(desk: Desk) -> None:
    with pytest.raises(mas_guard.BudgetExceeded), desk.run(windows=ALL_DAY):
        for _ in range(4):
            use_tool()
        desk.pass_time(24 * 3_600)
        assert not use_tool()


def test_a_run_is_refused_before_its_first_call_where_its_window_is_used_up(desk: Desk) -> None:
    tools_until_refused(desk, most=3, windows=ALL_DAY)
    with pytest.raises(mas_guard.BudgetExceeded, match="refused before its first call") as caught:
        with desk.run(windows=ALL_DAY):
            pytest.fail("it was begun")
    assert "Window 'all-day' (2026-07-01) has spent 3 of 3 tool calls" in str(caught.value)
    assert "It begins anew at 2026-07-02 00:00 (UTC); raise [windows.all-day] tool_calls" in str(caught.value)
    assert caught.value.outcome.spent == (0, 0, 0, 0)


def test_a_run_is_not_begun_where_less_is_left_than_it_takes_to_begin(desk: Desk) -> None:
    windows = {"day": {"every": "day", "usd": 1, "start_if_left": "0.5"}}
    with desk.run(windows=windows):
        ask_model(50)
    with desk.run(windows=windows):
        ask_model(1)
    with pytest.raises(mas_guard.BudgetExceeded, match="0.510000 of 1.000000 USD, and start_if_left asks for 0.500000"):
        with desk.run(windows=windows):
            pytest.fail("it was begun")
    desk.pass_time(24 * 3_600)
    with desk.run(windows=windows):
        ask_model(1)


def test_events_come_once_at_50_80_and_100_per_cent_of_each_period(desk: Desk) -> None:
    windows = {"hour": {"per": "tenant", "every": "hour", "tool_calls": 10}}
    for _ in range(2):
        with mas_guard.tenant("acme"):
            with desk.run(windows=windows):
                told = []
                for _ in range(10):
                    use_tool()
                    told.append([event["figures"]["percent"] for event in desk.events("window")])
            before = len(desk.events("window"))
        assert [len(percents) - len(told[0]) for percents in told] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
        assert told[-1][-3:] == [50, 80, 100]
        assert len(desk.events("window")) == before
        desk.pass_time(3_600)
    last = desk.events("window")[-1]
    assert (last["window"], last["tenant"], last["rule"]) == ("hour", "acme", "budget")
    figures = last["figures"]
    assert (figures["unit"], figures["spent"], figures["limit"]) == ("tool_calls", 10, 10)
    assert (figures["period"], figures["until"]) == ("2026-07-01T13+0000", desk.wall.seconds)


def test_a_call_that_does_not_fit_any_more_tells_that_the_window_is_reached(desk: Desk) -> None:
    windows = {"day": {"every": "day", "usd": 1}}
    with pytest.raises(mas_guard.BudgetExceeded), desk.run(windows=windows):
        ask_model(90)
        ask_model(60)
    assert [event["figures"]["percent"] for event in desk.events("window")] == [50, 80, 100]


def test_windows_keep_nothing_for_an_owner(desk: Desk) -> None:
    windows = {"day": {"every": "day", "tool_calls": 10}}
    with desk.run(windows=windows, owner="clerk", owner_reserve=0.5) as run, run.step("clerk"):
        assert all(use_tool() for _ in range(10))


def test_observing_takes_nothing_from_a_window(desk: Desk) -> None:
    assert tools_until_refused(desk, most=9, windows=ALL_DAY, mode="observe") == 9
    assert tools_until_refused(desk, most=9, windows=ALL_DAY, rules={"budget": {"mode": "observe"}}) == 9
    assert len(desk.windows) == 0


def test_every_window_and_the_runs_own_budget_hold_together(desk: Desk) -> None:
    windows = {
        "hour": {"every": "hour", "tool_calls": 5},
        "tenant-month": {"per": "tenant", "every": "month", "tool_calls": 7},
    }
    made = []
    for _ in range(4):
        with mas_guard.tenant("acme"):
            made.append(tools_until_refused(desk, windows=windows, budget={"tool_calls": 4}))
        desk.pass_time(1_800)
    assert made == [4, 1, 2, 0]


def test_two_policies_with_different_limits_for_one_window_meet_the_smaller_one(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    wide = {"all-day": {"every": "day", "tool_calls": 9}}
    assert tools_until_refused(desk, most=2, windows=wide) == 2
    assert tools_until_refused(desk, windows=ALL_DAY) == 1
    assert tools_until_refused(desk, windows=wide) == 0
    assert [record.getMessage()[:60] for record in caplog.records if "Two policies" in record.getMessage()] == [
        "Two policies of this process give the window 'all-day' differe"[:60]
    ]


def test_a_run_around_another_ones_windows_pay_for_it_too(desk: Desk) -> None:
    outer = desk.guard.open_run(mas_guard.load_policy({"windows": ALL_DAY}))
    inner = desk.guard.open_run(mas_guard.load_policy(), within=outer)
    token = current_run.set(inner)
    try:
        assert [use_tool() for _ in range(5)] == [True, True, True, False, False]
    finally:
        current_run.reset(token)
    assert "Window 'all-day'" in str(inner.stop and inner.stop.error)


def test_a_stop_by_a_window_does_not_outlive_it(desk: Desk) -> None:
    policy = mas_guard.load_policy({"windows": ALL_DAY})
    first = desk.guard.open_run(policy)
    token = current_run.set(first)
    try:
        assert [use_tool() for _ in range(4)] == [True, True, True, False]
    finally:
        current_run.reset(token)
    saved = first.snapshot()
    desk.pass_time(24 * 3_600)
    resumed = desk.guard.open_run(policy)
    resumed.adopt(saved, human_input=False)
    token = current_run.set(resumed)
    try:
        assert resumed.stop is None
        assert use_tool()
    finally:
        current_run.reset(token)
