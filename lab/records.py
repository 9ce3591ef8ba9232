"""Decides what the lab keeps of a VM in its `vm.json`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

Power = Literal["poweredOn", "poweredOff"]
SharedBus = Literal["noSharing", "virtualSharing", "physicalSharing"]


class Nic(msgspec.Struct):
    """A network card: `network` is a network's name; `connected` is about now, `start_connected` about each boot."""

    key: int
    network: str
    mac: str
    connected: bool = False
    start_connected: bool = True
    allow_guest_control: bool = True


class Disk(msgspec.Struct):
    """A virtual disk of `capacity` bytes as vSphere describes it; the first one's content is the VM's folder `disk`.

    `raw` is the compatibility mode of a disk that is mapped from a LUN, and empty for a file.
    """

    capacity: int = 16 * 1024**3
    mode: Literal["persistent", "independent_persistent", "independent_nonpersistent"] = "persistent"
    sharing: Literal["sharingNone", "sharingMultiWriter"] = "sharingNone"
    raw: Literal["", "physicalMode", "virtualMode"] = ""


class Guest(msgspec.Struct):
    """What the guest's VMware Tools are like: who may log in through them (nobody without a password), how they run,
    whether they take guest operations, and how many seconds after a boot they are up."""

    username: str = "root"
    password: str = ""
    tools: Literal["guestToolsRunning", "guestToolsNotRunning", "guestToolsExecutingScripts"] = "guestToolsRunning"
    operations: bool = True
    delay: float = 0.0


class Question(msgspec.Struct):
    """What a VM asks and waits for: `choices` are labels by their keys, `default` is the index of one."""

    id: str
    text: str
    choices: dict[str, str]
    default: int = 0


class Snapshot(msgspec.Struct):
    """A kept disk and NIC configuration; `power` is what a revert leaves behind unless power-on is suppressed."""

    moid: str
    number: int
    name: str
    description: str
    created: datetime
    power: Power
    nics: list[Nic]
    children: list[Snapshot] = []


class Record(msgspec.Struct):
    """What `vm.json` keeps of a VM between two runs of the lab.

    `place` is the inventory folder (`web/old`, empty for the datacenter's own), `host` the ESXi host's moid, `number`
    the last of the four of its address, 0 where none was kept, `shared_bus` how its SCSI controller shares its bus,
    `passthrough` the host's devices that it has for itself.
    """

    name: str
    moid: str
    instance_uuid: str
    bios_uuid: str
    power: Power
    nics: list[Nic]
    snapshots: list[Snapshot] = []
    current: str | None = None
    taken: int = 0
    number: int = 0
    place: str = ""
    host: str = "host-8"
    template: bool = False
    annotation: str = ""
    disks: list[Disk] = msgspec.field(default_factory=lambda: [Disk()])
    shared_bus: SharedBus = "noSharing"
    passthrough: list[str] = []
    guest: Guest = msgspec.field(default_factory=Guest)
    consolidation_needed: bool = False


def walk(snapshots: list[Snapshot]) -> Iterator[Snapshot]:
    """Every snapshot of the trees, parents first."""
    for snapshot in snapshots:
        yield snapshot
        yield from walk(snapshot.children)


def levels(roots: list[Snapshot]) -> Iterator[tuple[Snapshot | None, list[Snapshot]]]:
    """Every list of siblings of the trees, with the snapshot that they grew from."""
    yield None, roots
    for snapshot in walk(roots):
        yield snapshot, snapshot.children


def snapshot_obstacle(disks: list[Disk], shared_bus: str, memory: bool) -> str:
    """Why a VM with such disks can have no snapshot; empty where it can."""
    if shared_bus != "noSharing":
        return "its SCSI bus is shared"
    for at, disk in enumerate(disks, 1):
        if disk.raw == "physicalMode":
            return f"hard disk {at} is a raw device in physical compatibility mode"
        if disk.sharing != "sharingNone":
            return f"hard disk {at} is shared"
        if memory and disk.mode.startswith("independent"):
            return f"hard disk {at} is independent, which forbids a snapshot with memory"
    return ""
