"""Decides the demo's other story: a day on which much goes wrong, and what Slack, hosts and ledger must show."""

from pathlib import Path

from bot.tales.story import ADMIN, DEVELOPER, Evening, Story

WATCH = ("watch: [1s, 2s, 3s]", "watch: [1s, 8s]")
"""Time enough between two marks for somebody to break prod by hand."""

UPGRADE = ("3.0.15", "3.2.1")

CHECK = """\
  - name: A company counts once, however it is written
    on: web
    run: |
      try=$(mktemp -d)
      cp crm/report.sh "$try/"
      printf 'name,company,since\\nAna,Acme,2019\\nBo,ACME ,2020\\n' >"$try/contacts.csv"
      sh "$try/report.sh"
      rm -r "$try"
    expect: {exit: 0, stdout: "of 1 companies$"}
    covers: [E-1]
"""
"""What the admins add to the test plan of crm, below `deep:`."""


def prepare(config: Path) -> None:
    text = config.read_text()
    assert WATCH[0] in text, "the lab's configuration has another watch"
    config.write_text(text.replace(*WATCH))


def handed_off(evening: Evening, archive: str) -> str:
    """Hands one of the sample packages off: the release's name."""
    before = len(evening.records("package.handed_off"))
    answer = evening.types(DEVELOPER, f"/handoff {evening.packages}/{archive}")
    found = evening.soon(lambda: evening.records("package.handed_off")[before:], f"{archive} was refused: {answer}")
    return str(found[0]["data"]["release"])


def refused(evening: Evening, release: str, *gates: str) -> str:
    """Types /promote: what is said, once the ledger has that it was refused for these gates and no other."""
    answer = evening.types(ADMIN, f"/promote {release}")
    shut = evening.records("promotion.refused", release=release)
    evening.must(shut and shut[-1]["data"]["gates"] == list(gates), f"{release}: not refused for {gates}: {answer}")
    evening.must(gates[0] in answer, f"the answer does not say why: {answer}")
    return answer


def rehearsed(evening: Evening, release: str) -> None:
    end = evening.finished(evening.started(ADMIN, f"/stage run {release}", "rehearsal"))
    evening.must(end["verdict"] == "passed" and end["clean"], f"{release} {end['verdict']}: {end['reason']}")


def broken_staging(evening: Evening) -> str:
    installed = evening.packages.parent / "vms/staging-web/disk/etc/packages"  # the machine is off as yet
    installed.write_text(installed.read_text().replace(*UPGRADE))
    release = handed_off(evening, "webshop-2.4.1.tar.gz")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    end = evening.finished(run)
    evening.must(end["verdict"] == "errored", f"run {run} {end['verdict']}: {end['reason']}")
    evening.must(not evening.records("step.started", run=run, phase="deploy"), "something was deployed")
    told = evening.told(run, "packages: staging web and prod web differ")
    evening.must("only on staging web: libssl3" in told.text, f"the thread does not say what differs: {told.text}")
    refused(evening, release, "not_rehearsed")
    reason, *_ = str(end["reason"]).splitlines()
    return f"{reason}; {release} is as unrehearsed as before"


def mended_staging(evening: Evening) -> str:
    evening.on_host("staging", "web", f"sed -i s/{UPGRADE[1]}/{UPGRADE[0]}/ etc/packages")
    run = evening.started(ADMIN, "/stage check staging", "check")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed", f"run {run} {end['verdict']}: {end['reason']}")
    return "staging is fit for a rehearsal again"


def skipped_through(evening: Evening) -> str:
    release = handed_off(evening, "crm-1.0.0-rc.1.zip")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    asked = evening.question(run)
    evening.must("it does not count" in asked.text, f"nobody is told what a skip costs: {asked.text}")
    evening.desk.presses(ADMIN, asked, "answer:skip")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed", f"run {run} {end['verdict']}: {end['reason']}")
    evening.must(not end["clean"], f"run {run} counts as clean")
    return refused(evening, release, "rehearsal_not_clean")


def watched(evening: Evening) -> str:
    release = handed_off(evening, "crm-1.0.0.zip")
    rehearsed(evening, release)
    run = evening.started(ADMIN, f"/promote {release}", "promotion")
    first = evening.soon(lambda: evening.records("watch.checked", run=run), "the watch does not begin")
    evening.must(first[0]["data"]["ok"], "the first mark failed already")
    evening.on_host("crm-prod", "web", "rm crm/contacts.csv")
    end = evening.finished(run)
    evening.must(end["verdict"] == "failed", f"run {run} {end['verdict']}: {end['reason']}")
    marks = [mark["data"]["ok"] for mark in evening.records("watch.checked", run=run)]
    evening.must(marks == [True, False], f"the watch said {marks}")
    evening.must(evening.on_host("crm-prod", "web", "cat crm/VERSION").strip() == "1.0.0", "prod has another version")
    return f"the mark after 8 s: {end['reason']}"


def rolled_back(evening: Evening) -> str:
    run = evening.started(ADMIN, "/promote rollback R-3", "rollback")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed", f"run {run} {end['verdict']}: {end['reason']}")
    version, report = evening.on_host("crm-prod", "web", "cat crm/VERSION; sh crm/report.sh").strip().split("\n")
    evening.must((version, report) == ("0.9.0", "2 contacts"), f"prod answers {version}: {report}")
    evening.told(run, "passed")
    return f"crm on prod is {version} again, and reports {report}"


def escaped(evening: Evening) -> str:
    answer = evening.types(ADMIN, "/promote escape R-3 a company that is written in two ways is counted twice")
    recorded = evening.records("escape.recorded", escape="E-1", release="R-3")
    evening.must(recorded and recorded[0]["by"] == ADMIN, f"nothing was recorded: {answer}")
    release = handed_off(evening, "crm-1.0.1.zip")
    refused(evening, release, "not_rehearsed", "escape_open")
    return f"E-1 is on the ledger, and {release} is refused: not_rehearsed, escape_open"


def paid_back(evening: Evening) -> str:
    plan = evening.packages.parent / "crm.tests.yaml"
    plan.write_text(plan.read_text() + CHECK)
    evening.restart()
    rehearsed(evening, "R-4")
    tried = [each["data"]["outcome"] for each in evening.records("escape.tried", escape="E-1", release="R-4")]
    evening.must(tried == ["ok"], f"the check of E-1 said {tried}")
    run = evening.started(ADMIN, "/promote R-4", "promotion")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed", f"run {run} {end['verdict']}: {end['reason']}")
    closed = evening.records("escape.closed", escape="E-1", how="check", release="R-4")
    evening.must(closed, "E-1 is not closed")
    version = evening.on_host("crm-prod", "web", "cat crm/VERSION").strip()
    evening.must(version == "1.0.1", f"prod has {version}")
    evening.told(run, "passed")
    return f"E-1 is closed: “{closed[0]['data']['check']}” passes on R-4, which is on prod"


BAD_DAY = Story(
    (
        ("Somebody has put another OpenSSL on staging: the rehearsal ends errored, with the diff", broken_staging),
        ("The admin takes it off, and types /stage check staging: fit again", mended_staging),
        ("A step of crm 1.0.0-rc.1 fails, the admin skips it: passed, and refused all the same", skipped_through),
        ("1.0.0 passes clean and is promoted; somebody deletes a file on prod: the second mark fails", watched),
        ("The admin types /promote rollback R-3: prod has the old version, and the file", rolled_back),
        ("A bug of 1.0.0 was seen meanwhile: /promote escape R-3. Now 1.0.1 is refused for want of a check", escaped),
        ("The test plan gets a check that names E-1; it passes, 1.0.1 is promoted, and E-1 is closed", paid_back),
    ),
    prepare,
)
