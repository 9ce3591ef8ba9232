"""Decides when backups are tested, what that waits for, what it took, and when somebody must be called about it."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from statistics import mean
from zoneinfo import ZoneInfo

import msgspec

from plans.calendars import next_time, time_of_day
from plans.quantities import Duration, seconds
from plans.records import EnvironmentState, Run
from plans.rule_records import Missed, Overdue

NIGHTS = 7
"""Earlier nights that a restore test is held against."""

AGAIN = timedelta(days=1)
"""After which the admins are called again while none has passed."""


class RestoreTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every night at `at`, in the configuration's timezone, what restores an environment is tried; `within`: how long
    it waits for what is in the way before it is given up for that night.
    """

    environment: str
    at: str = "02:00"
    within: Duration = "4h"

    def __post_init__(self) -> None:
        time_of_day(self.at)
        if seconds(self.within) >= AGAIN.total_seconds():
            raise ValueError(f"within {self.within}: the next night's would have begun by then")

    def night(self, now: datetime, timezone: ZoneInfo) -> tuple[datetime, datetime]:
        """From when to when the present night's test may begin; the next night's where that is over."""
        within = timedelta(seconds=seconds(self.within))
        begins = next_time(self.at, now - within, timezone)
        return begins, begins + within


class Trend(msgspec.Struct, frozen=True):
    """What a restore took and how old its data was, in seconds; of the `nights` before it on average."""

    took: float
    age: float | None
    nights: int
    took_before: float
    age_before: float | None


def seen_to(test: RestoreTest, begins: datetime, runs: Iterable[Run], missed: Iterable[Missed]) -> bool:
    """Whether the test of the night that began then was begun, or written down as not done."""
    begun = [run.at for run in runs if _of(test, run)]
    ats = (*begun, *(one.at for one in missed if one.environment == test.environment))
    return any(datetime.fromisoformat(at) >= begins for at in ats)


def in_the_way(
    environment: str,
    prods: Collection[str],
    machines: Iterable[str],
    states: Iterable[EnvironmentState],
    runs: Iterable[Run],
) -> str:
    """What a restore test would disturb there, in words; empty where it may begin: neither a run nor people at work.

    Nor does it begin while one of `prods`, which it compares with, is being changed.
    """
    held, known = set(machines), {run.number: run for run in runs}
    for run in known.values():
        if run.holds and (run.environment in (environment, *prods) or held & set(run.machines)):
            does = "waits for an answer" if run.question else "is"
            return f"run {run.number} ({run.kind}) {does} on {run.environment}"
    for state in states:
        if state.name == environment and state.locked is not None:
            return f"{environment} is locked by <@{state.locked_by}>: {state.locked}"
        left = known.get(state.inspection or 0)
        if left is not None and (state.name == environment or held & set(left.machines)):
            return f"{state.name} is as run {left.number} left it, for inspection"
    return ""


def took(run: Run) -> float:
    """Seconds of a run's restore: of each step the slowest host's."""
    longest: dict[str, float] = {}
    for one in run.restores:
        longest[one.name] = max(longest.get(one.name, 0.0), one.seconds)
    return sum(longest.values())


def age(run: Run) -> float | None:
    """Seconds that the oldest of what a run restored was old; None where nothing told."""
    return max((one.artifact_age for one in run.restores if one.artifact_age is not None), default=None)


def trend(run: Run, runs: Iterable[Run]) -> Trend | None:
    """A restore test that restored against those of the last nights that passed; None where it did not get there."""
    if run.kind != "restore_test" or not run.restores:
        return None
    same = (one for one in runs if (one.kind, one.environment) == (run.kind, run.environment))
    before = sorted((o for o in same if o.number < run.number and o.verdict == "passed"), key=lambda o: o.number)
    nights = [one for one in before if one.restores][-NIGHTS:]
    ages = [old for one in nights if (old := age(one)) is not None]
    return Trend(
        took=took(run),
        age=age(run),
        nights=len(nights),
        took_before=mean(map(took, nights)) if nights else 0.0,
        age_before=mean(ages) if ages else None,
    )


def last_passed(environment: str, runs: Iterable[Run]) -> Run | None:
    """The last run that showed that the backups can be restored: a restore test, or a check that restored by itself."""
    passed = (run for run in runs if run.environment == environment and run.verdict == "passed" and run.restores)
    shown = (run for run in passed if run.kind in ("restore_test", "check"))
    return max(shown, key=lambda run: run.finished, default=None)


def alarm(
    test: RestoreTest, max_age: Duration, runs: Iterable[Run], missed: Iterable[Missed], told: Overdue | None
) -> datetime | None:
    """When the admins are to be called because no restore test has passed for `max_age`: at first, and then daily.

    Where none ever passed it counts from the first night that was to have one; None before that.
    """
    known = list(runs)
    passed = last_passed(test.environment, known)
    nights = [run.at for run in known if _of(test, run)]
    nights += [one.at for one in missed if one.environment == test.environment]
    since = datetime.fromisoformat(passed.finished if passed else min(nights)) if passed or nights else None
    if since is None:
        return None
    due = since + timedelta(seconds=seconds(max_age))
    if told is not None and datetime.fromisoformat(told.at) >= due:
        return datetime.fromisoformat(told.at) + AGAIN
    return due


def latest(test: RestoreTest, runs: Iterable[Run], missed: Iterable[Missed]) -> str:
    """What became of the latest night's test, in words."""
    run = max((run for run in runs if _of(test, run)), key=lambda run: run.number, default=None)
    skipped = max((one for one in missed if one.environment == test.environment), key=lambda o: o.at, default=None)
    if skipped is not None and (run is None or skipped.at > run.at):
        return f"not done: {skipped.why}"
    if run is None:
        return "none was begun"
    why = run.reason.partition("\n")[0]
    return f"run {run.number} {run.verdict or 'goes on'}" + (f": {why}" if why else "")


def _of(test: RestoreTest, run: Run) -> bool:
    return run.kind == "restore_test" and run.environment == test.environment
