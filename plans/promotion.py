"""Decides what a promotion and a rollback of prod are made of."""

from plans.checks import ManualCheck, once_each
from plans.comparing import CollectFacts, CompareSince
from plans.errors import Refusal
from plans.escapes import PayBack
from plans.facts import Fact
from plans.machinery import Attest, BeginWatch, KeepSnapshot
from plans.phases import Draft, Material, Plan, Subject
from plans.rehearsal import pairs


def promotion(material: Material) -> Plan:
    """The same plan, bytes and tests as the rehearsal's, on a prod that was backed up and snapshotted."""
    manifest = material.manifest
    if manifest is None:
        raise Refusal("no_package", "A promotion needs a release.", "Name one: /promote R-1")
    draft = Draft("promotion", material.target)
    _protect(draft, material)
    draft.maintenance_begins("deploy")
    draft.package("deploy", manifest.deploy, material.executable)
    (subject,) = material.subjects
    health, tests = subject.app.health, subject.tests
    draft.health("test", health)
    draft.checks("test", "critical", (c for c in tests.critical if c.prod == "safe"))
    draft.checks("test", "deep", (c for c in tests.deep if c.prod == "safe"))
    _write_down(draft, material)
    if material.paid:
        draft.own("test", "Pay escaped defects back", PayBack(escapes=material.paid))
    draft.maintenance_ends()
    if material.policy.watch:
        draft.own("watch", "Begin the watch", BeginWatch())
    unattended = tuple(c for c in tests.checks() if c.prod == "safe" and not isinstance(c, ManualCheck))
    for mark in material.policy.watch:
        draft.mark(mark, once_each((*health, *unattended)))
    return draft.plan()


def rollback(material: Material) -> Plan:
    """The package's own way back, and the checks that hold for the release before it; no vCenter is needed."""
    manifest = material.manifest
    if manifest is None or not manifest.rollback:
        raise Refusal(
            "no_rollback",
            "The package has no rollback.",
            "Go back to the snapshot of before it: /promote revert R-1 WORD. Or bring prod back by its backup.",
        )
    draft = Draft("rollback", material.target)
    draft.admins("protect", material.target.backup)
    draft.maintenance_begins("rollback")
    draft.package("rollback", manifest.rollback, material.executable)
    taken_back(draft, material)
    return draft.plan()


def taken_back(draft: Draft, material: Material) -> None:
    """What holds for the release before it, on a prod that was taken back to it; ends the maintenance."""
    for subject in material.subjects:
        before = (c for c in subject.tests.checks() if c.before and c.prod == "safe")
        draft.health("test", once_each((*subject.app.health, *before)))
    _write_down(draft, material)
    draft.maintenance_ends()


def _write_down(draft: Draft, material: Material) -> None:
    """What prod is from now on: whoever changes it without a promotion is found by that."""
    for subject in material.subjects:
        if facts := facts_of(material, subject):
            draft.own("test", "Write down prod's facts", CollectFacts(facts=facts, app=subject.name))


def facts_of(material: Material, subject: Subject) -> tuple[tuple[Fact, str], ...]:
    """Each of an app's facts as it is asked of each of its hosts here."""
    return tuple((fact, host) for fact, host, _ in pairs(subject.app.facts, material.target, None))


def _protect(draft: Draft, material: Material) -> None:
    (subject,) = material.subjects
    if (facts := facts_of(material, subject)) and material.rehearsal is not None:
        since = CompareSince(facts=facts, app=subject.name, run=material.rehearsal, phase="confirm", kind="prod")
        draft.own("protect", "Compare prod with when this was rehearsed", since)
    draft.admins("protect", material.target.backup)
    named = material.target.named()
    backed_up = [name for name, host in named.items() if host.protection == "backup"]
    if backed_up and not material.target.backup:
        raise Refusal(
            "no_backup",
            f"{', '.join(backed_up)}: protected by a backup, and {material.environment} has none.",
            f"Add environments.{material.environment}.backup to the configuration, or protect: attested.",
        )
    kept = [name for name, host in named.items() if host.protection == "snapshot"]
    attested = [name for name, host in named.items() if host.protection == "attested"]
    draft.own("protect", "Take a snapshot", KeepSnapshot(older=_older(material)), kept)
    for name in attested:
        draft.own("protect", f"Attest that {name} can be brought back", Attest(), (name,))


def _older(material: Material) -> dict[str, tuple[str, ...]]:
    """The snapshots that go when a new one is there: not those of before the release's first attempt."""
    first = material.attempts[:1]
    kept = material.kept().items()
    return {host: tuple(each.reference for each in snapshots if each.run not in first) for host, snapshots in kept}
