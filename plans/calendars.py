"""Decides what time it is for people: office hours, freezes by the calendar, and the next time of day."""

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK = timedelta(days=7)


class OfficeHours(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """When people are there: `days` as mon-fri or a list; `from` and `to` as HH:MM in the configuration's timezone."""

    days: str = "mon-fri"
    from_: str = "08:00"
    to: str = "18:00"

    def __post_init__(self) -> None:
        _days(self.days)
        if time_of_day(self.from_) >= time_of_day(self.to):
            raise ValueError(f"office hours end after they begin: from {self.from_} to {self.to}")

    def spans(self, first: date, timezone: ZoneInfo) -> Iterable[tuple[datetime, datetime]]:
        """Each day's beginning and end from `first` on, without an end."""
        wanted, day = _days(self.days), first
        while True:
            if day.weekday() in wanted:
                yield _at(day, time_of_day(self.from_), timezone), _at(day, time_of_day(self.to), timezone)
            day += timedelta(days=1)


class Freeze(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """A freeze by the calendar: `from` and `until` (dates, or dates with a time), or `weekly` as fri 16:00 - mon 06:00.

    A date as `until` is included. Times are in the configuration's timezone.
    """

    reason: str
    from_: str = ""
    until: str = ""
    weekly: str = ""

    def __post_init__(self) -> None:
        if bool(self.weekly) == bool(self.from_ or self.until):
            raise ValueError("a freeze needs either weekly, or from and until")
        if self.weekly:
            _weekly(self.weekly)
        elif _moment(self.from_, end=False) >= _moment(self.until, end=True):
            raise ValueError(f"a freeze ends after it begins: from {self.from_} until {self.until}")

    def holds_until(self, now: datetime, timezone: ZoneInfo) -> datetime | None:
        """When the freeze that holds `now` ends; None where none does."""
        if not self.weekly:
            begin, end = (_moment(text, end=last) for text, last in ((self.from_, False), (self.until, True)))
            return _zoned(end, timezone) if _zoned(begin, timezone) <= now < _zoned(end, timezone) else None
        (day, begins), (last, ends) = _weekly(self.weekly)
        today = now.astimezone(timezone).date()
        for back in range(8):
            begun = today - timedelta(days=back)
            if begun.weekday() == day:
                days = (last - day) % 7 or (7 if ends <= begins else 0)
                end = _at(begun + timedelta(days=days), ends, timezone)
                if _at(begun, begins, timezone) <= now < end:
                    return end
        return None


def frozen(freezes: Iterable[Freeze], now: datetime, timezone: ZoneInfo) -> tuple[Freeze, datetime] | None:
    """The freeze of the calendar that holds now and ends last, and when that is."""
    holding = [(end, freeze) for freeze in freezes if (end := freeze.holds_until(now, timezone))]
    if not holding:
        return None
    end, freeze = max(holding, key=lambda found: found[0])
    return freeze, end


def after(begin: datetime, seconds: float, hours: OfficeHours | None, timezone: ZoneInfo) -> datetime:
    """When so many seconds of office hours have gone by since `begin`; without office hours, of any."""
    left = timedelta(seconds=seconds)
    if hours is None:
        return begin + left
    for opens, closes in hours.spans(begin.astimezone(timezone).date(), timezone):
        from_here = max(begin, opens)
        if from_here < closes:
            if left <= closes - from_here:
                return from_here + left
            left -= closes - from_here
    raise AssertionError("office hours have no end")


def open_at(now: datetime, hours: OfficeHours | None, timezone: ZoneInfo) -> datetime:
    """`now` where people are there now, else when they come next."""
    if hours is None:
        return now
    for opens, closes in hours.spans(now.astimezone(timezone).date(), timezone):
        if now < closes:
            return max(now, opens)
    raise AssertionError("office hours have no end")


def next_opening(now: datetime, hours: OfficeHours | None, timezone: ZoneInfo) -> datetime:
    """When people come next, after `now`; without office hours, a day later."""
    if hours is None:
        return now + timedelta(days=1)
    for opens, _ in hours.spans(now.astimezone(timezone).date(), timezone):
        if opens > now:
            return opens
    raise AssertionError("office hours have no end")


def next_time(clock: str, now: datetime, timezone: ZoneInfo) -> datetime:
    """The next time, after `now`, that the clocks show HH:MM; where they skip it, when they have gone on."""
    day = now.astimezone(timezone).date()
    while (found := _at(day, time_of_day(clock), timezone)) <= now:
        day += timedelta(days=1)
    return found


def next_weekly(text: str, now: datetime, timezone: ZoneInfo) -> datetime:
    """The next time, after `now`, of a day of the week and a time of day, as `mon 09:00`. Raises ValueError."""
    day, clock = weekly_time(text)
    date_of = now.astimezone(timezone).date()
    while (found := _at(date_of, clock, timezone)) <= now or date_of.weekday() != day:
        date_of += timedelta(days=1)
    return found


def weekly_time(text: str) -> tuple[int, time]:
    """`mon 09:00` as the day's number, Monday 0, and the time. Raises ValueError."""
    day, _, clock = text.strip().lower().partition(" ")
    if day not in DAYS:
        raise ValueError(f"{text!r} is no time of the week: one like mon 09:00 is wanted")
    return DAYS.index(day), time_of_day(clock.strip())


def time_of_day(text: str) -> time:
    """HH:MM, or HH:MM:SS, as a time. Raises ValueError."""
    if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?", text):
        raise ValueError(f"{text!r} is no time of day: one like 08:00 is wanted")
    hour, minute, second = map(int, f"{text}:0".split(":")[:3])
    return time(hour, minute, second)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in re.split(r"[,\s]+", text.strip().lower()):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{text!r} are no days: mon-fri, or sat, sun, is wanted")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(found)


def _weekly(text: str) -> tuple[tuple[int, time], tuple[int, time]]:
    parts = re.fullmatch(r"\s*([a-z]{3})\s+(\S+)\s*-\s*([a-z]{3})\s+(\S+)\s*", text.lower())
    if parts is None or parts[1] not in DAYS or parts[3] not in DAYS:
        raise ValueError(f"{text!r} is no weekly freeze: one like fri 16:00 - mon 06:00 is wanted")
    return (DAYS.index(parts[1]), time_of_day(parts[2])), (DAYS.index(parts[3]), time_of_day(parts[4]))


def _moment(text: str, *, end: bool) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1 if end else 0), time())
        if re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no date: one like 2026-12-24 or 2026-12-24 18:00 is wanted")


def _at(day: date, clock: time, timezone: ZoneInfo) -> datetime:
    return _zoned(datetime.combine(day, clock), timezone)


def _zoned(local: datetime, timezone: ZoneInfo) -> datetime:
    """A local time as an instant: of two, the first; of none, as far after the gap as it is in it (PEP 495)."""
    return local.replace(tzinfo=timezone).astimezone(ZoneInfo("UTC"))
