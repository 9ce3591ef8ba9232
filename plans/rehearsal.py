"""Decides what a rehearsal, a check and a reset of staging are made of."""

import hashlib
from collections.abc import Collection
from datetime import datetime

import msgspec

from plans import stand_ins
from plans.actions import At
from plans.checks import ManualCheck, once_each
from plans.comparing import CompareFacts, CompareSince, SeekForgotten
from plans.environment import Environment
from plans.errors import Refusal
from plans.facts import Fact
from plans.hands import LookForHands
from plans.inspections import TakeKeysOff
from plans.isolation import Isolation
from plans.machinery import (
    Answer,
    GoBack,
    KeepSnapshot,
    PowerOn,
    ProbeIsolation,
    ProveIsolation,
    RemoveSnapshots,
    Reuse,
)
from plans.package import Manifest
from plans.phases import Draft, Given, Material, Plan, Subject, on, role, with_vm
from plans.quantities import seconds, spell
from plans.records import Kept
from plans.restoring import MakeAnew, RestoreClone
from plans.seeking import SearchChanged
from plans.steps import Copy


def rehearsal(material: Material) -> Plan:
    """All six phases, on staging, from prod's restored data to the deep tests; and the way back."""
    draft = Draft("rehearsal", material.target)
    earlier = _earlier(material)
    if earlier is None:
        _fit(draft, material)
        _keep(draft, "snapshot", material, anew=bool(material.target.restore))
    else:
        changed = _fit_again(draft, material, earlier, "snapshot")
        with draft.given(msgspec.structs.replace(changed, skipped=False)):
            _keep(draft, "snapshot", material, anew=False)
    if material.manifest is None:
        raise Refusal("no_package", "A rehearsal needs a release.", "Name one: /stage run R-1")
    draft.maintenance_begins("deploy")
    touched = draft.package("deploy", material.manifest.deploy, material.executable)
    for subject in material.subjects:
        _seek_forgotten(draft, material, subject, tuple(dict.fromkeys(c.kind for c in material.manifest.changes)))
        _search(draft, material, material.manifest, touched)
        draft.health("test", subject.app.health)
        draft.checks("test", "critical", subject.tests.critical)
        draft.checks("test", "deep", subject.tests.deep)
    draft.own("test", "Look for other hands on staging", LookForHands(), material.target.named())
    _undo(draft, material)
    stand_ins.stop(draft)
    draft.maintenance_ends()
    return draft.plan()


def _undo(draft: Draft, material: Material) -> None:
    """The way back is rehearsed, too: the package's rollback, and then all is as it was before the deployment."""
    if material.manifest is None or not material.manifest.rollback or not material.policy.rehearse_rollback:
        return
    draft.package("undo", material.manifest.rollback, material.executable)
    for subject in material.subjects:
        if facts := tuple((fact, host) for fact, host, _ in pairs(subject.app.facts, material.target, None)):
            before = CompareSince(facts=facts, app=subject.name, run=material.run, phase="confirm", kind="undo")
            draft.own("undo", "Compare with before the deployment", before)
        unattended = (c for c in subject.tests.checks() if c.before and not isinstance(c, ManualCheck))
        draft.health("undo", once_each((*subject.app.health, *unattended)), written=False)


def _seek_forgotten(draft: Draft, material: Material, subject: Subject, listed: tuple[str, ...]) -> None:
    """What QA has and the package does not bring, and what it changes that it does not list."""
    if facts := pairs(subject.app.facts, material.target, subject.qa):
        step = SeekForgotten(pairs=facts, qa=subject.app.qa, app=subject.name, listed=listed)
        draft.own("test", "Look for a forgotten change", step)


def _search(draft: Draft, material: Material, manifest: Manifest, hosts: tuple[str, ...]) -> None:
    """What the deployment left in the login directory, and where it copied files to."""
    targets = (step.copy.to for step in manifest.deploy if isinstance(step, Copy))
    paths = tuple(dict.fromkeys((".", *targets)))
    step = SearchChanged(paths=paths, forbidden=material.forbidden)
    draft.own("test", "Search what was changed for forbidden content", step, hosts)


def check(material: Material, kind: str = "check") -> Plan:
    """Phases 1 to 3 alone: is staging fit for a rehearsal? What it restored is kept for one; a restore test restores.

    Where nothing restores, the snapshot of the last rehearsal stays as it is.
    """
    draft = Draft(kind, material.target)
    earlier = None if kind == "restore_test" else _earlier(material)
    if earlier is not None:
        _fit_again(draft, material, earlier, "confirm")
    else:
        _fit(draft, material)
        if material.target.restore:
            _keep(draft, "confirm", material, anew=True)
    stand_ins.stop(draft)
    return draft.plan()


def reset(material: Material) -> Plan:
    """Every VM back to the last rehearsal's snapshot; refused with `no_snapshot` where a VM has none."""
    older = material.older()
    lacking = [host for host in with_vm(material.target) if not older.get(host)]
    if lacking:
        raise Refusal(
            "no_snapshot",
            f"{material.environment} has no rehearsal's snapshot to go back to: {', '.join(lacking)}.",
            "A rehearsal takes one: /stage run R-1",
        )
    draft = Draft("reset", material.target)
    _power_on(draft, material)
    return draft.plan()


def _fit(draft: Draft, material: Material) -> None:
    anew = _made_anew(material.target)
    _power_on(draft, material, anew)
    stand_ins.start(draft, "power_on", material.target.named().keys() - anew)
    _restore(draft, material)
    _confirm(draft, material)


def _fit_again(draft: Draft, material: Material, earlier: Kept, phase: str) -> Given:
    """Phases 1 to 3 on an earlier restore; and, for the case that is returned, anew from there with a snapshot.

    A prod that has changed since is seen when staging is compared with it.
    """
    _power_on(draft, material)
    stand_ins.start(draft, "power_on", material.target.named())
    when = "by this run" if earlier.run == material.run else f"{spell(_age(material, earlier))} ago"
    reuse = Reuse(of=earlier.restored_by, restored=earlier.restored)
    draft.own("restore", f"Restored {when}: reverted to, not restored again", reuse)
    changed = Given(_confirm(draft, material, reused=True))
    if changed.steps:
        with draft.given(changed):
            _restore(draft, material)
            _confirm(draft, material)
            _keep(draft, phase, material, anew=True)
    return changed


def _earlier(material: Material) -> Kept | None:
    """What the snapshots hold that staging goes back to, where that spares a restore: every VM as one restore left it,
    by the steps that would restore it now, and not older than `restore_max_age`.
    """
    latest = [kept[-1] if (kept := material.kept().get(host)) else None for host in with_vm(material.target)]
    first = latest[0] if latest else None
    if first is None or not first.restored or any(k is None or k.restored != first.restored for k in latest):
        return None
    young = _age(material, first) < seconds(material.target.restore_max_age)
    return first if young and first.recipe == _recipe(material.target) else None


def _age(material: Material, kept: Kept) -> float:
    """Seconds since its restore when the run began; a clock may have been put back since."""
    since = datetime.fromisoformat(material.at) - datetime.fromisoformat(kept.restored)
    return max(0.0, since.total_seconds())


def _recipe(target: Environment) -> str:
    """SHA-256 in hex of what restores an environment."""
    return hashlib.sha256(msgspec.json.encode(target.restore)).hexdigest()


def _restore(draft: Draft, material: Material) -> None:
    """The old snapshots go before the restore fills what hangs on them; those of a VM that is made anew go with it.

    Once the last clone answers, everything is tried from inside, before anything else is done with prod's data.
    """
    if material.target.restore:
        older, anew = material.older(), _made_anew(material.target)
        having = [host for host in with_vm(material.target) if older.get(host) and host not in anew]
        draft.own("restore", "Remove the old snapshot", RemoveSnapshots(older=older), having)
    clones = [step for step in material.target.restore if isinstance(step, RestoreClone)]
    for step in material.target.restore:
        if isinstance(step, RestoreClone):
            draft.clone("restore", step, _anew(material, step))
            if step is clones[-1]:
                _probe(draft, "restore", material, tuple(material.target.named()))
        else:
            draft.admins("restore", (step,))
    stand_ins.start(draft, "restore", _made_anew(material.target))


def _made_anew(target: Environment) -> frozenset[str]:
    """The hosts whose VMs a restore replaces: the present ones need not even be powered on for it."""
    return frozenset(host for step in target.restore if isinstance(step, RestoreClone) for host in on(target, step))


def _anew(material: Material, step: RestoreClone) -> MakeAnew:
    """`from` is a role or a host of an app's prod, the first host's for the first and so on, or else a VM's name."""
    named, hosts = step.clone.from_, on(material.target, step)
    sources: dict[str, At | str] = dict.fromkeys(hosts, named)
    for subject in material.subjects:
        if named in subject.prod.named():
            theirs = role(subject.prod, named) if named in subject.prod.hosts else (named,)
            sources = {host: At(subject.app.prod, theirs[i if i < len(theirs) else 0]) for i, host in enumerate(hosts)}
            break
    return MakeAnew(
        name=step.name,
        sources=sources,
        snapshot=step.clone.snapshot,
        timeout=step.timeout,
        isolation=_isolation(material),
        attested=material.attested,
        older=material.older(),
        restarts=material.restarts,
    )


def _confirm(draft: Draft, material: Material, *, reused: bool = False) -> tuple[int, ...]:
    """The numbers of the steps that compare staging with prod."""
    _prove(draft, "confirm", material)
    _probe(draft, "confirm", material, tuple(material.target.named()))
    compared = []
    for subject in material.subjects:
        before = (c for c in subject.tests.checks() if c.before)
        draft.health("confirm", once_each((*subject.app.health, *before)))
        if facts := pairs(subject.app.facts, material.target, subject.prod):
            compare = CompareFacts(
                pairs=facts, there=subject.app.prod, app=subject.name, reused=reused, waived=material.waived
            )
            draft.own("confirm", "Compare with prod", compare)
            compared.append(draft.steps[-1].number)
    return tuple(compared)


def _keep(draft: Draft, phase: str, material: Material, *, anew: bool) -> None:
    """A snapshot of every VM as it was restored; `anew`: in this run, so that the older ones are gone already.

    One that the run took before it started over stays, and is found to be there.
    """
    kept = {} if anew else material.kept()
    older = {host: tuple(k.reference for k in each if k.run < material.run) for host, each in kept.items()}
    step = KeepSnapshot(older=older, recipe=_recipe(material.target) if material.target.restore else "")
    draft.own(phase, "Take a snapshot", step, with_vm(material.target))


def _power_on(draft: Draft, material: Material, replaced: Collection[str] = ()) -> None:
    """`replaced`: hosts that stay off, because a clone takes their place before anybody needs them."""
    hosts = with_vm(material.target)
    latest = {host: references[-1] for host, references in material.older().items() if references}
    draft.own("power_on", "Go back to the last snapshot", GoBack(snapshots=latest), hosts)
    _prove(draft, "power_on", material)
    stand_ins.power_on(draft)
    _probe(draft, "power_on", material, stand_ins.inside(material.target), controlled=False)
    wanted = [host for host in hosts if host not in replaced]
    draft.own("power_on", "Power on", PowerOn(), wanted)
    answering = [host for host in material.target.named() if host not in replaced]
    draft.own("power_on", "Wait until it answers", Answer(), answering)
    if (inspection := material.target.inspection) is not None:
        named = material.target.named()
        step, where = TakeKeysOff(user=inspection.ssh.user), [host for host in answering if named[host].lets_in]
        draft.own("power_on", "Take the keys of an inspection off", step, where)
    # What must be reached may be off still; in confirm everything is tried.
    _probe(draft, "power_on", material, answering, controlled=not replaced)


def _prove(draft: Draft, phase: str, material: Material) -> None:
    hosts = (*with_vm(material.target), *(one.name for one in material.target.infrastructure))
    isolation = _isolation(material)
    step = ProveIsolation(hosts=hosts, isolation=isolation, attested=material.attested, violated=material.violated)
    draft.own(phase, "Prove isolation", step)


def _probe(draft: Draft, phase: str, material: Material, hosts: Collection[str], *, controlled: bool = True) -> None:
    """`controlled`: what must be reached is tried too."""
    isolation = _isolation(material)
    if not controlled:
        isolation = msgspec.structs.replace(isolation, must_reach=())
    if hosts and (isolation.must_not_reach or isolation.must_reach):
        named = material.target.machines()
        shells: dict[str, str] = {name: named[name].shell for name in hosts}
        step = ProbeIsolation(hosts=shells, isolation=isolation, attested=material.attested)
        draft.own(phase, "Probe from inside", step)


def _isolation(material: Material) -> Isolation:
    if material.target.isolation is None:
        raise Refusal(
            "no_isolation",
            f"{material.environment} does not say which networks it may be on.",
            f"Add environments.{material.environment}.isolation.networks to the configuration.",
        )
    return material.target.isolation


def pairs(facts: tuple[Fact, ...], here: Environment, there: Environment | None) -> tuple[tuple[Fact, str, str], ...]:
    """Each fact as a command, and the hosts to compare: each with the same one of the other side, else with the first.

    Without a `there`: every host here, to be written down only.
    """
    found = []
    for fact in facts:
        ours = role(here, fact.on)
        theirs = role(there, fact.on) if there else ours
        most = range(max(len(ours), len(theirs)))
        asked = fact.spelled(here.shell(ours[0]))
        found += [(asked, ours[i if i < len(ours) else 0], theirs[i if i < len(theirs) else 0]) for i in most]
    return tuple(found)
