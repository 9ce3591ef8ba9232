"""Decides where in a run of staging its infrastructure and its emulators come up, and where both end."""

from collections.abc import Collection

from plans.checks import Healthy
from plans.environment import Environment
from plans.machinery import Answer, PowerOff, PowerOn
from plans.neighbours import StartEmulator, StopEmulator
from plans.phases import Draft


def limits(target: Environment) -> tuple[str, ...]:
    """What a rehearsal there cannot show, a sentence for each: said with every run."""
    emulated = (f"Emulated: {one.name} stands for {one.stands_for}" for one in target.emulators)
    own = (f"Not prod's: {one.name} is staging's own VM {one.vm}, not restored" for one in target.infrastructure)
    return (*emulated, *own)


def power_on(draft: Draft) -> None:
    """The machines beside staging, up and healthy before its hosts are; they are not reverted."""
    beside = draft.target.infrastructure
    draft.own("power_on", "Power on the infrastructure", PowerOn(), [one.name for one in beside])
    draft.own("power_on", "Wait until the infrastructure answers", Answer(), inside(draft.target))
    for one in beside:
        for check in one.health:
            draft.own("power_on", f"{one.name}: {check.name}", Healthy(check), (one.name,))


def inside(target: Environment) -> list[str]:
    """The machines beside staging that have a way in."""
    return [one.name for one in target.infrastructure if one.ssh or one.guest]


def start(draft: Draft, phase: str, hosts: Collection[str]) -> None:
    """Each emulator on those of its hosts."""
    for one in draft.target.emulators:
        where = [host for host in draft.target.role(one.on) if host in hosts]
        draft.own(phase, f"Start the emulator {one.name}", StartEmulator(emulator=one), where)


def stop(draft: Draft) -> None:
    """Each emulator, the last one first, and then the machines beside staging, at the end of what has been laid out."""
    for one in reversed(draft.target.emulators):
        where = draft.target.role(one.on)
        draft.own(draft.steps[-1].phase, f"Stop the emulator {one.name}", StopEmulator(emulator=one), where)
    if beside := [one.name for one in reversed(draft.target.infrastructure)]:
        draft.own(draft.steps[-1].phase, "Power off the infrastructure", PowerOff(), beside)
