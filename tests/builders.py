"""Builds what the tests of the core start from: the contract's example, plans, and boards folded from events."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plans import events as e
from plans.actions import Action, Outcome
from plans.board import apply
from plans.documents import load
from plans.engine import Ask, Finish, Move, Perform, next_move
from plans.environment import App, Environment, Policy
from plans.package import Manifest
from plans.phases import Material, Plan, Planned, Subject
from plans.records import AnyDocument, Due, EnvironmentState, Key, Release, Run
from plans.site import Site
from plans.steps import Run as Command
from plans.testplan import TestPlan

NOW = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
DIGEST = "d" * 64

SSH = "ssh: {host: 127.0.0.1, user: deploy, key_file: key, known_hosts: known}"

STAGING = f"""
hosts:
  web: {{vcenter: main, vm: staging-web, {SSH}}}
  db: {{vcenter: main, vm: staging-db, {SSH}}}
isolation: {{networks: [isolated-staging]}}
restore:
  - {{name: Restore the orders, on: db, run: /opt/restore-latest.sh, timeout: 30m}}
"""

PROD = f"""
hosts:
  web:
    - {{vcenter: main, vm: prod-web-1, {SSH}}}
    - {{vcenter: main, vm: prod-web-2, {SSH}}}
  db: {{{SSH}}}
backup:
  - {{name: Back up the orders, on: db, run: /opt/backup-now.sh}}
"""

APP = """
tests: webshop.tests.yaml
staging: staging
prod: prod
health: [{name: The shop is up, on: web, http: {url: "http://127.0.0.1:8080/health"}}]
facts:
  - {name: schema, on: db, run: sqlite3 shop.db .schema}
  - {name: packages, on: web, run: dpkg-query -W, ignore: ["^linux-image"], change: warn}
"""

TESTS = """
app: webshop
critical:
  - {name: The shop answers, on: web, http: {url: "http://127.0.0.1:8080/health", contains: ok}, before: true}
  - {name: Orders can be archived, on: db, run: sqlite3 shop.db .schema, expect: {stdout: archived}, prod: safe}
deep:
  - {name: Buy one item as a guest, manual: Buy one item., by: testers}
"""

PACKAGE = """
app: webshop
version: 2.4.1
summary: Order history
changes:
  - {id: SHOP-101, kind: database, summary: Orders get an archived flag, paths: [scripts/]}
deploy:
  - {name: Stop the shop, on: web, run: ./shopctl stop}
  - {name: Migrate the orders table, on: db, once: true, script: scripts/001-archived.sh, args: ["--fast"]}
  - {name: Install the files, on: web, serial: 1, copy: {from: files/app/, to: /srv/webshop/}}
  - {name: Tell the call centre, manual: Phone the call centre and wait for their go.}
rollback:
  - {name: Take the flag away, on: db, script: scripts/undo.sh}
"""


def staging(text: str = STAGING) -> Environment:
    return load(text.encode(), Environment, "staging")


def prod(text: str = PROD) -> Environment:
    return load(text.encode(), Environment, "prod")


def load_app(text: str = APP) -> App:
    return load(text.encode(), App, "app")


def material(where: str = "staging", **changes: Any) -> Material:
    """The contract's example: webshop 2.4.1, in run 7, on its staging or its prod."""
    found = {
        "run": 7,
        "at": NOW.isoformat(),
        "environment": where,
        "target": staging() if where == "staging" else prod(),
        "state": EnvironmentState(name=where),
        "subjects": (Subject("webshop", load_app(), load(TESTS.encode(), TestPlan, "tests"), prod()),),
        "policy": Policy(),
        "manifest": load(PACKAGE.encode(), Manifest, "handoff.yaml"),
        "executable": ("scripts/001-archived.sh", "scripts/undo.sh"),
    }
    return Material(**(found | changes))


def site(**changes: Any) -> Site:
    found = {
        "run": 7,
        "environment": "staging",
        "host": "web",
        "base": "/var/tmp/quarterdeck/abc",
        "ledger": "abc",
        "log": "logs/run-7/01-web-1.log",
        "release": "R-1",
        "version": "2.4.1",
        "digest": DIGEST,
        "suffix": ".tar.gz",
    }
    return Site(**(found | changes))


def drive(step: Any, where: Site, *answers: Outcome | Callable[[Action], Outcome]) -> tuple[list[Action], Outcome]:
    """What a step asks of the world, and how it ends, when these are the world's answers in turn."""
    steps: Iterator[Any] = step.actions(where)
    asked, left = [], list(answers)
    try:
        action = next(steps)
        while True:
            asked.append(action)
            answer = left.pop(0) if left else Outcome("ok", exit=0)
            action = steps.send(answer if isinstance(answer, Outcome) else answer(action))  # type: ignore[attr-defined]
    except StopIteration as end:
        return asked, end.value


def planned(number: int, phase: str = "deploy", *hosts: str, **changes: Any) -> Planned:
    """A step of a plan: written, on `web` where no host is named."""
    found = {"name": f"Step {number}", "step": Command(name=f"Step {number}", on="web", run="true"), "written": True}
    return Planned(number=number, phase=phase, hosts=hosts or ("web",), **(found | changes))


def plan(*steps: Planned, kind: str = "rehearsal") -> Plan:
    return Plan(kind, steps)


class Story:
    """A ledger in memory: every event is folded as it is told, a second after the one before."""

    def __init__(self) -> None:
        self.entries: list[e.Entry] = []
        self.documents: dict[Key, AnyDocument] = {}
        self.now = NOW

    def tell(self, *told: e.AnyEvent, by: str = "quarterdeck") -> "Story":
        for event in told:
            self.now += timedelta(seconds=1)
            seq = len(self.entries) + 1
            at = self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            entry = e.Entry(seq=seq, at=at, by=by, event=event, prev="", hash="")
            self.entries.append(entry)
            fold(self.documents, entry)
        return self

    def begin(self, kind: str = "rehearsal", *, number: int = 1, environment: str = "staging") -> "Story":
        """R-1 handed off, and a run of it started."""
        if ("releases", "R-1") not in self.documents:
            self.tell(handed_off(), by="U01DEV")
        return self.tell(started(number, kind, environment=environment), by="U02ADMIN")

    def run(self, number: int = 1) -> Run:
        found = self.documents["runs", str(number)]
        assert isinstance(found, Run)
        return found

    def release(self, name: str = "R-1") -> Release:
        found = self.documents["releases", name]
        assert isinstance(found, Release)
        return found

    def environment(self, name: str = "staging") -> EnvironmentState:
        found = self.documents["environments", name]
        assert isinstance(found, EnvironmentState)
        return found

    @property
    def outbox(self) -> list[str]:
        """What the channel is to be told, in order."""
        return [document.key for document in self.documents.values() if isinstance(document, Due)]

    def move(self, of: Plan, number: int = 1) -> Move:
        return next_move(self.run(number), of, self.now)

    def step(self, of: Plan, outcome: str | dict[str, str] = "ok", number: int = 1, **more: Any) -> "Story":
        """The next step, begun and ended: with this outcome on every host, or on those that are named."""
        move = self.move(of, number)
        assert isinstance(move, Perform), move
        self.start(move, number)
        for place in move.places:
            result = outcome if isinstance(outcome, str) else outcome.get(place.host, "ok")
            self.tell(finished(number, move.step.number, place.host, place.attempt, result, **more))
        return self

    def start(self, move: Perform, number: int = 1) -> "Story":
        for place in move.places:
            if not place.resume:
                self.tell(begun(number, move.step, place.host, place.attempt))
        return self

    def ask(self, of: Plan, number: int = 1) -> "Story":
        """The question that the engine now asks, written down."""
        move = self.move(of, number)
        assert isinstance(move, Ask), move
        return self.tell(paused(number, move.step.number, len(self.run(number).questions) + 1, move.choices))

    def answer(self, choice: str, number: int = 1, note: str = "") -> "Story":
        question = self.run(number).question
        assert question is not None
        return self.tell(e.RunDecided(run=number, step=question.step, choice=choice, note=note), by="U02ADMIN")

    def finish(self, of: Plan, number: int = 1) -> "Story":
        move = self.move(of, number)
        assert isinstance(move, Finish), move
        return self.end(move.verdict, number)

    def end(self, verdict: str, number: int = 1) -> "Story":
        run = self.run(number)
        return self.tell(e.RunFinished(run=number, verdict=verdict, clean=run.clean, reason=""))


def fold(documents: dict[Key, AnyDocument], entry: e.Entry) -> None:
    for key, document in apply(documents, entry).items():
        if document is None:
            documents.pop(key, None)
        else:
            documents[key] = document


def handed_off(release: str = "R-1", version: str = "2.4.1") -> e.PackageHandedOff:
    return e.PackageHandedOff(
        release=release, app="webshop", version=version, digest=DIGEST, bytes=1000, source="/srv/drops/webshop.zip"
    )


def started(run: int, kind: str, *, environment: str = "staging", release: str | None = "R-1") -> e.RunStarted:
    return e.RunStarted(run=run, kind=kind, release=release, environment=environment, plans="p", app="webshop")


def begun(run: int, step: Planned, host: str, attempt: int) -> e.StepStarted:
    return e.StepStarted(
        run=run,
        phase=step.phase,
        step=step.number,
        name=step.name,
        host=host or None,
        attempt=attempt,
        written=step.written,
        of=len(step.hosts),
    )


def finished(run: int, step: int, host: str, attempt: int, outcome: str, **more: Any) -> e.StepFinished:
    codes = {"ok": 0, "failed": 1}
    found = {"exit": codes.get(outcome), "seconds": 1.0, "log": f"logs/run-{run}/{step:02}-{host}-{attempt}.log"}
    return e.StepFinished(run=run, step=step, host=host or None, attempt=attempt, outcome=outcome, **(found | more))


def paused(run: int, step: int, question: int, choices: tuple[str, ...], role: str = "admins") -> e.RunPaused:
    return e.RunPaused(run=run, step=step, why="It needs you.", question=question, choices=choices, role=role)


def shell(
    command: str, home: Path, path: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A command as a host runs it: by this machine's own /bin/sh, from the login directory."""
    env = {"PATH": path or os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=cwd or home, env=env, capture_output=True, text=True, timeout=60
    )


PLAIN = ("sha256sum", "rm", "mkdir", "mv", "chmod", "cp", "tar", "gzip", "mktemp", "head", "sed", "cat")


def only(folder: Path, *tools: str) -> str:
    """A PATH with the plainest tools and these alone. A test of a tool that this machine lacks is skipped."""
    binaries = folder / "only"
    binaries.mkdir()
    for tool in (*PLAIN, *tools):
        found = os.path.realpath(sys.executable) if tool == "python3" else shutil.which(tool)
        if found is None:
            pytest.skip(f"there is no {tool} here")
        (binaries / tool).symlink_to(found)
    return str(binaries)
