"""Decides what a promotion and a rollback of prod are made of."""

from plans.checks import ManualCheck
from plans.errors import Refusal
from plans.machinery import Attest, BeginWatch, CompareFacts, KeepSnapshot
from plans.phases import Draft, Material, Plan
from plans.rehearsal import pairs


def promotion(material: Material) -> Plan:
    """The same plan, bytes and tests as the rehearsal's, on a prod that was backed up and snapshotted."""
    manifest = material.manifest
    if manifest is None:
        raise Refusal("no_package", "A promotion needs a release.", "Name one: /promote R-1")
    draft = Draft("promotion", material.target)
    _protect(draft, material)
    draft.package("deploy", manifest.deploy, material.executable)
    (subject,) = material.subjects
    health, tests = subject.app.health, subject.tests
    draft.health("test", health)
    draft.checks("test", "critical", (c for c in tests.critical if c.prod == "safe"))
    draft.checks("test", "deep", (c for c in tests.deep if c.prod == "safe"))
    if material.policy.watch:
        draft.own("watch", "Begin the watch", BeginWatch())
    unattended = tuple(c for c in tests.checks() if c.prod == "safe" and not isinstance(c, ManualCheck))
    for mark in material.policy.watch:
        draft.mark(mark, (*health, *unattended))
    return draft.plan()


def rollback(material: Material) -> Plan:
    """The package's own way back, and the checks that hold for the release before it; no vCenter is needed."""
    manifest = material.manifest
    if manifest is None or not manifest.rollback:
        raise Refusal(
            "no_rollback",
            "The package has no rollback.",
            "Bring prod back by its snapshot or backup; the promotion's thread names both.",
        )
    draft = Draft("rollback", material.target)
    draft.admins("protect", material.target.backup)
    draft.package("rollback", manifest.rollback, material.executable)
    for subject in material.subjects:
        before = (c for c in subject.tests.checks() if c.before and c.prod == "safe")
        draft.health("test", (*subject.app.health, *before))
    return draft.plan()


def _protect(draft: Draft, material: Material) -> None:
    (subject,) = material.subjects
    if facts := pairs(subject.app.facts, material.target, None):
        draft.own("protect", "Write down prod's facts", CompareFacts(pairs=facts, there=""))
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
    draft.own("protect", "Take a snapshot", KeepSnapshot(older=material.older()), kept)
    for name in attested:
        draft.own("protect", f"Attest that {name} can be brought back", Attest(), (name,))
