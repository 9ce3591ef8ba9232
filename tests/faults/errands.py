"""Decides what brings each type of record onto the ledger: an errand of the people's, for a bot that dies of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from faults import scenes
from faults.accounts import Record
from faults.harness import Site, package
from faults.people import ADMIN, DEVELOPER, Team

Errand = Callable[[Team], Iterator[None]]
"""What comes before its `yield` is done by a bot that nobody kills, what comes after it by one that is doomed."""

CLONED = "staging-db"


def furnished(site: Site, config: dict[str, Any]) -> None:
    """The scenes' environments, and one more whose host is made anew from a VM of prod's."""
    own = config["environments"]["staging"]["hosts"]["db"]
    del own["ssh"]
    own["guest"] = {"username": "deploy", "password": "${file:keys/guest-password}"}
    theirs = config["environments"]["prod"]["hosts"]["db"]
    scenes.environments(site, config)
    config["environments"]["staging"]["restore_max_age"] = "1h"
    config["environments"]["anew"] = {
        "hosts": {"web": own | {"vm": CLONED}},
        "isolation": {"networks": ["isolated-staging"]},
        "restore": [{"name": "Clone it", "on": "web", "clone": {"from": "web"}}],
        "restore_max_age": "1ms",
    }
    config["environments"]["cloned"] = {"hosts": {"web": theirs}}
    config["apps"]["anew"] = {"tests": "anew.tests.yaml", "staging": "anew", "prod": "cloned"}
    (site.folder / "anew.tests.yaml").write_text("app: anew\ncritical: [{name: Up, on: web, run: 'true'}]\n")


# What several errands need.


def _fresh(site: Site, *, special: bool = False) -> Path:
    """An archive that was not handed off yet."""
    number = len(list((site.folder / "drafts").glob("*"))) if (site.folder / "drafts").exists() else 0
    manual = [{"name": scenes.LOOK, "manual": "Look whether it is well."}] if special else []
    steps = [
        {"name": scenes.STOP, "on": "web", "run": site.act(0)},
        *manual,
        {"name": scenes.CHANGE, "on": "web", "serial": 1, "run": site.act(0.05)},
    ]
    return package(site, f"2.{number}.0", steps)


def _release(team: Team) -> str:
    return team.hands_off(_fresh(team.site))


def _passed(team: Team, text: str, kind: str) -> int:
    run = team.begins(text, kind)
    end = team.sees_through(run)
    assert end["verdict"] == "passed", end
    return run


def _rehearsed(team: Team) -> str:
    release = _release(team)
    _passed(team, f"/stage run {release}", "rehearsal")
    return release


def _does(team: Team, text: str, kind: str, user: str = ADMIN, /, **wanted: Any) -> list[Record]:
    """Types it until there is one more such record."""
    before = len(team.site.book.of(kind, **wanted))
    found: list[Record] = team.types(user, text, lambda: team.site.book.of(kind, **wanted)[before:])
    return found


def _configured(team: Team, change: Callable[[dict[str, Any]], object]) -> None:
    team.site.kill()
    team.site.configure(change)


def _restored_within(team: Team, age: str) -> None:
    _configured(team, lambda config: config["environments"]["staging"].update(restore_max_age=age))


def _reason(team: Team) -> str:
    """Words that nobody used before."""
    return f"for reason {len(team.site.book.read())}"


# The errands.


def _new_configuration(team: Team) -> Iterator[None]:
    before = len(team.site.book.of("config.loaded"))
    _configured(team, lambda config: config["policy"].update(inspection=f"{before + 10}m"))
    yield
    team.wait(lambda: team.site.book.of("config.loaded")[before:], "the new configuration")
    assert len(team.site.book.of("config.loaded")) == before + 1


def _hand_off(team: Team) -> Iterator[None]:
    archive = _fresh(team.site)
    yield
    team.hands_off(archive)


def _refused(team: Team) -> Iterator[None]:
    team.see_to_it()
    source = team.site.folder / "packages" / "nothing.zip"
    source.write_text("no archive")
    yield
    _does(team, f"/handoff {source}", "package.refused", DEVELOPER)


def _withdrawal(team: Team) -> Iterator[None]:
    release = _release(team)
    yield
    _does(team, f"/handoff withdraw {release} too soon", "release.withdrawn", DEVELOPER, release=release)


def _defect(team: Team) -> Iterator[None]:
    release = _release(team)
    yield
    _does(team, f"/promote defective {release} loses orders", "release.defective", release=release)


def _denied(team: Team) -> Iterator[None]:
    release = _release(team)
    yield
    _does(team, f"/stage run {release}", "access.denied", DEVELOPER)


def _rehearsal(team: Team) -> Iterator[None]:
    """By way of a question; staging is restored for it, which takes the old snapshots away."""
    _restored_within(team, "1ms")
    _passed(team, "/stage check staging", "check")
    release = team.hands_off(_fresh(team.site, special=True))
    yield
    _passed(team, f"/stage run {release}", "rehearsal")


def _reuse(team: Team) -> Iterator[None]:
    _restored_within(team, "1h")
    _passed(team, "/stage check staging", "check")
    yield
    _passed(team, "/stage check staging", "check")


def _promotion(team: Team) -> Iterator[None]:
    release = _rehearsed(team)
    yield
    _passed(team, f"/promote {release}", "promotion")


def _abort(team: Team) -> Iterator[None]:
    go = team.site.folder / f"go-{len(team.site.book.read())}"
    waits = {"name": "Wait", "on": "web", "run": f"until [ -e {go} ]; do sleep 0.05; done"}
    release = team.hands_off(package(team.site, f"3.{len(team.site.book.read())}.0", [waits]))
    run = team.begins(f"/stage run {release}", "rehearsal")
    team.wait(lambda: team.site.book.of("step.started", run=run, name="Wait"), "the step that waits")
    yield
    _does(team, f"/stage abort {run} now", "run.aborting", run=run)
    assert team.sees_through(run)["verdict"] == "aborted"
    go.touch()


def _starting_over(team: Team) -> Iterator[None]:
    """A step of a rehearsal is ended with its host's processes while the bot is off: nobody knows what it did."""
    site = team.site
    release = team.hands_off(package(site, f"4.{len(site.book.read())}.0", [_once(site)]))
    run = team.begins(f"/stage run {release}", "rehearsal")
    team.wait(lambda: site.book.of("job.started", run=run), "its job")
    team.wait(lambda: (site.folder / f"began-{run}").exists(), "the command")
    site.kill()
    site.crash("staging-web")
    yield
    assert team.sees_through(run)["verdict"] == "passed"


def _once(site: Site) -> dict[str, Any]:
    """A step that hangs at its first execution, and only then."""
    began = f"{site.folder}/began-$QUARTERDECK_RUN"
    return {"name": "Hang", "on": "web", "once": True, "run": f"[ -e {began} ] || {{ >{began}; sleep 600; }}"}


def _refused_promotion(team: Team) -> Iterator[None]:
    release = _release(team)
    yield
    _does(team, f"/promote {release}", "promotion.refused", release=release)


def _schedule(team: Team) -> Iterator[None]:
    release = _rehearsed(team)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    yield
    _does(team, f"/promote {release} at {tomorrow:%Y-%m-%d} 22:00", "promotion.scheduled", release=release)
    _does(team, f"/promote abort {release}", "promotion.unscheduled", release=release)


def _lock(team: Team) -> Iterator[None]:
    team.see_to_it()
    reason = _reason(team)
    yield
    _does(team, f"/stage lock cloned {reason}", "environment.locked", reason=reason)
    _does(team, "/stage unlock cloned", "environment.unlocked", environment="cloned")


def _on_the_host(team: Team) -> Iterator[None]:
    team.see_to_it()
    reason = _reason(team)
    yield
    book = team.site.book
    team.asks(["lock", "cloned", reason], lambda: book.of("environment.locked", reason=reason))
    assert book.of("ctl.used")
    _does(team, "/stage unlock cloned", "environment.unlocked", environment="cloned")


def _freeze(team: Team) -> Iterator[None]:
    team.see_to_it()
    reason = _reason(team)
    yield
    _does(team, f"/promote freeze {reason}", "freeze.set", reason=reason)
    _does(team, "/promote unfreeze", "freeze.lifted", reason=reason)


def _approval(team: Team) -> Iterator[None]:
    release = _rehearsed(team)
    yield
    _does(team, f"/promote approve {release}", "approval.given", release=release)


def _attestation(team: Team) -> Iterator[None]:
    site = team.site
    team.see_to_it()
    site.order("PATCH", "/lab/machines/staging-web", {"passthrough": ["vmnic9"]})
    team.sees_through(team.begins("/stage check staging", "check"))  # errored, but where it was attested to before
    reason = _reason(team)
    yield
    _does(team, f"/stage attest staging {reason}", "isolation.attested", reason=reason)
    site.order("PATCH", "/lab/machines/staging-web", {"passthrough": []})


def _outside(team: Team) -> Iterator[None]:
    team.see_to_it()
    reason = _reason(team)
    yield
    _does(team, f"/promote outside cloned {reason}", "change.outside", reason=reason)
    _does(team, "/promote review cloned it was right", "review.given", subject="cloned")


def _waiver(team: Team) -> Iterator[None]:
    team.see_to_it()
    reason = _reason(team)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    yield
    _does(team, f"/stage waive staging disk until {tomorrow:%Y-%m-%d} {reason}", "waiver.given", reason=reason)


def _escape(team: Team) -> Iterator[None]:
    release = _rehearsed(team)
    _passed(team, f"/promote {release}", "promotion")
    yield
    (found,) = _does(team, f"/promote escape {release} it loses orders", "escape.recorded", release=release)
    name = found["data"]["escape"]
    _does(team, f"/promote accept {name} we can live with it", "escape.closed", escape=name)


def _clone(team: Team) -> Iterator[None]:
    team.see_to_it()
    yield
    _passed(team, "/stage check anew", "check")


ERRANDS: dict[str, Errand] = {
    "config.loaded": _new_configuration,
    "package.handed_off": _hand_off,
    "package.refused": _refused,
    "release.withdrawn": _withdrawal,
    "release.defective": _defect,
    "access.denied": _denied,
    "ctl.used": _on_the_host,
    "run.aborting": _abort,
    "run.restarted": _starting_over,
    "restore.reused": _reuse,
    "machine.replaced": _clone,
    "promotion.refused": _refused_promotion,
    "promotion.scheduled": _schedule,
    "promotion.unscheduled": _schedule,
    "watch.checked": _promotion,
    "approval.given": _approval,
    "isolation.attested": _attestation,
    "change.outside": _outside,
    "review.given": _outside,
    "waiver.given": _waiver,
    "escape.recorded": _escape,
    "escape.closed": _escape,
    "environment.locked": _lock,
    "environment.unlocked": _lock,
    "freeze.set": _freeze,
    "freeze.lifted": _freeze,
    **dict.fromkeys(
        (
            "run.started", "run.began", "step.started", "job.started", "step.finished", "run.paused", "run.decided",
            "run.finished",
            "snapshot.taken", "snapshot.removed", "restore.measured", "facts.collected", "isolation.judged",
            "message.posted",
        ),
        _rehearsal,
    ),
}  # fmt: skip
"""Each type of record, and the errand that brings it."""

OFTEN = {"step.started": 6, "job.started": 3, "step.finished": 6, "snapshot.taken": 2, "message.posted": 4}
"""Types of which an errand brings several: one of the first so many is drawn."""

WITHOUT = {
    **dict.fromkeys(
        (
            "approval.asked", "approval.refused", "check.assigned", "difference.disposed", "inspection.entered",
            "promotion.forced", "promotion.left", "report.asked",
        ),
        "one command's one record, as those of freeze.set and waiver.given are",
    ),
    **dict.fromkeys(
        ("difference.found", "escape.tried", "hand.seen", "hands.unknown", "waiver.used"),
        "written down by a step that looks first, as isolation.judged and facts.collected are",
    ),
    **dict.fromkeys(
        (
            "inspection.opened", "inspection.closed", "restore_test.missed", "restore_test.overdue", "review.reminded",
            "run.reminded",
            "week.over",
        ),
        "the clock's, which arms them again from the board",
    ),
}  # fmt: skip
"""Types that have no errand, and why they need none."""
