"""Decides what a CloneVM_Task asks for, and makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from lab.inventory import Inventory
from lab.machines import Machine
from lab.records import Snapshot
from lab.vcenter import cards, hardware, places
from lab.vcenter.managed import Call

_LONGEST = 80
_MOVES = vim.vm.RelocateSpec.DiskMoveOptions


@dataclass(frozen=True)
class Wanted:
    """A clone as it was asked for; `changes` are those of its devices."""

    name: str
    place: str
    host: str
    snapshot: Snapshot | None
    changes: list[Any]
    annotation: str
    template: bool
    power_on: bool


def read(call: Call, source: Machine, inventory: Inventory, folder: Any, name: str, spec: Any) -> Wanted:
    """What a CloneSpec asks for.

    Raises InvalidArgument for a folder that holds no VMs, another VM's snapshot, and a way to place disks that does
    not exist or stands on no snapshot; InvalidName; ManagedObjectNotFound; NotSupported for what cannot be configured.
    """
    require_name(name)
    location, config = spec.location, spec.config
    for ref in (location.host, location.pool, location.datastore):
        if ref is not None:
            call.find(ref)
    snapshot = _snapshot(call, source, spec.snapshot)
    move = location.diskMoveType
    if move and move not in vars(_MOVES).values():
        raise _wrong("spec.location.diskMoveType")
    if move == _MOVES.createNewChildDiskBacking and not source.snapshots:
        raise _wrong("spec.location.diskMoveType")  # a linked clone stands on a disk that nobody writes to
    changes = [*location.deviceChange, *(hardware.changes(config, "annotation") if config else ())]
    return Wanted(
        name=name,
        place=_place(call, inventory, folder),
        host=location.host._moId if location.host else "",
        snapshot=snapshot,
        changes=changes,
        annotation=(config.annotation or "") if config else "",
        template=spec.template,
        power_on=spec.powerOn,
    )


def require_name(name: str) -> None:
    """Raises InvalidName for what vSphere takes as no VM's name."""
    if not 0 < len(name) <= _LONGEST:
        raise vim.fault.InvalidName(msg=f"The name '{name}' is not valid.", name=name)


async def make(source: Machine, wanted: Wanted, inventory: Inventory) -> Machine:
    """The clone, powered on where that is wanted. Raises what `Inventory.clone` and `cards.edited` do."""
    nics = cards.edited(wanted.snapshot.nics if wanted.snapshot else source.nics, wanted.changes, inventory)
    machine = await inventory.clone(
        source,
        wanted.name,
        place=wanted.place,
        host=wanted.host,
        snapshot=wanted.snapshot,
        nics=nics,
        template=wanted.template,
        annotation=wanted.annotation,
    )
    if wanted.power_on and not wanted.template:
        await machine.power_on()
    return machine


def _snapshot(call: Call, source: Machine, ref: Any) -> Snapshot | None:
    if ref is None:
        return None
    call.find(ref)
    for snapshot in source.all_snapshots():
        if snapshot.moid == ref._moId:
            return snapshot
    raise _wrong("spec.snapshot")


def _place(call: Call, inventory: Inventory, folder: Any) -> str:
    call.find(folder)
    for place in ("", *inventory.places):
        if places.folder(place) == folder:
            return place
    raise _wrong("folder")


def _wrong(name: str) -> Any:
    return vmodl.fault.InvalidArgument(msg=f"A specified parameter was not correct: {name}", invalidProperty=name)
