"""Decides what brings each type of record onto the ledger: an errand of the people's, for a bot that dies of it."""

from collections.abc import Iterator
from typing import Any

from faults import errands_of_rules, errands_of_the_clock, scenes
from faults.harness import Site
from faults.means import (
    Errand,
    configured,
    does,
    fresh,
    passed,
    reason,
    rehearsed,
    released,
    ruled,
    tomorrow,
    usual,
    waiting,
)
from faults.people import DEVELOPER, Team

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


def _new_configuration(team: Team) -> Iterator[None]:
    before = len(team.site.book.of("config.loaded"))
    ruled(team, inspection=f"{before + 10}m")
    yield
    team.wait(lambda: team.site.book.of("config.loaded")[before:], "the new configuration")
    assert len(team.site.book.of("config.loaded")) == before + 1


def _hand_off(team: Team) -> Iterator[None]:
    archive = fresh(team.site)
    yield
    team.hands_off(archive)


def _refused(team: Team) -> Iterator[None]:
    team.see_to_it()
    source = team.site.folder / "packages" / "nothing.zip"
    source.write_text("no archive")
    yield
    does(team, f"/handoff {source}", "package.refused", DEVELOPER)


def _withdrawal(team: Team) -> Iterator[None]:
    release = released(team)
    yield
    does(team, f"/handoff withdraw {release} too soon", "release.withdrawn", DEVELOPER, release=release)


def _defect(team: Team) -> Iterator[None]:
    release = released(team)
    yield
    does(team, f"/promote defective {release} loses orders", "release.defective", release=release)


def _denied(team: Team) -> Iterator[None]:
    release = released(team)
    yield
    does(team, f"/stage run {release}", "access.denied", DEVELOPER)


def _restored_within(team: Team, age: str) -> None:
    configured(team, lambda config: config["environments"]["staging"].update(restore_max_age=age))


def _rehearsal(team: Team) -> Iterator[None]:
    """By way of a question; staging is restored for it, which takes the old snapshots away."""
    _restored_within(team, "1ms")
    passed(team, "/stage check staging", "check")
    stop, *others = usual(team.site)
    release = released(team, stop, {"name": scenes.LOOK, "manual": "Look whether it is well."}, *others)
    yield
    passed(team, f"/stage run {release}", "rehearsal")


def _reuse(team: Team) -> Iterator[None]:
    _restored_within(team, "1h")
    passed(team, "/stage check staging", "check")
    yield
    passed(team, "/stage check staging", "check")


def _promotion(team: Team) -> Iterator[None]:
    release = rehearsed(team)
    yield
    passed(team, f"/promote {release}", "promotion")


def _abort(team: Team) -> Iterator[None]:
    wait, go = waiting(team.site)
    release = released(team, wait)
    run = team.begins(f"/stage run {release}", "rehearsal")
    team.wait(lambda: team.site.book.of("step.started", run=run, name="Wait"), "the step that waits")
    yield
    does(team, f"/stage abort {run} now", "run.aborting", run=run)
    assert team.sees_through(run)["verdict"] == "aborted"
    go.touch()


def _starting_over(team: Team) -> Iterator[None]:
    """A step of a rehearsal is ended with its host's processes while the bot is off: nobody knows what it did."""
    site = team.site
    release = released(team, _once(site))
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
    release = released(team)
    yield
    does(team, f"/promote {release}", "promotion.refused", release=release)


def _schedule(team: Team) -> Iterator[None]:
    release = rehearsed(team)
    yield
    does(team, f"/promote {release} at {tomorrow(team.site)} 22:00", "promotion.scheduled", release=release)
    does(team, f"/promote abort {release}", "promotion.unscheduled", release=release)


def _lock(team: Team) -> Iterator[None]:
    team.see_to_it()
    why = reason(team)
    yield
    does(team, f"/stage lock cloned {why}", "environment.locked", reason=why)
    does(team, "/stage unlock cloned", "environment.unlocked", environment="cloned")


def _on_the_host(team: Team) -> Iterator[None]:
    team.see_to_it()
    why = reason(team)
    book = team.site.book
    before = len(book.of("ctl.used"))
    yield
    team.asks(["lock", "cloned", why], lambda: book.of("environment.locked", reason=why))
    assert book.of("ctl.used")[before:]
    does(team, "/stage unlock cloned", "environment.unlocked", environment="cloned")


def _freeze(team: Team) -> Iterator[None]:
    team.see_to_it()
    why = reason(team)
    yield
    does(team, f"/promote freeze {why}", "freeze.set", reason=why)
    does(team, "/promote unfreeze", "freeze.lifted", reason=why)


def _attestation(team: Team) -> Iterator[None]:
    site = team.site
    team.see_to_it()
    site.order("PATCH", "/lab/machines/staging-web", {"passthrough": ["vmnic9"]})
    team.sees_through(team.begins("/stage check staging", "check"))  # errored, but where it was attested to before
    why = reason(team)
    yield
    does(team, f"/stage attest staging {why}", "isolation.attested", reason=why)
    site.order("PATCH", "/lab/machines/staging-web", {"passthrough": []})


def _clone(team: Team) -> Iterator[None]:
    team.see_to_it()
    yield
    passed(team, "/stage check anew", "check")


ERRANDS: dict[str, Errand] = {
    **errands_of_rules.ERRANDS,
    **errands_of_the_clock.ERRANDS,
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
    "isolation.attested": _attestation,
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

OFTEN = {
    "step.started": 6, "job.started": 3, "step.finished": 6, "snapshot.taken": 2, "message.posted": 4,
    "difference.found": 2, "difference.disposed": 2, "escape.tried": 2, "hand.seen": 2, "hands.unknown": 2,
    "waiver.used": 2,
}  # fmt: skip
"""Types of which an errand brings several: one of the first so many is drawn."""

AGED = errands_of_the_clock.AGED
"""Types that want a lab of their own, and what its ledger has from long ago."""
