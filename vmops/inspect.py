"""Touches one vCenter to look and never to change: its clock, networks and privileges, and what a VM is like."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from pyVmomi import vim, vmodl

from vmops import snapshots
from vmops.machine import Machine
from vmops.transport import Trouble
from vmops.vcenter import Session, words


class About(msgspec.Struct, frozen=True):
    """`version` is what the vCenter calls itself, `api` a number like 8.0.3.0, `now` its clock."""

    version: str
    api: str
    now: datetime


class Vm(msgspec.Struct, frozen=True, kw_only=True):
    """A VM as it is now; None is what vCenter does not tell.

    `obstacles` are why a run would take no snapshot of it now, each a sentence with its mend (`vmops.snapshots`).
    """

    power: str | None
    tools: str | None
    guest_ready: bool | None
    obstacles: tuple[str, ...]


class Place(msgspec.Struct, frozen=True):
    """A folder, resource pool, datastore or network, as it is called, and vSphere's reference to it."""

    kind: str
    name: str
    ref: Any


_PLACES = {
    vim.Folder: "folder",
    vim.ResourcePool: "resource pool",
    vim.Datastore: "datastore",
    vim.Network: "network",
}

_STATE = ("runtime.powerState", "guest.toolsRunningStatus", "guest.guestOperationsReady", "datastore")

_OURS = snapshots.token("")
"""How the names of Quarterdeck's own snapshots begin, whichever ledger they are for."""


@contextmanager
def _in_words() -> Iterator[None]:
    """What vSphere does not want to tell, as a sentence."""
    try:
        yield
    except vmodl.MethodFault as fault:
        raise Trouble(f"vCenter does not tell: {words(fault)}") from fault


@_in_words()
def about(session: Session) -> About:
    """The vCenter, once logged in. Raises as `Session`, and Trouble."""

    def ask(content: Any) -> About:
        now = vim.ServiceInstance("ServiceInstance", content.rootFolder._stub).CurrentTime()
        return About(content.about.fullName, content.about.apiVersion, now)

    return session.read(ask)


@_in_words()
def look(session: Session, machine: Machine) -> Vm:
    """What decides whether a run can use a VM, in two calls. Raises as `Session`, and Trouble."""
    told = session.properties(machine.vm, [*_STATE, *snapshots.VM])
    stores = session.properties_of(told["datastore"] or (), snapshots.DATASTORE)
    return Vm(
        power=_word(told["runtime.powerState"]),
        tools=_word(told["guest.toolsRunningStatus"]),
        guest_ready=told["guest.guestOperationsReady"],
        obstacles=tuple(snapshots.obstacles(told, stores, _OURS)),
    )


@_in_words()
def lacking(session: Session, thing: Any, privileges: Sequence[str]) -> tuple[str, ...]:
    """Those of the privileges that the user does not have on a VM, or a place. Raises as `Session`, and Trouble."""
    manager = session.read(lambda content: content.sessionManager)
    login = session.properties(manager, ["currentSession"])["currentSession"]
    told = session.read(
        lambda content: content.authorizationManager.HasPrivilegeOnEntities([thing], login.key, list(privileges))
    )
    held = {one.privId for each in told for one in each.privAvailability if one.isGranted}
    return tuple(name for name in privileges if name not in held)


@_in_words()
def around(session: Session, machine: Machine) -> tuple[Place, ...]:
    """Where a clone would be that takes the VM's place, in one call. Raises as `Session`, and Trouble."""
    paths: dict[type, Sequence[str]] = {vim.VirtualMachine: ["config.files.vmPathName"]}
    paths |= {kind: ["name"] for kind in _PLACES}
    told = dict(session.around(machine.vm, ["parent", "resourcePool", "datastore", "network"], paths))
    home = told.pop(machine.vm, {}).get("config.files.vmPathName") or ""
    found = [
        Place(kind, str(names.get("name", "")), ref)
        for ref, names in told.items()
        for type_, kind in _PLACES.items()
        if isinstance(ref, type_)
    ]
    return tuple(one for one in found if one.kind != "datastore" or home.startswith(f"[{one.name}]"))


@_in_words()
def networks(session: Session) -> Counter[str]:
    """How many networks of each name there are, of those that the user may see. Raises as `Session`, and Trouble."""

    def ask(content: Any) -> list[Any]:
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.Network], True)
        try:
            return list(view.view)
        finally:
            view.DestroyView()

    found = session.read(ask)
    names: Counter[str] = Counter()
    for kind in {type(one) for one in found}:
        told = session.properties_of([one for one in found if type(one) is kind], ["name"])
        names.update(str(each["name"]) for each in told.values())
    return names


def _word(value: Any) -> str | None:
    return None if value is None else str(value)
