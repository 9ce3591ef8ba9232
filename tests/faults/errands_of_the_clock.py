"""Decides the errands that nobody goes on: what is due at a time, and what a bot does that was off by then."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from faults.harness import Site
from faults.means import Errand, clock, configured, does, passed, reason, released, ruled, tested
from faults.people import ADMIN, Team

from bot.ledger import Ledger, Tail
from plans.rule_events import ChangeOutside

SOON = 8
"""Seconds within which a bot has usually begun, and has written down what it was told."""


def _due_soon(team: Team, change: Callable[[dict[str, Any], datetime], object]) -> None:
    """A bot has begun with a configuration that wants something at a time, and was dead before that came."""
    at = clock(team.site, 0)
    while at <= clock(team.site, 0):
        at = clock(team.site, SOON).replace(microsecond=0)
        configured(team, partial(change, at=at))
        team.begin()
        team.site.kill()


def _comes(team: Team, kind: str, before: int) -> None:
    """One more such record than there were before, and no other."""
    team.wait(lambda: team.site.book.of(kind)[before:], kind)
    assert len(team.site.book.of(kind)) == before + 1


def _digested(config: dict[str, Any], at: datetime) -> None:
    config["policy"]["digest"] = f"{at:%a %H:%M:%S}".lower()


def _week(team: Team) -> Iterator[None]:
    _due_soon(team, _digested)
    before = len(team.site.book.of("week.over"))
    yield
    _comes(team, "week.over", before)


def _tested(config: dict[str, Any], at: datetime) -> None:
    config["restore_tests"] = [{"environment": "staging", "at": f"{at:%H:%M:%S}", "within": "1s"}]


def _no_test(team: Team) -> Iterator[None]:
    """Staging is locked when its backups are to be tested."""
    why = reason(team)
    does(team, f"/stage lock staging {why}", "environment.locked", reason=why)
    _due_soon(team, _tested)
    before = len(team.site.book.of("restore_test.missed"))
    yield
    _comes(team, "restore_test.missed", before)
    does(team, "/stage unlock staging", "environment.unlocked", environment="staging")


def _no_test_for_long(team: Team) -> Iterator[None]:
    """The last that was restored is older than the policy allows."""
    configured(team, lambda config: config["environments"]["staging"].update(restore_max_age="1ms"))
    passed(team, "/stage check staging", "check")
    configured(team, partial(_tested, at=clock(team.site, 3600)))
    ruled(team, restore_test_max_age="1s")
    before = len(team.site.book.of("restore_test.overdue"))
    yield
    _comes(team, "restore_test.overdue", before)


def _reminder(team: Team) -> Iterator[None]:
    """People come to the office, and what a run asked them before is still open."""
    tested(team, "deep: [{name: The list, manual: Look at it.}]")
    release = released(team)
    run = team.begins(f"/stage run {release}", "rehearsal")
    team.wait(lambda: team.question(run), "the check by hand")
    hours = {"days": "mon-sun", "from": f"{clock(team.site, 1):%H:%M:%S}", "to": "23:59:59"}
    ruled(team, office_hours=hours)
    before = len(team.site.book.of("run.reminded"))
    yield
    _comes(team, "run.reminded", before)
    assert team.sees_through(run)["verdict"] == "passed"


def _review(team: Team) -> Iterator[None]:
    """In a lab whose ledger is `AGED`: prod was changed by hand days ago, and nobody has reviewed that."""
    yield
    _comes(team, "review.reminded", 0)
    does(team, "/promote review cloned it was right", "review.given", subject="cloned")


def _changed_days_ago(site: Site) -> None:
    ledger = Ledger.open(site.book.path.parent)
    assert not list(ledger.entries(Tail()))
    event = ChangeOutside(environment="cloned", reason="the disk was full")
    ledger.append(ADMIN, event, datetime.now(UTC) - timedelta(days=3))
    ledger.close()


ERRANDS: dict[str, Errand] = {
    "week.over": _week,
    "restore_test.missed": _no_test,
    "restore_test.overdue": _no_test_for_long,
    "run.reminded": _reminder,
    "review.reminded": _review,
}
"""Each of their types of record, and the errand that brings it."""

AGED: dict[str, Callable[[Site], None]] = {"review.reminded": _changed_days_ago}
"""Types that want a lab of their own, and what its ledger has from long ago: no configuration makes two days pass."""
