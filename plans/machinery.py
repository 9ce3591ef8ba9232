"""Decides what Quarterdeck's own steps do: revert, isolate, power on, snapshot, unpack, watch."""

import msgspec

from plans.actions import (
    Ask,
    At,
    AwaitHost,
    Disconnect,
    Note,
    Outcome,
    Power,
    ReadNetworks,
    Record,
    RemoveSnapshot,
    RevertTo,
    Shell,
    TakeSnapshot,
    Together,
    Upload,
)
from plans.events import IsolationJudged, RestoreReused, SnapshotRemoved, SnapshotTaken, WatchChecked
from plans.isolation import Isolation, Judgement, judge
from plans.networks import View
from plans.probes import judge_probes, probe
from plans.records import Attested
from plans.site import OK, Actions, Own, Site


class GoBack(Own, frozen=True):
    """The VM off, and back at our snapshot of it where there is one (host to reference)."""

    snapshots: dict[str, str]

    def actions(self, site: Site) -> Actions:
        reference = self.snapshots.get(site.host or "")
        if reference is None:
            yield Note("no snapshot of an earlier rehearsal: powered off as it is\n")
            return (yield Power(site.at, on=False))
        yield Note(f"back to snapshot {reference}\n")
        return (yield RevertTo(site.at, reference))


class ProveIsolation(Own, frozen=True):
    """Every VM's ways into every network judged, before anything is powered on and again before the deployment.

    `violated`: this run saw a violation already and was interrupted, perhaps before every way out was closed.
    """

    hosts: tuple[str, ...]
    isolation: Isolation
    attested: Attested | None = None
    violated: bool = False

    def actions(self, site: Site) -> Actions:
        views: dict[str, View | str] = {}
        for host in self.hosts:
            outcome = yield ReadNetworks(At(site.environment, host))
            if outcome.result == "aborted":
                return outcome
            views[host] = outcome.value if outcome.ok else outcome.reason
        judged = judge(views, self.isolation, self.attested)
        if self.violated and judged.verdict != "violated":
            why = "it was violated before Quarterdeck was interrupted (see isolation.judged on the ledger)"
            judged = msgspec.structs.replace(judged, verdict="violated", why=why, mend="", violators=self.hosts)
        return (yield from _settled(site, judged))


class ProbeIsolation(Own, frozen=True):
    """From inside every guest, by its shell: what must not be reached does not answer, and what must be does."""

    hosts: dict[str, str]
    isolation: Isolation
    attested: Attested | None = None

    def actions(self, site: Site) -> Actions:
        shells = [probe(At(site.environment, host), shell, self.isolation) for host, shell in self.hosts.items()]
        together = yield Together(tuple(shells))
        outcomes: dict[str, Outcome] = dict(zip(self.hosts, together.value, strict=True))
        for outcome in outcomes.values():
            if outcome.result == "aborted":
                return outcome
        return (yield from _settled(site, judge_probes(outcomes, self.isolation, self.attested)))


def _settled(site: Site, judged: Judgement) -> Actions:
    """The judgement written down, and the way out closed, where there is one, before anything else happens."""
    closed: list[str] = []
    if judged.violators:
        yield _judged(site, judged, judged.evidence)
    for host in judged.violators:
        outcome = yield Disconnect(At(site.environment, host))
        how = f"disconnected {', '.join(outcome.value)}" if outcome.ok else f"NOT DISCONNECTED: {outcome.reason}"
        closed.append(f"{host}: {how}")
    evidence = (*judged.evidence, *closed)
    yield Note("\n".join((*evidence, f"isolation: {judged.verdict}", "")))
    yield _judged(site, judged, evidence)
    if judged.verdict in ("proved", "attested"):
        return OK
    parts = [f"isolation is {judged.verdict}: {judged.why}", *closed, judged.mend]
    if judged.verdict == "unproved" and judged.doubts:
        parts.append(
            f"An admin who knows that it is cut off all the same types: /stage attest {site.environment} REASON"
        )
    return Outcome("errored", reason=". ".join(filter(None, parts)))


def _judged(site: Site, judged: Judgement, evidence: tuple[str, ...]) -> Record:
    return Record(IsolationJudged(run=site.run, verdict=judged.verdict, evidence=evidence, doubts=judged.doubts))


class PowerOn(Own, frozen=True):
    def actions(self, site: Site) -> Actions:
        return (yield Power(site.at, on=True))


class PowerOff(Own, frozen=True):
    """What nobody needs any more, off; where that does not work it is said, and spoils no verdict."""

    def actions(self, site: Site) -> Actions:
        outcome = yield Power(site.at, on=False)
        if outcome.ok or outcome.result == "aborted":
            return outcome
        return Outcome("skipped", reason=f"{site.at} is still on: {outcome.reason}")


class Answer(Own, frozen=True):
    """Wait until the host answers, `timeout` seconds at most."""

    timeout: float = 600.0

    def actions(self, site: Site) -> Actions:
        return (yield AwaitHost(site.at, self.timeout))


class KeepSnapshot(Own, frozen=True):
    """A snapshot of the VM that carries the run's token; ours from earlier runs (`older`) are removed after it.

    `recipe`: the digest of the steps that restored what it holds.
    """

    older: dict[str, tuple[str, ...]]
    recipe: str = ""

    def actions(self, site: Site) -> Actions:
        host = site.host or ""
        name = f"quarterdeck-{site.ledger}-run-{site.run}"
        taken = yield TakeSnapshot(site.at, name, f"{site.release} run {site.run} on {site.environment}".strip())
        if not taken.ok:
            return taken
        event = SnapshotTaken(run=site.run, host=host, environment=site.environment, snapshot=taken.value, name=name)
        yield Record(msgspec.structs.replace(event, recipe=self.recipe))
        return (yield from RemoveSnapshots(self.older).actions(site))


class RemoveSnapshots(Own, frozen=True):
    """Our snapshots of earlier runs removed, by host, and what changed since kept."""

    older: dict[str, tuple[str, ...]]

    def actions(self, site: Site) -> Actions:
        host = site.host or ""
        for reference in self.older.get(host, ()):
            removed = yield RemoveSnapshot(site.at, reference)
            if not removed.ok:
                return removed
            event = SnapshotRemoved(run=site.run, host=host, environment=site.environment, snapshot=reference)
            yield Record(event)
        return OK


class Reuse(Own, frozen=True):
    """Staging is as run `of` restored it at `restored`, because it was reverted to that: not restored again."""

    of: int
    restored: str

    def actions(self, site: Site) -> Actions:
        yield Note(f"reverted to what run {self.of} restored at {self.restored}\n")
        yield Record(RestoreReused(run=site.run, of=self.of, restored=self.restored))
        return OK


class Attest(Own, frozen=True):
    """A prod host that cannot be snapshotted: an admin says that it can be brought back."""

    def actions(self, site: Site) -> Actions:
        question = f"{site.environment} {site.host} has no snapshot. Can it be brought back as it is now?"
        answer = yield Ask(question, ("done", "failed"), "admins")
        if not answer.ok:
            return answer
        if answer.value == "done":
            return OK
        return Outcome("errored", reason=answer.reason or "an admin says that it could not be brought back")


class BroughtBack(Own, frozen=True):
    """A host that has no snapshot: an admin brings it back by hand, and says so."""

    def actions(self, site: Site) -> Actions:
        question = (
            f"{site.environment} {site.host} has no snapshot of before {site.release}. Bring it back by hand, by its "
            "backup say, and answer when it is as it was; the others wait, powered off."
        )
        answer = yield Ask(question, ("done", "failed"), "admins")
        if not answer.ok:
            return answer
        if answer.value == "done":
            return OK
        return Outcome("errored", reason=answer.reason or "an admin says that it could not be brought back")


class Unpack(Own, frozen=True):
    """The archive on the host, its digest checked there, unpacked into a fresh directory; `executable` made so.

    The package was read when it was handed off: where it does not unpack, the host is at fault.
    """

    executable: tuple[str, ...]

    def actions(self, site: Site) -> Actions:
        archive = f"{site.base}/{site.digest}{site.suffix}"
        sent = yield Upload(site.at, site.digest, archive)
        if not sent.ok:
            return sent
        command = site.language.unpack(archive, site.digest, site.package, self.executable)
        outcome = yield Shell(at=site.at, command=command, timeout=600)
        if outcome.result != "failed":
            return outcome
        lacking = f"nothing here can unpack a {site.suffix.removeprefix('.')}"
        why = {3: "the archive on the host is not what was handed off", 4: lacking}
        reason = why.get(outcome.exit or 0, f"the package could not be unpacked: {outcome.reason}")
        return msgspec.structs.replace(outcome, result="errored", reason=reason)


class BeginWatch(Own, frozen=True):
    """Prod is in use again: from here the run holds no lock."""

    def actions(self, site: Site) -> Actions:
        yield Note("the watch begins\n")
        return OK


class Mark(Own, frozen=True):
    """The end of one mark of the watch: what its checks said, written down."""

    mark: str

    def actions(self, site: Site) -> Actions:
        yield Record(WatchChecked(run=site.run, mark=self.mark, ok=site.group_ok, late=site.late))
        return OK


Machinery = (
    GoBack | ProveIsolation | ProbeIsolation | PowerOn | PowerOff | Answer | KeepSnapshot | RemoveSnapshots
    | Reuse | Attest | BroughtBack | Unpack | BeginWatch | Mark
)  # fmt: skip
