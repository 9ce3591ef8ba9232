"""The figures of a span: what counts as a deployment, a failed change, a recovery, a first pass."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plans.figures import Figures, figures, weekly
from plans.records import HostStep, Release, Run, StepRecord

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


def at(hours: float) -> str:
    return (MONDAY + timedelta(hours=hours)).isoformat()


def handed_off(name: str, hours: float) -> Release:
    return Release(id=name, app="webshop", version="1", digest="d", bytes=1, source="s", by="U01DEV", at=at(hours))


def steps(**phases: float) -> dict[int, StepRecord]:
    """One step a phase, begun at that hour, of one minute."""
    return {
        number: StepRecord(
            number=number,
            phase=phase,
            name=phase,
            written=True,
            of=1,
            hosts={"web": HostStep(attempt=1, started=at(hours), outcome="ok", seconds=60)},
        )
        for number, (phase, hours) in enumerate(phases.items(), 1)
    }


def ended(number: int, kind: str, release: str, hours: float, verdict: str = "passed", **more: Any) -> Run:
    known = {"app": "webshop", "environment": "prod", "plans": "p", "by": "U02ADMIN", "at": at(hours), "phase": "watch"}
    finished = {"verdict": verdict, "finished": at(hours)}
    return Run(number=number, kind=kind, release=release, **{**known, **finished, **more})


def week(runs: list[Run], escaped: list[tuple[str, str]] | None = None) -> Figures:
    releases = [handed_off("R-1", 0), handed_off("R-2", 10)]
    return figures(releases, runs, MONDAY, MONDAY + timedelta(weeks=1), escaped or ())


def test_a_week_without_anything_has_no_rates() -> None:
    found = week([])
    assert (found.deployments, found.nights, found.lead_time, found.time_to_recover) == (0, 0, None, None)
    assert found.change_failure_rate is None
    assert found.first_pass_yield is None


def test_the_lead_time_is_from_the_hand_off_until_prod_was_in_use_again() -> None:
    runs = [
        ended(3, "promotion", "R-1", 9, steps=steps(deploy=5, watch=6)),
        ended(4, "promotion", "R-2", 20, steps=steps(deploy=19), phase="test"),
    ]
    assert week(runs).lead_time == (6 * 3600 + 10 * 3600) / 2
    assert week(runs).deployments == 2


@pytest.mark.parametrize(
    ("verdict", "later", "escaped", "failed"),
    [
        ("passed", [], [], 0),
        ("failed", [], [], 1),
        ("errored", [], [], 0),
        ("passed", [ended(9, "rollback", "R-1", 30)], [], 1),
        ("aborted", [ended(9, "rollback", "R-1", 30)], [], 1),
        ("passed", [ended(9, "rollback", "R-2", 30)], [], 0),
        ("passed", [], [("R-1", at(100))], 1),
        ("passed", [], [("R-2", at(100))], 0),
    ],
)
def test_a_change_has_failed_where_it_failed_was_rolled_back_or_let_a_defect_slip(
    verdict: str, later: list[Run], escaped: list[tuple[str, str]], failed: int
) -> None:
    promoted = ended(3, "promotion", "R-1", 9, verdict, steps=steps(deploy=5))
    found = week([promoted, *later], escaped)
    assert (found.deployments, found.failed_changes) == (1, failed)


def test_what_did_not_touch_prod_or_still_goes_on_is_no_deployment() -> None:
    refused = ended(3, "promotion", "R-1", 9, "errored", steps=steps(protect=5))
    going = ended(4, "promotion", "R-1", 9, "", finished="", steps=steps(deploy=5))
    rehearsed = ended(5, "rehearsal", "R-1", 9, steps=steps(deploy=5))
    assert week([refused, going, rehearsed]).deployments == 0


def test_recovery_counts_from_the_failure_to_the_next_good_ending_on_that_prod() -> None:
    failed = ended(3, "promotion", "R-1", 9, "failed", steps=steps(deploy=5))
    elsewhere = ended(4, "rollback", "R-1", 10, app="crm")
    failed_again = ended(5, "rollback", "R-1", 11, "failed")
    mended = ended(6, "rollback", "R-1", 12)
    assert week([failed, elsewhere, failed_again, mended]).time_to_recover == 3 * 3600
    assert week([failed, elsewhere, failed_again]).time_to_recover is None


def test_the_first_verdict_of_a_release_counts_and_only_a_clean_pass_is_one() -> None:
    runs = [
        ended(1, "rehearsal", "R-1", 1, "errored"),
        ended(2, "rehearsal", "R-1", 2, "failed"),
        ended(3, "rehearsal", "R-1", 3),
        ended(4, "rehearsal", "R-2", 4),
        ended(5, "rehearsal", "R-3", 5, unclean=("“Migrate” was skipped",)),
    ]
    found = week(runs)
    assert (found.rehearsed, found.first_pass) == (3, 1)
    assert found.first_pass_yield == pytest.approx(1 / 3)


def test_a_night_passes_when_one_of_its_restore_tests_did() -> None:
    runs = [
        ended(1, "restore_test", "", 2, "errored"),
        ended(2, "restore_test", "", 3),
        ended(3, "restore_test", "", 26, "errored"),
        ended(4, "check", "", 50),
    ]
    found = week(runs)
    assert (found.nights, found.nights_passed) == (2, 1)


def test_a_night_on_which_none_was_done_did_not_pass() -> None:
    runs = [ended(1, "restore_test", "", 2)]
    again, other, before = (MONDAY + timedelta(hours=hours) for hours in (4, 26, -2))
    found = figures(
        [], runs, MONDAY, MONDAY + timedelta(weeks=1), (), [at.isoformat() for at in (again, other, before)]
    )
    assert (found.nights, found.nights_passed) == (2, 1)


def test_weeks_are_side_by_side_and_share_nothing() -> None:
    runs = [ended(n, "promotion", "R-1", 24 * 7 * n, steps=steps(deploy=24 * 7 * n - 1)) for n in (0, 1, 2)]
    found = weekly([handed_off("R-1", -48)], runs, MONDAY + timedelta(weeks=2), 3, [("R-1", at(0))])
    assert [each.deployments for each in found] == [1, 1, 1]
    assert [each.escapes for each in found] == [0, 1, 0]


def test_a_revert_is_a_recovery_and_makes_the_promotion_a_failed_change() -> None:
    promoted = ended(3, "promotion", "R-1", 9, "errored", steps=steps(deploy=8))
    found = week([promoted, ended(4, "revert", "R-1", 11)])
    assert (found.deployments, found.failed_changes, found.time_to_recover) == (1, 1, 2 * 3600)
