"""Decides how a week of deployments, and the figures of some weeks, are told in words."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.line.blocks import Message, context, header, section
from plans.figures import Figures
from plans.quantities import spell


def digest_message(weeks: Sequence[Figures], missed: int, timezone: ZoneInfo) -> Message:
    """The week that is over: the last of `weeks`, with the one before beside it. `missed`: nights without a test."""
    week, before = weeks[-1], weeks[-2] if len(weeks) > 1 else None
    first, last = (datetime.fromisoformat(at).astimezone(timezone) for at in (week.since, week.until))
    title = f"Deployments from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    rows = [f"*{name}:* {said}" for name, said in _rows(week, before, missed)]
    text = f"{title}: " + ". ".join(row.replace("*", "") for row in rows) + "."
    return Message(text, (header(title), section("\n".join(rows)), context("What each means: `docs/figures.md`")))


def promotions_row(figures: Figures) -> str:
    """How prod fared, in a line, for a history."""
    rows = dict(_rows(figures, None, 0))
    names = ("Deployments", "Change failure rate", "Lead time", "Time to recover", "Escaped defects")
    return " · ".join(f"{name.lower()}: {rows[name]}" for name in names)


def rehearsals_row(figures: Figures) -> str:
    """How staging fared, in a line, for a history."""
    rows = dict(_rows(figures, None, 0))
    return " · ".join(f"{name.lower()}: {rows[name]}" for name in ("Rehearsals passed at once", "Restore tests passed"))


def _rows(week: Figures, before: Figures | None, missed: int) -> tuple[tuple[str, str], ...]:
    nights = week.nights + missed
    return (
        ("Deployments", f"{week.deployments}{_before(before and before.deployments)}"),
        (
            "Change failure rate",
            f"{_share(week.failed_changes, week.deployments)}"
            f"{_before(before and _share(before.failed_changes, before.deployments))}",
        ),
        ("Lead time", f"{_time(week.lead_time)}{_before(before and _time(before.lead_time))}"),
        ("Time to recover", _time(week.time_to_recover, "nothing to recover from")),
        (
            "Rehearsals passed at once",
            f"{_share(week.first_pass, week.rehearsed)}"
            f"{_before(before and _share(before.first_pass, before.rehearsed))}",
        ),
        ("Escaped defects", str(week.escapes)),
        ("Restore tests passed", f"{week.nights_passed} of {nights} nights" if nights else "none was made"),
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%} ({part} of {whole})" if whole else "nothing to measure"


def _time(seconds: float | None, otherwise: str = "nothing to measure") -> str:
    return otherwise if seconds is None else spell(seconds)


def _before(said: object) -> str:
    return "" if said is None else f" (the week before: {said})"
