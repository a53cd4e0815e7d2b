"""Which hour, day, week or month an instant falls into, also where clocks are set on and back."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mas_guard.windows import Period, period

HOUR = 3_600.0
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",  # half an hour off
    "Australia/Lord_Howe",  # clocks are set by half an hour
    "Africa/Cairo",  # its midnight is skipped
    "America/Havana",  # its midnight happens twice
    "America/St_Johns",  # once set its clocks back a minute after midnight
    "Pacific/Apia",  # once skipped a whole day
]


def instant(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("every", "at", "start", "end", "name"),
    [
        ("hour", "2026-07-01T14:59:59", "2026-07-01T14:00", "2026-07-01T15:00", "2026-07-01T14+0000"),
        ("day", "2026-07-01T00:00", "2026-07-01T00:00", "2026-07-02T00:00", "2026-07-01"),
        ("day", "2028-02-29T23:59", "2028-02-29T00:00", "2028-03-01T00:00", "2028-02-29"),
        ("week", "2026-07-05T23:59", "2026-06-29T00:00", "2026-07-06T00:00", "2026-W27"),
        ("week", "2026-07-06T00:00", "2026-07-06T00:00", "2026-07-13T00:00", "2026-W28"),
        ("week", "2027-01-01T12:00", "2026-12-28T00:00", "2027-01-04T00:00", "2026-W53"),
        ("month", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00", "2026-12"),
        ("month", "2026-02-28T23:59", "2026-02-01T00:00", "2026-03-01T00:00", "2026-02"),
    ],
)
def test_a_period_goes_from_its_first_instant_to_the_next_ones(
    every: str, at: str, start: str, end: str, name: str
) -> None:
    assert period(every, "UTC", instant(at)) == Period(instant(start), instant(end), name)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]
)
def test_a_day_in_berlin_has_23_or_25_hours_where_clocks_change(day: str, hours: int) -> None:
    found = period("day", "Europe/Berlin", instant(f"{day}T12:00", "Europe/Berlin"))
    assert found.name == day
    assert found.start == instant(f"{day}T00:00", "Europe/Berlin")
    assert found.end - found.start == hours * HOUR


def test_a_day_ends_at_the_midnight_of_its_zone_and_not_at_that_of_utc() -> None:
    just_before = instant("2026-06-30T21:59:59")
    assert period("day", "Europe/Berlin", just_before).name == "2026-06-30"
    assert period("day", "Europe/Berlin", just_before + 1).name == "2026-07-01"
    assert period("month", "Europe/Berlin", just_before + 1).name == "2026-07"


def test_the_hour_that_happens_twice_is_two_hours() -> None:
    first = period("hour", "Europe/Berlin", instant("2026-10-25T02:30", "Europe/Berlin", fold=0))
    again = period("hour", "Europe/Berlin", instant("2026-10-25T02:30", "Europe/Berlin", fold=1))
    assert (first.name, again.name) == ("2026-10-25T02+0200", "2026-10-25T02+0100")
    assert first.end == again.start == first.start + HOUR == again.end - HOUR


def test_where_clocks_are_set_within_an_hour_it_begins_or_ends_there() -> None:
    turned = instant("2026-04-04T15:00")  # at two in the morning half an hour back
    before, after = (period("hour", "Australia/Lord_Howe", turned + seconds) for seconds in (-1, 0))
    assert (before.start, before.end, before.name) == (turned - HOUR, turned, "2026-04-05T01+1100")
    assert (after.start, after.end, after.name) == (turned, turned + HOUR / 2, "2026-04-05T01+1030")


def test_a_midnight_that_is_skipped_begins_the_day_where_it_is_skipped() -> None:
    found = period("day", "Africa/Cairo", instant("2026-04-24T12:00", "Africa/Cairo"))
    assert found.end - found.start == 23 * HOUR
    assert period("day", "Africa/Cairo", found.start - 1).name == "2026-04-23"


def test_of_two_midnights_the_first_begins_the_day() -> None:
    found = period("day", "America/Havana", instant("2026-11-01T12:00", "America/Havana"))
    assert found.end - found.start == 25 * HOUR
    assert found.start == instant("2026-11-01T00:00", "America/Havana", fold=0)


@given(
    every=st.sampled_from(["hour", "day", "week", "month"]),
    zone=st.sampled_from(ZONES),
    at=st.floats(min_value=0, max_value=4e9, allow_nan=False),
)
def test_every_instant_is_in_one_period_and_the_next_one_begins_where_it_ends(every: str, zone: str, at: float) -> None:
    found = period(every, zone, at)
    assert at in found
    assert period(every, zone, found.start) == found
    following = period(every, zone, found.end)
    assert (following.start, following.name != found.name) == (found.end, True)
    assert period(every, zone, max(found.start, found.end - 0.001)) == found


@given(zone=st.sampled_from(ZONES), hours=st.integers(min_value=0, max_value=1_000_000))
def test_names_of_days_sort_as_the_days_do(zone: str, hours: int) -> None:
    one = period("day", zone, hours * HOUR)
    assert one.name < period("day", zone, one.end).name
