"""Decides what a rehearsal, a check and a reset of staging are made of."""

from plans.environment import Environment
from plans.errors import Refusal
from plans.facts import Fact
from plans.isolation import Isolation
from plans.machinery import Answer, CompareFacts, GoBack, KeepSnapshot, PowerOn, ProbeIsolation, ProveIsolation
from plans.phases import Draft, Material, Plan, role, with_vm


def rehearsal(material: Material) -> Plan:
    """All six phases, on staging, from prod's restored data to the deep tests."""
    draft = Draft("rehearsal", material.target)
    _fit(draft, material)
    draft.own("snapshot", "Take a snapshot", KeepSnapshot(older=material.older()), with_vm(material.target))
    if material.manifest is None:
        raise Refusal("no_package", "A rehearsal needs a release.", "Name one: /stage run R-1")
    draft.package("deploy", material.manifest.deploy, material.executable)
    for subject in material.subjects:
        draft.checks("test", "critical", subject.tests.critical)
        draft.checks("test", "deep", subject.tests.deep)
    return draft.plan()


def check(material: Material, kind: str = "check") -> Plan:
    """Phases 1 to 3 alone: is staging fit for a rehearsal?"""
    draft = Draft(kind, material.target)
    _fit(draft, material)
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
    _power_on(draft, material)
    draft.admins("restore", material.target.restore)
    _prove(draft, "confirm", material)
    _probe(draft, "confirm", material)
    for subject in material.subjects:
        before = (c for c in subject.tests.checks() if c.before)
        draft.health("confirm", (*subject.app.health, *before))
        if facts := pairs(subject.app.facts, material.target, subject.prod):
            draft.own("confirm", "Compare with prod", CompareFacts(pairs=facts, there=subject.app.prod))


def _power_on(draft: Draft, material: Material) -> None:
    hosts = with_vm(material.target)
    latest = {host: references[-1] for host, references in material.older().items() if references}
    draft.own("power_on", "Go back to the last snapshot", GoBack(snapshots=latest), hosts)
    _prove(draft, "power_on", material)
    draft.own("power_on", "Power on", PowerOn(), hosts)
    draft.own("power_on", "Wait until it answers", Answer(), material.target.named())
    _probe(draft, "power_on", material)


def _prove(draft: Draft, phase: str, material: Material) -> None:
    hosts = tuple(with_vm(material.target))
    step = ProveIsolation(hosts=hosts, isolation=_isolation(material), attested=material.attested)
    draft.own(phase, "Prove isolation", step)


def _probe(draft: Draft, phase: str, material: Material) -> None:
    isolation = _isolation(material)
    if isolation.must_not_reach or isolation.must_reach:
        hosts = tuple(material.target.named())
        step = ProbeIsolation(hosts=hosts, isolation=isolation, attested=material.attested)
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
    """Each fact with the hosts to compare: every host against the same one on the other side, else against the first.

    Without a `there`: every host here, to be written down only.
    """
    found = []
    for fact in facts:
        ours = role(here, fact.on)
        theirs = role(there, fact.on) if there else ours
        most = range(max(len(ours), len(theirs)))
        found += [(fact, ours[i if i < len(ours) else 0], theirs[i if i < len(theirs) else 0]) for i in most]
    return tuple(found)
