"""Decides the errands around a deployment: what a rehearsal points out, who agrees, who looks in, what went past."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults.harness import Site
from faults.means import Errand, configured, does, passed, reason, rehearsed, released, ruled, tested, tomorrow, waiting
from faults.people import ADMIN, DEVELOPER, OTHER_ADMIN, TESTER, Team

from lab import logins

UP = "critical: [{name: It answers, on: web, run: 'true'}]"
DOWN = "critical: [{name: It answers, on: web, run: 'false'}]"


def _adds_fact(team: Team, command: str, **more: Any) -> None:
    """One more fact of the shop's hosts, `side`, is compared from now on."""
    fact = {"name": "side", "on": "web", "run": command, **more}
    configured(team, lambda config: config["apps"]["shop"]["facts"].append(fact))


# What a rehearsal points out.


def _changes_unlisted(team: Team) -> str:
    """A release that changes what none of its listed changes is about, on both hosts."""
    _adds_fact(team, "cat side 2>/dev/null || true", kind="database")
    return released(team, {"name": "Change the side", "on": "web", "run": f"cd; echo {reason(team)} >side"})


def _difference(team: Team) -> Iterator[None]:
    release = _changes_unlisted(team)
    yield
    run = passed(team, f"/stage run {release}", "rehearsal")
    found = {each["data"]["key"] for each in team.site.book.of("difference.found", run=run)}
    assert found == {"side:unlisted", "side/web/2:unlisted"}


def _disposal(team: Team) -> Iterator[None]:
    release = _changes_unlisted(team)
    passed(team, f"/stage run {release}", "rehearsal")
    why = reason(team)
    yield
    book = team.site.book
    team.types(
        ADMIN, f"/stage dispose {release} side {why}", lambda: book.of("difference.disposed", release=release)[1:]
    )
    assert len(book.of("difference.disposed", release=release)) == 2
    does(team, f"/promote {release} at {tomorrow(team.site)} 22:00", "promotion.scheduled", release=release)
    does(team, f"/promote abort {release}", "promotion.unscheduled", release=release)


def _waiver(team: Team) -> Iterator[None]:
    team.see_to_it()
    why = reason(team)
    yield
    does(team, f"/stage waive staging disk until {tomorrow(team.site)} {why}", "waiver.given", reason=why)


def _waived(team: Team) -> Iterator[None]:
    _adds_fact(team, "echo $VM")
    why = reason(team)
    does(team, f"/stage waive staging side until {tomorrow(team.site)} {why}", "waiver.given", reason=why)
    yield
    run = passed(team, "/stage check staging", "check")
    assert {used["data"]["fact"] for used in team.site.book.of("waiver.used", run=run)} == {"side"}


def _of_vm(site: Site, vm: str) -> Path:
    """The folder of a VM, where the lab keeps its records of logins beside its disk."""
    return next(kept.parent for kept in site.folder.glob("vms/*/vm.json") if json.loads(kept.read_text())["name"] == vm)


def _hand(team: Team) -> Iterator[None]:
    """Somebody logs in on both hosts of staging while a step of the package goes on there."""
    wait, go = waiting(team.site)
    release = released(team, wait)
    run = team.begins(f"/stage run {release}", "rehearsal")
    team.wait(lambda: team.site.book.of("step.started", run=run, name="Wait"), "the step that waits")
    for vm in ("staging-web", "staging-spare"):
        logins.came(_of_vm(team.site, vm), "pts/7", "deploy", "203.0.113.7")
        logins.went(_of_vm(team.site, vm), "pts/7")
    yield
    go.touch()
    end = team.sees_through(run)
    assert (end["verdict"], end["clean"]) == ("passed", False)
    seen = {(each["data"]["host"], each["data"]["what"]) for each in team.site.book.of("hand.seen", run=run)}
    assert sorted(host for host, _ in seen) == ["web", "web/2"]


def _unread(team: Team) -> Iterator[None]:
    """The hosts of staging keep no record of their logins."""
    kept = [
        _of_vm(team.site, vm) / log for vm in ("staging-web", "staging-spare") for log in (logins.WTMP, logins.JOURNAL)
    ]
    release = released(team)
    for log in kept:
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        log.symlink_to("/dev/null")
    yield
    run = passed(team, f"/stage run {release}", "rehearsal")
    assert {each["data"]["host"] for each in team.site.book.of("hands.unknown", run=run)} == {"web", "web/2"}
    for log in kept:
        log.unlink()


# Who agrees.


def _approvable(team: Team) -> str:
    """A release that waits for a further admin alone."""
    ruled(team, approvals="1")
    return rehearsed(team)


def _approval(team: Team) -> Iterator[None]:
    release = rehearsed(team)
    yield
    does(team, f"/promote approve {release}", "approval.given", release=release)


def _question(team: Team) -> Iterator[None]:
    release = _approvable(team)
    yield
    does(team, f"/promote {release}", "approval.asked", release=release)
    does(team, f"/promote approve {release}", "approval.given", OTHER_ADMIN, release=release)
    passed(team, f"/promote {release}", "promotion")
    assert len(team.site.book.of("approval.asked", release=release)) == 1


def _no(team: Team) -> Iterator[None]:
    """A further admin's no takes the release off the schedule."""
    release = _approvable(team)
    does(team, f"/promote {release} at {tomorrow(team.site)} 22:00", "promotion.scheduled", release=release)
    yield
    book = team.site.book

    def refused() -> bool:
        return bool(book.of("approval.refused", release=release) and book.of("promotion.unscheduled", release=release))

    team.types(OTHER_ADMIN, f"/promote refuse {release} not now", refused)
    assert len(book.of("approval.refused", release=release)) == 1
    assert len(book.of("promotion.unscheduled", release=release)) == 1


def _assignment(team: Team) -> Iterator[None]:
    tested(team, f"{UP}\ndeep: [{{name: The list, manual: Look at it.}}]")
    release = released(team)
    run = team.begins(f"/stage run {release}", "rehearsal")
    team.wait(lambda: team.question(run), "the check by hand")
    yield
    does(team, f"/stage assign {run} 1 <@{TESTER}>", "check.assigned", run=run)
    assert team.sees_through(run)["verdict"] == "passed"
    assert len(team.site.book.of("check.assigned", run=run)) == 1


# Who looks in.


def _failing(team: Team) -> str:
    """A release that does not pass; whoever handed it off may look why."""
    people = {"ssh": {"people": {DEVELOPER: "keys/developer.pub"}}}
    configured(team, lambda config: config["environments"]["staging"].update(inspection=people))
    tested(team, DOWN)
    return released(team)


def _fails(team: Team, release: str) -> int:
    """Its rehearsal, after which staging may be looked at."""
    run = team.begins(f"/stage run {release}", "rehearsal")
    end = team.sees_through(run)
    assert end["verdict"] == "failed", end
    team.wait(lambda: team.site.book.of("inspection.opened", run=run), "the inspection")
    return run


def _closes(team: Team, run: int) -> None:
    passed(team, "/stage reset staging", "reset")
    book = team.site.book
    assert len(book.of("inspection.opened", run=run)) == len(book.of("inspection.closed", run=run)) == 1


def _look(team: Team) -> Iterator[None]:
    release = _failing(team)
    yield
    _closes(team, _fails(team, release))


def _visit(team: Team) -> Iterator[None]:
    run = _fails(team, _failing(team))
    yield
    does(team, "/stage inspect staging", "inspection.entered", run=run)
    _closes(team, run)
    assert len(team.site.book.of("inspection.entered", run=run)) == 1


def _last_look(team: Team) -> Iterator[None]:
    """Its time is over, and staging goes back to its snapshot by itself."""
    ruled(team, inspection="5s")
    run = _fails(team, _failing(team))
    book = team.site.book
    before = len(book.of("run.started", kind="reset"))
    team.site.kill()
    yield
    resets = team.wait(lambda: book.of("run.started", kind="reset")[before:], "the reset")
    assert team.sees_through(resets[0]["data"]["run"])["verdict"] == "passed"
    assert len(book.of("run.started", kind="reset")) == before + 1
    assert len(book.of("inspection.closed", run=run)) == 1


# What went past the rules, or past the tests.


def _outside(team: Team) -> Iterator[None]:
    team.see_to_it()
    why = reason(team)
    yield
    does(team, f"/promote outside cloned {why}", "change.outside", reason=why)
    does(team, "/promote review cloned it was right", "review.given", subject="cloned")


def _emergency(team: Team) -> Iterator[None]:
    release = rehearsed(team)
    does(team, "/promote freeze it is Friday", "freeze.set")
    yield
    passed(team, f"/promote {release} emergency it loses orders", "promotion")
    assert len(team.site.book.of("promotion.forced", release=release)) == 1
    does(team, f"/promote review {release} it was right", "review.given", subject=release)
    does(team, "/promote unfreeze", "freeze.lifted")


def _left(team: Team) -> Iterator[None]:
    """A promotion that failed, and whose prod stays as it is."""
    release = rehearsed(
        team, {"name": "Balk", "on": "web", "once": True, "run": "[ $QUARTERDECK_ENVIRONMENT != prod ]"}
    )
    run = team.begins(f"/promote {release}", "promotion")
    team.wait(lambda: team.question(run), "the question")
    does(team, f"/stage answer {run} abort", "run.decided", run=run)
    assert team.sees_through(run)["verdict"] == "failed"
    yield
    does(team, f"/promote leave {release} we can live with it", "promotion.left", run=run)
    assert len(team.site.book.of("promotion.left", run=run)) == 1


def _report(team: Team) -> Iterator[None]:
    release = rehearsed(team)
    yield
    does(team, f"/promote report {release}", "report.asked", release=release)
    assert len(team.site.book.of("report.asked", release=release)) == 1


def _escaped(team: Team) -> str:
    """A defect that slipped through to prod."""
    release = rehearsed(team)
    passed(team, f"/promote {release}", "promotion")
    (found,) = does(team, f"/promote escape {release} it loses orders", "escape.recorded", release=release)
    return str(found["data"]["escape"])


def _escape(team: Team) -> Iterator[None]:
    release = rehearsed(team)
    passed(team, f"/promote {release}", "promotion")
    yield
    (found,) = does(team, f"/promote escape {release} it loses orders", "escape.recorded", release=release)
    name = found["data"]["escape"]
    does(team, f"/promote accept {name} we can live with it", "escape.closed", escape=name)


def _payment(team: Team) -> Iterator[None]:
    """A check that names the escape passes, and its release goes to prod."""
    name = _escaped(team)
    tested(team, f"{UP[:-1]}, {{name: No order is lost, on: web, run: 'true', covers: [{name}]}}]")
    release = released(team)
    yield
    run = passed(team, f"/stage run {release}", "rehearsal")
    tried = {(each["data"]["escape"], each["data"]["outcome"]) for each in team.site.book.of("escape.tried", run=run)}
    assert tried == {(name, "ok")}
    passed(team, f"/promote {release}", "promotion")
    assert {each["data"]["how"] for each in team.site.book.of("escape.closed", escape=name)} == {"check"}


ERRANDS: dict[str, Errand] = {
    "difference.found": _difference,
    "difference.disposed": _disposal,
    "waiver.given": _waiver,
    "waiver.used": _waived,
    "hand.seen": _hand,
    "hands.unknown": _unread,
    "approval.asked": _question,
    "approval.given": _approval,
    "approval.refused": _no,
    "check.assigned": _assignment,
    "inspection.opened": _look,
    "inspection.entered": _visit,
    "inspection.closed": _last_look,
    "change.outside": _outside,
    "review.given": _outside,
    "promotion.forced": _emergency,
    "promotion.left": _left,
    "report.asked": _report,
    "escape.recorded": _escape,
    "escape.tried": _payment,
    "escape.closed": _payment,
}
"""Each of their types of record, and the errand that brings it."""
