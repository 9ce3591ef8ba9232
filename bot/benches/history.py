"""Decides what years of deployments leave in a ledger: whole releases, rehearsed and promoted, and what was told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.ledger import Tail, chained, entry
from plans import events as e
from plans.board import apply
from plans.records import AnyDocument, Key

ADMIN, DEVELOPER, TESTER = "U02ADMIN", "U01DEV", "U03TESTER"
CHANNEL = "C01DEPLOYS"

Told = tuple[str, e.AnyEvent]
"""Who did it, and what it was."""

_STAGING, _PROD = ("web", "db"), ("web", "web/2", "db")
_WEB = ("web", "web/2")
_FIT = (
    ("power_on", "Go back to the last snapshot", _STAGING, False),
    ("power_on", "Prove isolation", ("",), False),
    ("power_on", "Power on", _STAGING, False),
    ("power_on", "Wait until it answers", _STAGING, False),
    ("power_on", "Probe from inside", ("",), False),
    ("restore", "Restore the orders", ("db",), True),
    ("restore", "Restore the images", ("web",), True),
    ("confirm", "Prove isolation", ("",), False),
    ("confirm", "Probe from inside", ("",), False),
    ("confirm", "The shop answers", ("web",), True),
    ("confirm", "Compare with prod", ("",), False),
    ("snapshot", "Shut down", _STAGING, False),
    ("snapshot", "Take a snapshot", _STAGING, False),
    ("snapshot", "Power on", _STAGING, False),
)
_PROTECT = (
    ("protect", "Write down prod's facts", ("",), False),
    ("protect", "Back up the orders", ("db",), True),
    ("protect", "Take a snapshot", _PROD, False),
)
_DEPLOY = ("Stop the shop", "Keep the present files", "Install the files", "Install the pages", "Start the shop")
_TESTS = ("The shop answers", "The list is there", "An order can be placed", "A mail is sent", "The search finds it")

Step = tuple[str, str, tuple[str, ...], bool]


def rehearsal() -> tuple[Step, ...]:
    return (*_FIT, *_deployed(("web",), _STAGING), *_tested(("web",)), ("test", "The list looks right", ("",), True))


def promotion() -> tuple[Step, ...]:
    marks = tuple(
        step
        for mark in ("10m", "30m", "45m")
        for step in (
            ("watch", "The shop answers", _WEB, True),
            ("watch", "Orders can be archived", ("db",), True),
            ("watch", f"Mark {mark}", ("",), False),
        )
    )
    return (*_PROTECT, *_deployed(_WEB, _PROD), *_tested(_WEB), ("watch", "Begin the watch", ("",), False), *marks)


def _deployed(web: tuple[str, ...], everywhere: tuple[str, ...]) -> tuple[Step, ...]:
    written = tuple(("deploy", name, web, True) for name in _DEPLOY)
    migrated = ("deploy", "Migrate the orders table", ("db",), True)
    return (("deploy", "Unpack the package", everywhere, False), *written, migrated)


def _tested(web: tuple[str, ...]) -> tuple[Step, ...]:
    return (*(("test", name, web, True) for name in _TESTS), ("test", "Orders can be archived", ("db",), True))


def lives() -> Iterator[Told]:
    """One release after the other, without end: two rehearsals, of which the first fails, and a promotion."""
    yield "quarterdeck", e.ConfigLoaded(digest="c" * 64, changed=())
    number = 0
    while True:
        number += 1
        yield DEVELOPER, handed_off(number)
        yield DEVELOPER, e.AccessDenied(command=f"/promote R-{number}", role="admins")
        first = 3 * number - 2
        yield from run(first, "rehearsal", number, rehearsal(), failing="Orders can be archived")
        yield from run(first + 1, "rehearsal", number, rehearsal())
        yield from run(first + 2, "promotion", number, promotion())


def handed_off(number: int) -> e.PackageHandedOff:
    version = f"2.{number // 10}.{number % 10}"
    return e.PackageHandedOff(
        release=f"R-{number}",
        app="webshop",
        version=version,
        digest=f"{number:064x}",
        bytes=3_312_000,
        source=f"upload: webshop-{version}.zip",
        summary="Order history",
        changes=tuple(
            f"SHOP-{number * 4 + n} Orders can be archived, and left out of the list (code)" for n in range(4)
        ),
    )


def run(number: int, kind: str, release: int, steps: tuple[Step, ...], failing: str = "") -> Iterator[Told]:
    """A run from its beginning to its end; with `failing` it ends when the check of that name has failed."""
    environment = "prod" if kind == "promotion" else "staging"
    hosts = _PROD if kind == "promotion" else _STAGING
    yield (
        ADMIN,
        e.RunStarted(
            run=number,
            kind=kind,
            release=f"R-{release}",
            environment=environment,
            plans="a" * 64,
            app="webshop",
            machines=tuple(f"98f8ce82-3cad-5f6a-b973-09a033ada2f0/{environment}-{host}" for host in hosts),
            total=len(steps),
        ),
    )
    for place, step in enumerate(steps, 1):
        _, name, there, _ = step
        outcome = "failed" if name == failing else "ok"
        for host in there:
            yield "quarterdeck", _started(number, place, step, host)
        if name == "The list looks right":
            why = "Open the list of orders and look whether the archived ones are gone."
            yield "quarterdeck", e.RunPaused(run=number, step=place, why=why, question=1, choices=("pass", "fail"))
            yield TESTER, e.RunDecided(run=number, step=place, choice="pass", note="looked at three of them")
        for host in there:
            yield from _done(number, environment, name, host)
            yield "quarterdeck", _finished(number, place, host, outcome)
        if outcome == "failed":
            break
    verdict, reason = ("failed", f"“{failing}” failed on db: exit 1, wanted 0") if failing else ("passed", "")
    yield "quarterdeck", e.RunFinished(run=number, verdict=verdict, clean=True, reason=reason)


def _started(number: int, place: int, step: Step, host: str) -> e.StepStarted:
    phase, name, there, written = step
    return e.StepStarted(
        run=number,
        phase=phase,
        step=place,
        name=name,
        host=host or None,
        attempt=1,
        written=written,
        of=len(there),
    )


def _finished(number: int, place: int, host: str, outcome: str) -> e.StepFinished:
    log = f"logs/run-{number}/{place:02}-{host.replace('/', '-') or 'run'}-1.log"
    return e.StepFinished(
        run=number,
        step=place,
        host=host or None,
        attempt=1,
        outcome=outcome,
        exit={"ok": 0}.get(outcome, 1),
        seconds=0.25 * place,
        log=log,
        reason="" if outcome == "ok" else "exit 1, wanted 0",
    )


def _done(number: int, environment: str, name: str, host: str) -> Iterator[Told]:
    """What else a step leaves on the ledger while it goes on."""
    by = "quarterdeck"
    if name == "Prove isolation":
        nic = "Network adapter 1 is on isolated-staging (connected: no, at power-on: yes)"
        switch = "isolated-staging: it is on vSwitch2 on esxi-1.lab, which has no physical NIC"
        yield by, e.IsolationJudged(run=number, verdict="proved", evidence=(f"web: {nic}", f"db: {nic}", switch))
    elif name.startswith("Restore the"):
        yield by, e.RestoreMeasured(run=number, host=host, artifact_age_seconds=3600.0, seconds=212.0, name=name)
    elif name in ("Compare with prod", "Write down prod's facts"):
        facts = {"schema db": "b" * 64, "packages web": "c" * 64}
        yield by, e.FactsCollected(run=number, environment=environment, digests=facts, log=f"logs/run-{number}/f.log")
    elif name == "Take a snapshot":
        gone = e.SnapshotRemoved(
            run=number, host=host, snapshot=f"snapshot-{host}-{number - 3}", environment=environment
        )
        if number > 3:
            yield by, gone
        kept = f"snapshot-{host}-{number}"
        yield by, e.SnapshotTaken(run=number, host=host, snapshot=kept, environment=environment, name=kept)
    elif name.startswith("Mark "):
        yield by, e.WatchChecked(run=number, mark=name.removeprefix("Mark "), ok=True)


def write_history(path: Path, count: int) -> Tail:
    """Writes that many records as the file of a ledger, each message posted as soon as it is called for."""
    documents: dict[Key, AnyDocument] = {}
    tail, now = Tail(), datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    coming = lives()
    outbox: list[Told] = []
    with path.open("wb") as file:
        while tail.seq < count:
            by, event = outbox.pop(0) if outbox else next(coming)
            now += timedelta(seconds=7)
            record, line = chained(tail, by, event, now)
            file.write(line)
            tail = Tail(record["seq"], record["hash"], tail.offset + len(line))
            for key, document in apply(documents, entry(record)).items():
                if document is None:
                    documents.pop(key, None)
                    continue
                documents[key] = document
                if key[0] == "outbox":
                    outbox.append(
                        ("quarterdeck", e.MessagePosted(key=key[1], channel=CHANNEL, ts=f"{now.timestamp()}"))
                    )
    return tail
