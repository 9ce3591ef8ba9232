"""Looks at a VM: there once, powered as it should be, its privileges, whether a snapshot can be taken, its tools."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.config import Settings
from bot.examinations import Finding, bad, good, warning
from bot.examinations.needs import cloned, cloned_from, prods, stagings
from bot.examinations.privileges import AROUND, needed
from bot.examinations.vcenter import Centers, Closed
from plans.actions import At
from plans.environment import Host, Neighbour
from vmops.transport import Trouble

if TYPE_CHECKING:
    from vmops.inspect import Vm

_POWER = {"poweredOn": "powered on", "poweredOff": "powered off", "suspended": "suspended"}


def look_at_vm(settings: Settings, centers: Centers, at: At) -> Iterator[Finding]:
    """What a run would need of one host's VM."""
    host, subject = centers.host(at), str(at)
    staging, prod = at.environment in stagings(settings), at.environment in prods(settings)
    try:
        centers.machine(at)
    except Closed as closed:
        yield bad("vm", subject, str(closed), f"Mend the vCenter {host.vcenter} first.")
        return
    except Trouble as trouble:
        mend = f"Name exactly one VM in environments.{at.environment}: by its instance UUID where a name is not enough."
        yield bad("vm", subject, str(trouble), mend)
        return
    vm = centers.vm(at)
    yield _powered(subject, host, vm, staging=staging)
    anew, source = cloned(settings, at), cloned_from(settings, at)
    wanted = needed(host, staging=staging, prod=prod, cloned=anew, source=source)
    yield _privileges(centers, host, str(at), host.vm, centers.machine(at).vm, wanted)
    if anew:
        yield from _around(centers, at, host)
    reverted = staging and not isinstance(host, Neighbour)
    if reverted or (prod and host.protection == "snapshot"):
        yield from _snapshot(subject, vm)
    if vm.power == "poweredOn":
        yield _tools(subject, host, vm)


def _powered(subject: str, host: Host, vm: "Vm", *, staging: bool) -> Finding:
    power = _POWER.get(vm.power or "", "in a power state that vCenter does not tell")
    if vm.power == "poweredOn" or (staging and vm.power == "poweredOff"):
        return good("vm", subject, f"{host.vm} is there once, {power}")
    mend = "Power it on in the vSphere Client, or take it out of the configuration."
    return bad("vm", subject, f"{host.vm} is {power}", mend)


def _privileges(
    centers: Centers, host: Host, subject: str, name: str, thing: object, wanted: dict[str, str]
) -> Finding:
    """`thing`: the VM or the place called `name`, as vCenter refers to it."""
    from vmops.inspect import lacking

    if not wanted:
        return good("privileges", subject, "none are needed beside seeing it")
    try:
        missing = lacking(centers.session(host.vcenter), thing, tuple(wanted))
    except Trouble as trouble:
        mend = f"See in the vSphere Client which role the user has on {name}; docs/vcenter-role.md lists what it needs."
        return bad("privileges", subject, str(trouble), mend)
    if not missing:
        return good("privileges", subject, f"all {len(wanted)} that are needed on it")
    told = "; ".join(f"{name} ({wanted[name]})" for name in missing)
    mend = f"Add to the user's role on {name}, or on a folder above it: {', '.join(missing)} (docs/vcenter-role.md)."
    return bad("privileges", subject, f"the user lacks {told}", mend)


def _around(centers: Centers, at: At, host: Host) -> Iterator[Finding]:
    """The privileges where a clone will be that takes the VM's place."""
    from vmops.inspect import around

    places = around(centers.session(host.vcenter), centers.machine(at))
    for place in places:
        subject = f"{at}’s {place.kind} {place.name}"
        yield _privileges(centers, host, subject, f"the {place.kind} {place.name}", place.ref, AROUND[place.kind])
    for kind in AROUND.keys() - {place.kind for place in places} - {"network"}:
        mend = "Let the user see the whole inventory (Read-only, propagated; docs/vcenter-role.md)."
        yield bad("privileges", str(at), f"vCenter shows no {kind} of {host.vm}, where a clone of it would go", mend)


def _snapshot(subject: str, vm: "Vm") -> Iterator[Finding]:
    for obstacle in vm.obstacles:
        cause, _, mend = obstacle.rpartition("; ")
        yield bad("snapshot", subject, cause, f"{mend[0].upper()}{mend[1:]}.")
    if not vm.obstacles:
        yield good("snapshot", subject, "can be taken now, of everything")


def _tools(subject: str, host: Host, vm: "Vm") -> Finding:
    if vm.tools == "guestToolsRunning" and (not host.guest or vm.guest_ready):
        return good("vmware_tools", subject, "running")
    mend = f"Start VMware Tools in {host.vm} (systemctl status open-vm-tools, or vmtoolsd), or install them."
    if host.guest:
        said = "running, but take no guest operations" if vm.tools == "guestToolsRunning" else "not running"
        return bad("vmware_tools", subject, f"VMware Tools are {said}, and they are the only way in", mend)
    return warning("vmware_tools", subject, "VMware Tools are not running; the way in is SSH, so a run goes on", mend)
