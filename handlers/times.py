"""Decides which moment a typed time means, and how it is said back."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from handlers.letters import short, split, token
from plans.errors import Refusal

_ISO = re.compile(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?=[0-9])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})[,.;:]?")


def when(text: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, str]:
    """`22:00 …` or `2026-11-24 22:00 …` as a time in the zone, and the rest of the text.

    A time of day that is over today means tomorrow. Raises Refusal `bad_time`, also for a time that the clocks skip
    or show twice.
    """
    first, rest = split(_ISO.sub(r"\1 ", text))
    date = _DATE.fullmatch(token(first))
    word, after = split(rest) if date else (first, rest)
    clock = _CLOCK.fullmatch(token(word))
    if clock is None:
        raise _bad(f"“{short(text)}” is no time." if text else "The time is missing.")
    here = now.astimezone(zone)
    try:
        hour = time(int(clock[1]), int(clock[2]))
        if date:
            day = datetime(int(date[1]), int(date[2]), int(date[3]))
        else:
            day = datetime.combine(here, time()) + timedelta(days=0 if hour > here.time() else 1)
        found = _exact(day, hour, zone)
    except (ValueError, OverflowError):
        raise _bad(f"“{short(text)}” is no time that there is.") from None
    if found <= now:
        raise _bad(f"{spoken(found)} is over.")
    return found, after


def day(text: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, str]:
    """`2026-12-24 …` as the end of that day in the zone, or a time as `when` reads it; and the rest of the text.

    Raises Refusal `bad_time`.
    """
    first, rest = split(text)
    date = _DATE.fullmatch(token(first))
    if date is None or _CLOCK.fullmatch(token(split(rest)[0])):
        return when(text, now, zone)
    try:
        begins = datetime(int(date[1]), int(date[2]), int(date[3]))
        ends = datetime.combine(begins + timedelta(days=1), time(), zone)
    except (ValueError, OverflowError):
        raise _bad(f"“{short(first)}” is no day that there is.") from None
    if ends <= now:
        raise _bad(f"{begins:%Y-%m-%d} is over.")
    return ends, rest


def spoken(at: datetime) -> str:
    """A time as it is said back: `2026-11-24 22:00 CET (UTC+01:00)`."""
    offset = f"{at:%z}"
    return f"{at:%Y-%m-%d %H:%M} {at.tzname()} (UTC{offset[:3]}:{offset[3:5]})"


def _exact(day: datetime, hour: time, zone: ZoneInfo) -> datetime:
    """The one moment at which the clocks of the zone show this."""
    at = datetime.combine(day, hour, zone)
    if at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != at.replace(tzinfo=None):
        raise _bad(f"{at:%H:%M} does not come on {at:%Y-%m-%d} in {zone.key}: the clocks go forward over it.")
    if at.utcoffset() != at.replace(fold=1).utcoffset():
        raise _bad(f"{at:%H:%M} comes twice on {at:%Y-%m-%d} in {zone.key}: the clocks go back over it.")
    return at


def _bad(why: str) -> Refusal:
    return Refusal("bad_time", why, "Write 22:00, or 2026-11-24 22:00; the hours go from 00 to 23.")
