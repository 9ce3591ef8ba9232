"""A week in words: each figure, the week before beside it, and nothing invented where nothing was measured."""

from typing import Any
from zoneinfo import ZoneInfo

from bot.telling.digest import digest_message, promotions_row, rehearsals_row
from plans.figures import Figures

NOTHING = Figures(
    since="2026-11-15T23:00:00+00:00",
    until="2026-11-22T23:00:00+00:00",
    deployments=0,
    failed_changes=0,
    lead_time=None,
    time_to_recover=None,
    rehearsed=0,
    first_pass=0,
    escapes=0,
    nights=0,
    nights_passed=0,
)


def week(**changes: Any) -> Figures:
    return Figures(**{name: getattr(NOTHING, name) for name in NOTHING.__struct_fields__} | changes)


BUSY = week(
    deployments=4,
    failed_changes=1,
    lead_time=7200.0,
    time_to_recover=600.0,
    rehearsed=5,
    first_pass=3,
    escapes=1,
    nights=6,
    nights_passed=5,
)


def test_the_week_is_told_with_the_one_before_beside_it() -> None:
    said = digest_message([week(deployments=2), BUSY], 1, ZoneInfo("Europe/Berlin")).text
    assert said.startswith("Deployments from 2026-11-16 to 2026-11-23: ")
    for words in (
        "Deployments: 4 (the week before: 2)",
        "Change failure rate: 25% (1 of 4) (the week before: 0% (0 of 2))",
        "Lead time: 2 h (the week before: nothing to measure)",
        "Time to recover: 10 min",
        "Rehearsals passed at once: 60% (3 of 5)",
        "Escaped defects: 1",
        "Restore tests passed: 5 of 7 nights",
    ):
        assert words in said


def test_a_quiet_week_says_so() -> None:
    said = digest_message([NOTHING], 0, ZoneInfo("UTC")).text
    assert "Deployments: 0." in said
    assert "Change failure rate: nothing to measure." in said
    assert "Time to recover: nothing to recover from." in said
    assert "Restore tests passed: none was made." in said


def test_histories_have_theirs_in_a_line() -> None:
    assert promotions_row(BUSY) == (
        "deployments: 4 · change failure rate: 25% (1 of 4) · lead time: 2 h · time to recover: 10 min"
        " · escaped defects: 1"
    )
    assert rehearsals_row(BUSY) == "rehearsals passed at once: 60% (3 of 5) · restore tests passed: 5 of 6 nights"
