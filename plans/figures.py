"""Decides how well deployments go: a span's figures, from the releases and runs that the ledger folds into."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import msgspec

from plans.records import CHANGE_PROD, WAYS_BACK, Release, Run, StepRecord


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a span: counts, and medians in seconds, None where there was nothing to measure.

    `deployments`: promotions that touched prod; `failed_changes`: those of them that failed there, were taken back, or
    let a defect slip through. `rehearsed`: releases whose first rehearsal with a verdict ended in the span,
    `first_pass`: those of them that passed at once and clean. `nights`: on which a restore test ended or was to and was
    not done, `nights_passed`: on which one passed. The measures are DORA's: deployment frequency, lead time for changes
    (here from the hand-off until prod was in use again), change failure rate, time to restore service.
    """

    since: str
    until: str
    deployments: int
    failed_changes: int
    lead_time: float | None
    time_to_recover: float | None
    rehearsed: int
    first_pass: int
    escapes: int
    nights: int
    nights_passed: int

    @property
    def change_failure_rate(self) -> float | None:
        """Between 0 and 1; None where nothing was deployed."""
        return self.failed_changes / self.deployments if self.deployments else None

    @property
    def first_pass_yield(self) -> float | None:
        """Between 0 and 1; None where nothing was rehearsed."""
        return self.first_pass / self.rehearsed if self.rehearsed else None


def figures(
    releases: Iterable[Release],
    runs: Iterable[Run],
    since: datetime,
    until: datetime,
    escaped: Iterable[tuple[str, str]] = (),
    missed: Iterable[str] = (),
) -> Figures:
    """The figures of `since` (included) to `until`. `escaped`: of each escaped defect its release, and since when;
    `missed`: when a night was written down as one without its restore test.
    """
    known = {release.id: release for release in releases}
    ordered = sorted(runs, key=lambda run: run.number)
    slipped = [(release, datetime.fromisoformat(at)) for release, at in escaped]
    deployed = [run for run in ordered if (at := touched_prod(run)) and since <= at < until]
    firsts = [run for run in _first_verdicts(ordered) if since <= datetime.fromisoformat(run.finished) < until]
    nights = _nights(ordered, since, until, missed)
    failed = [run for run in deployed if _failed_change(run, ordered, slipped)]
    leads = [_lead(run, known[run.release]) for run in deployed if run.release in known]
    recoveries = [time for run in failed if (time := _recovery(run, ordered)) is not None]
    return Figures(
        since=since.isoformat(),
        until=until.isoformat(),
        deployments=len(deployed),
        failed_changes=len(failed),
        lead_time=median(leads) if leads else None,
        time_to_recover=median(recoveries) if recoveries else None,
        rehearsed=len(firsts),
        first_pass=sum(1 for run in firsts if run.verdict == "passed" and run.clean),
        escapes=sum(1 for _, at in slipped if since <= at < until),
        nights=len(nights),
        nights_passed=sum(nights.values()),
    )


def weekly(
    releases: Iterable[Release],
    runs: Iterable[Run],
    until: datetime,
    weeks: int,
    escaped: Iterable[tuple[str, str]] = (),
    missed: Iterable[str] = (),
) -> tuple[Figures, ...]:
    """The figures of the last `weeks` weeks, each of seven days, the latest last."""
    everything = tuple(releases), tuple(runs)
    besides = tuple(escaped), tuple(missed)
    edges = [until - timedelta(weeks=weeks - i) for i in range(weeks + 1)]
    return tuple(figures(*everything, since, end, *besides) for since, end in pairwise(edges))


def touched_prod(run: Run) -> datetime | None:
    """When a promotion that has ended had deployed: its last such step's end; None where it did not get there."""
    steps = [step for step in run.steps.values() if step.phase == "deploy"]
    if run.kind != "promotion" or not run.finished or not steps:
        return None
    return _end(max(steps, key=lambda step: step.number))


def _end(step: StepRecord) -> datetime:
    ends = [datetime.fromisoformat(host.started) + timedelta(seconds=host.seconds) for host in step.hosts.values()]
    return max(ends)


def _lead(run: Run, release: Release) -> float:
    """Seconds from the hand-off until prod was deployed to and tested: until its watch began, or the run ended."""
    watched = [host.started for step in run.steps.values() if step.phase == "watch" for host in step.hosts.values()]
    in_use = datetime.fromisoformat(min(watched, default=run.finished))
    return (in_use - datetime.fromisoformat(release.at)).total_seconds()


def _failed_change(run: Run, ordered: list[Run], escaped: list[tuple[str, datetime]]) -> bool:
    if run.verdict == "failed" or any(release == run.release for release, _ in escaped):
        return True
    return any(r.kind in WAYS_BACK and r.release == run.release and r.number > run.number for r in ordered)


def _recovery(run: Run, ordered: list[Run]) -> float | None:
    """Seconds from the failure until the app's next promotion or way back had passed; None while none has."""
    for later in ordered:
        mends = later.kind in CHANGE_PROD and later.app == run.app and later.verdict == "passed"
        if mends and later.number > run.number and later.environment == run.environment:
            failed = datetime.fromisoformat(run.finished)
            return max(0.0, (datetime.fromisoformat(later.finished) - failed).total_seconds())
    return None


def _first_verdicts(ordered: list[Run]) -> list[Run]:
    """The first rehearsal of each release that passed or failed."""
    first: dict[str | None, Run] = {}
    for run in ordered:
        if run.kind == "rehearsal" and run.verdict in ("passed", "failed"):
            first.setdefault(run.release, run)
    return list(first.values())


def _nights(ordered: list[Run], since: datetime, until: datetime, missed: Iterable[str]) -> dict[str, bool]:
    """The dates on which restore tests ended or were not done, and whether one of them passed."""
    nights = {at[:10]: False for at in missed if since <= datetime.fromisoformat(at) < until}
    for run in ordered:
        if run.kind == "restore_test" and run.finished and since <= datetime.fromisoformat(run.finished) < until:
            date = run.finished[:10]
            nights[date] = nights.get(date, False) or run.verdict == "passed"
    return nights
