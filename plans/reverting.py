"""Decides which ways back there are from a promotion, and what bringing prod back to its snapshot is made of."""

from collections.abc import Iterable

import msgspec

from plans.environment import Environment
from plans.errors import Refusal
from plans.machinery import Answer, BroughtBack, GoBack, PowerOn
from plans.phases import Draft, Material, Plan
from plans.promotion import taken_back
from plans.quantities import spell
from plans.records import CHANGE_PROD, WAYS_BACK, EnvironmentState, Kept, Run


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """The ways back from a release's promotion. `rollback`: the package has its own.

    `kept`: by host, the snapshots of before its first attempt that stand, taken by run `of`; `lacking`: the hosts that
    have none, and would have to be brought back by hand.
    """

    rollback: bool
    of: int = 0
    kept: dict[str, Kept] = {}
    lacking: tuple[str, ...] = ()


def attempts(runs: Iterable[Run], release: str, prod: str, before: float = float("inf")) -> tuple[int, ...]:
    """The promotions of a release that have changed its prod since it was last taken back, the first of them first.

    None where another release's run has changed that prod since. `before`: runs from that number on do not count.
    """
    there = (r for r in runs if r.environment == prod and r.kind in CHANGE_PROD and r.touched and r.number < before)
    found: list[int] = []
    for run in sorted(there, key=lambda run: -run.number):
        if run.release != release or (run.kind in WAYS_BACK and run.verdict == "passed"):
            break
        if run.kind == "promotion":
            found.insert(0, run.number)
    return tuple(found)


def ways(found: tuple[int, ...], target: Environment, state: EnvironmentState, *, rollback: bool) -> Ways:
    """The ways back from these attempts of a release on its prod."""
    if not found:
        return Ways(rollback=rollback)
    kept = {host: kept for host in target.named() for kept in state.snapshots.get(host, ()) if kept.run == found[0]}
    lacking = tuple(host for host in target.named() if host not in kept)
    return Ways(rollback=rollback, of=found[0], kept=kept, lacking=lacking)


def price(environment: str, back: Ways, age: float) -> str:
    """What going back to the snapshots costs, in sentences; `age` of the oldest in seconds."""
    hosts = ", ".join(back.kept)
    said = f"{environment} goes back to how run {back.of} found it {spell(age)} ago."
    said += f" Everything that was written on {hosts} since then is lost."
    if back.lacking:
        said += f" {', '.join(back.lacking)} has no snapshot: bring it back by hand when the run asks for it."
    return said


def revert(material: Material) -> Plan:
    """Prod back at the snapshots of before the release; refused with `no_snapshot` where none of them stands.

    Isolation is not proved: this is prod.
    """
    back = ways(material.attempts, material.target, material.state, rollback=False)
    if not back.kept:
        raise no_snapshot("that promotion", material.environment, rollback=False)
    draft = Draft("revert", material.target)
    draft.maintenance_begins("revert")
    with draft.drained("revert", back.kept):
        draft.own("revert", "Go back to the snapshot", GoBack(snapshots=references(back)), back.kept)
        for host in back.lacking:
            draft.own("revert", f"Bring {host} back by hand", BroughtBack(), (host,))
        draft.own("revert", "Power on", PowerOn(), back.kept)
        draft.own("revert", "Wait until it answers", Answer(), material.target.named())
    taken_back(draft, material)
    return draft.plan()


def references(back: Ways) -> dict[str, str]:
    """The snapshots to go back to, by host."""
    return {host: kept.reference for host, kept in back.kept.items()}


def no_snapshot(before: str, environment: str, *, rollback: bool) -> Refusal:
    """`before`: what the snapshots were taken before; `rollback`: whether its package has one of its own."""
    package = f"Roll it back: /promote rollback {before}. " if rollback else ""
    message = f"No snapshot of before {before} stands on {environment}."
    return Refusal("no_snapshot", message, f"{package}Or bring {environment} back by its backup.")
