"""Which hour, day, week or month an instant falls into, by the clock of a time zone.

Days, weeks and months go from one midnight of that clock to another, so the day on which clocks are set on or back has
23 or 25 hours. Where a midnight happens twice the first one counts, where it does not happen, the instant at which it
was skipped. An hour goes from one full hour to the next; the hour that happens twice is two hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

A_DAY = timedelta(days=1)
AN_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time.

    Attributes:
        start: When it begins, in seconds since the epoch.
        end: When the next one begins.
        name: What tells it from others of its length, in a form that sorts: `2026-07-01`, `2026-W27`, `2026-07`,
            `2026-07-01T14+0200`.
    """

    start: float
    end: float
    name: str

    def __contains__(self, at: float) -> bool:
        """True where the instant *at* falls into it."""
        return self.start <= at < self.end


def period(every: str, tz: str, at: float) -> Period:
    """The hour, day, week or month (*every*) that the instant *at* falls into.

    Args:
        every: `hour`, `day`, `week` or `month`. Weeks begin on Monday.
        tz: A name of the IANA time zone database.
        at: Seconds since the epoch.
    """
    zone = zone_of(tz)
    local = datetime.fromtimestamp(at, zone)
    if every == "hour":
        return _hour(zone, local, at)
    first = _first(every, local.date())
    # A minute or an hour that happens again at a midnight belongs to the day that has begun.
    if at >= _midnight(zone, _next(every, first)):
        first = _next(every, first)
    return Period(_midnight(zone, first), _midnight(zone, _next(every, first)), _name(every, first))


@lru_cache(maxsize=256)
def zone_of(tz: str) -> tzinfo:
    """The time zone named *tz*."""
    if tz == "UTC":
        return timezone.utc  # noqa: UP017  # needs no time zone database, which slim images lack
    from zoneinfo import ZoneInfo  # only where a window has a time zone of its own

    return ZoneInfo(tz)


def _midnight(zone: tzinfo, day: date) -> float:
    # The first of two midnights, and for one that is skipped, the instant at which that happens.
    return datetime(day.year, day.month, day.day, tzinfo=zone, fold=0).timestamp()


def _first(every: str, day: date) -> date:
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def _next(every: str, first: date) -> date:
    if every == "week":
        return first + 7 * A_DAY
    if every == "month":
        return (first.replace(day=28) + 4 * A_DAY).replace(day=1)
    return first + A_DAY


def _name(every: str, first: date) -> str:
    if every == "week":
        year, week, _ = first.isocalendar()
        return f"{year:04}-W{week:02}"
    return f"{first:%Y-%m}" if every == "month" else first.isoformat()


def _hour(zone: tzinfo, local: datetime, at: float) -> Period:
    since = local.minute * 60 + local.second + local.microsecond / 1_000_000
    start, end = at - since, at - since + AN_HOUR
    offset = local.utcoffset()
    # Where clocks are set within it, it begins or ends there.
    if _offset(zone, start) != offset:
        start = _turn(zone, start, at)
    if _offset(zone, end - 1) != offset:
        end = _turn(zone, at, end - 1)
    return Period(round(start), round(end), f"{local:%Y-%m-%dT%H%z}")


def _offset(zone: tzinfo, at: float) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()


def _turn(zone: tzinfo, low: float, high: float) -> float:
    """The first whole second after *low* with the offset of *high*."""
    first, last, after = int(low // 1), int(-(-high // 1)), _offset(zone, high)
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(zone, middle) == after:
            last = middle
        else:
            first = middle
    return last
