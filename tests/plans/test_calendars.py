"""Office hours, freezes by the calendar and times of day, also across the nights when the clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from plans.calendars import Freeze, OfficeHours, after, frozen, next_time, next_weekly, open_at

BERLIN = ZoneInfo("Europe/Berlin")
HOURS = OfficeHours()


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def instant(at: datetime) -> str:
    return at.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("begin", "hours", "end"),
    [
        ("2026-11-23 10:00", 2, "2026-11-23 12:00"),  # a Monday
        ("2026-11-23 17:00", 2, "2026-11-24 09:00"),
        ("2026-11-23 17:00", 1, "2026-11-23 18:00"),
        ("2026-11-23 22:00", 2, "2026-11-24 10:00"),
        ("2026-11-23 03:00", 2, "2026-11-23 10:00"),
        ("2026-11-27 17:00", 2, "2026-11-30 09:00"),  # Friday to Monday
        ("2026-11-28 12:00", 2, "2026-11-30 10:00"),
        ("2026-11-23 08:00", 25, "2026-11-25 13:00"),
        ("2026-03-27 17:00", 2, "2026-03-30 09:00"),  # the clocks go forward in between
    ],
)
def test_time_goes_by_in_office_hours_alone(begin: str, hours: float, end: str) -> None:
    assert instant(after(local(begin), hours * 3600, HOURS, BERLIN)) == end


def test_without_office_hours_all_time_counts() -> None:
    assert instant(after(local("2026-11-28 23:00"), 7200, None, BERLIN)) == "2026-11-29 01:00"


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-11-23 10:00", "2026-11-23 10:00"),
        ("2026-11-23 18:00", "2026-11-24 08:00"),
        ("2026-11-28 10:00", "2026-11-30 08:00"),
    ],
)
def test_people_are_there_now_or_come_next(now: str, then: str) -> None:
    assert instant(open_at(local(now), HOURS, BERLIN)) == then


@pytest.mark.parametrize(
    ("days", "open_on"), [("mon-fri", "2026-11-30"), ("sat, sun", "2026-11-28"), ("fri-sun", "2026-11-28")]
)
def test_days_are_written_as_people_write_them(days: str, open_on: str) -> None:
    assert instant(open_at(local("2026-11-28 07:00"), OfficeHours(days=days), BERLIN)) == f"{open_on} 08:00"


WEEKEND = Freeze(reason="weekend", weekly="fri 16:00 - mon 06:00")
NIGHT = Freeze(reason="night", weekly="tue 22:00 - tue 23:00")
SUNDAY = Freeze(reason="sunday", weekly="sat 20:00 - sun 20:00")
SKIPPED = Freeze(reason="skipped", weekly="sun 01:00 - sun 02:30")
HOLIDAYS = Freeze(reason="holidays", from_="2026-12-20", until="2027-01-03")
SALE = Freeze(reason="sale", from_="2026-11-26 18:00", until="2026-11-30 12:00")


@pytest.mark.parametrize(
    ("freezes", "now", "reason", "until"),
    [
        ([WEEKEND], "2026-11-27 15:59", None, ""),
        ([WEEKEND], "2026-11-27 16:00", "weekend", "2026-11-30 06:00"),
        ([WEEKEND], "2026-11-30 05:59", "weekend", "2026-11-30 06:00"),
        ([WEEKEND], "2026-11-30 06:00", None, ""),
        ([SUNDAY], "2026-10-24 20:00", "sunday", "2026-10-25 20:00"),  # of 25 hours
        ([SUNDAY], "2026-10-25 19:59", "sunday", "2026-10-25 20:00"),
        ([SUNDAY], "2026-10-25 20:00", None, ""),
        ([SUNDAY], "2026-03-29 19:59", "sunday", "2026-03-29 20:00"),  # of 23 hours
        ([SUNDAY], "2026-03-29 20:00", None, ""),
        ([SKIPPED], "2026-03-29 03:15", "skipped", "2026-03-29 03:30"),  # 02:30 does not come: it holds no less long
        ([NIGHT], "2026-11-24 22:30", "night", "2026-11-24 23:00"),
        ([NIGHT], "2026-11-25 22:30", None, ""),
        ([HOLIDAYS], "2026-12-19 23:59", None, ""),
        ([HOLIDAYS], "2026-12-20 00:00", "holidays", "2027-01-04 00:00"),
        ([HOLIDAYS], "2027-01-03 23:59", "holidays", "2027-01-04 00:00"),
        ([WEEKEND, SALE], "2026-11-28 12:00", "sale", "2026-11-30 12:00"),
        ([WEEKEND, SALE], "2026-11-26 17:59", None, ""),
    ],
)
def test_the_calendar_freezes(freezes: list[Freeze], now: str, reason: str | None, until: str) -> None:
    found = frozen(freezes, local(now), BERLIN)
    assert (found[0].reason if found else None) == reason
    assert (instant(found[1]) if found else "") == until


def test_a_weekly_freeze_over_a_whole_week_never_ends_early() -> None:
    always = Freeze(reason="always", weekly="mon 06:00 - mon 06:00")
    assert frozen([always], local("2026-11-25 12:00"), BERLIN) == (always, local("2026-11-30 06:00"))


@pytest.mark.parametrize(
    ("clock", "now", "then"),
    [
        ("03:00", "2026-11-23 02:59", "2026-11-23 03:00"),
        ("03:00", "2026-11-23 03:00", "2026-11-24 03:00"),
        ("02:30", "2026-03-28 12:00", "2026-03-29 03:30"),  # the clocks skip 02:30
        ("02:30", "2026-10-24 12:00", "2026-10-25 02:30"),  # 02:30 comes twice: the first
    ],
)
def test_the_next_time_of_day(clock: str, now: str, then: str) -> None:
    assert instant(next_time(clock, local(now), BERLIN)) == then


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-11-23 08:59", "2026-11-23 09:00"),
        ("2026-11-23 09:00", "2026-11-30 09:00"),
        ("2026-11-25 12:00", "2026-11-30 09:00"),
        ("2026-11-29 23:59", "2026-11-30 09:00"),
    ],
)
def test_the_next_time_of_the_week(now: str, then: str) -> None:
    assert instant(next_weekly("mon 09:00", local(now), BERLIN)) == then


@pytest.mark.parametrize("text", ["", "09:00", "monday 09:00", "mon", "mon 9", "mon 25:00"])
def test_what_is_no_time_of_the_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time of"):
        next_weekly(text, local("2026-11-23 08:59"), BERLIN)


def test_a_time_that_comes_twice_is_taken_once() -> None:
    first = next_time("02:30", local("2026-10-24 12:00"), BERLIN)
    assert next_time("02:30", first, BERLIN).astimezone(UTC) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "data", "says"),
    [
        (OfficeHours, {"days": "monday"}, "are no days"),
        (OfficeHours, {"from": "18:00", "to": "08:00"}, "end after they begin"),
        (OfficeHours, {"from": "8"}, "no time of day"),
        (Freeze, {"reason": "r"}, "either weekly, or from and until"),
        (Freeze, {"reason": "r", "weekly": "fri 16:00"}, "no weekly freeze"),
        (Freeze, {"reason": "r", "weekly": "fri 16:00 - xyz 06:00"}, "no weekly freeze"),
        (Freeze, {"reason": "r", "from": "2026-12-24", "until": "Christmas"}, "no date"),
        (Freeze, {"reason": "r", "from": "2026-12-24", "until": "2026-02-30"}, "no date"),
        (Freeze, {"reason": "r", "from": "2026-12-24", "until": "2026-12-20"}, "ends after it begins"),
        (Freeze, {"reason": "r", "weekly": "fri 16:00 - mon 06:00", "until": "2026-12-20"}, "either weekly"),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: type, data: dict[str, str], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(data, kind)
