"""Decides whether a VM may be snapshotted now, from what vCenter tells of it, and whose its snapshots are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pyVmomi import vim

from plans.quantities import spell
from vmops.tasks import asking

LONGEST = 3
"""Snapshots that may stand upon each other before ours: more are slow, and slow to remove."""

LONGEST_ANYWHERE = 32
"""Files that vSphere lets a disk be made of."""

OLDEST = timedelta(hours=72)
"""Beyond this nobody's snapshot should stand: it grows with every write, and removing it takes ever longer."""

FREE = 0.10
"""The part of the VM's size on a datastore that must be free there, for a snapshot's disks to grow into."""

VM = (
    "config.hardware.device",
    "config.template",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
    "runtime.faultToleranceState",
    "runtime.question",
    "snapshot",
    "storage.perDatastoreUsage",
)
DATASTORE = ("name", "summary.accessible", "summary.capacity", "summary.freeSpace")

Told = Mapping[str, Any]
"""Properties by their paths, as vCenter told them; what it did not tell is absent or None."""


def token(ledger: str) -> str:
    """What the names of this ledger's snapshots begin with: no other snapshot is ever touched."""
    return f"quarterdeck-{ledger}-"


def walk(trees: Sequence[vim.vm.SnapshotTree]) -> Iterator[vim.vm.SnapshotTree]:
    """Every snapshot, those that grew from another after it."""
    for tree in trees:
        yield tree
        yield from walk(tree.childSnapshotList)


def tree(told: Told) -> list[vim.vm.SnapshotTree]:
    """Every snapshot of the VM."""
    snapshot = told.get("snapshot")
    return list(walk(snapshot.rootSnapshotList)) if snapshot else []


def obstacles(told: Told, datastores: Mapping[str, Told], ours: str) -> Iterator[str]:
    """Why no snapshot should be taken now, each a sentence with its mend. `told`: `VM`; `datastores`: by id.

    `ours`: what the names of our own snapshots begin with.
    """
    devices = told.get("config.hardware.device")
    if devices is None:
        yield "vCenter does not tell its disks; see what the user may see there"
        return
    if question := told.get("runtime.question"):
        yield asking(question)
    yield from _state(told)
    yield from (f"{why}; take that off, or on prod say protect: backup" for why in map(obstacle, devices) if why)
    yield from _chain(told, devices, ours)
    yield from _room(told, devices, datastores)


def obstacle(device: Any) -> str:
    """Why a VM with this device cannot be snapshotted, or not all of it; empty where it can."""
    label = device.deviceInfo.label if device.deviceInfo else f"device {device.key}"
    match device:
        case vim.vm.device.VirtualDisk(backing=backing):
            if str(getattr(backing, "diskMode", "")).startswith("independent"):
                return f"{label} is independent, so no snapshot holds what is on it"
            if getattr(backing, "compatibilityMode", "") == "physicalMode":
                return f"{label} is a raw device in physical compatibility mode, which no snapshot can hold"
            if getattr(backing, "sharing", None) not in (None, "sharingNone"):
                return f"{label} is shared with other VMs, which forbids snapshots"
        case vim.vm.device.VirtualSCSIController() if device.sharedBus != "noSharing":
            return f"{label} shares its bus with other VMs, which forbids snapshots"
        case vim.vm.device.VirtualPCIPassthrough():
            return f"{label} is a device of the ESXi host that is passed through, which forbids snapshots"
    return ""


def _state(told: Told) -> Iterator[str]:
    if told.get("config.template"):
        yield "it is a template, which has no snapshots; make it a VM, or name another one"
    if (connection := told.get("runtime.connectionState")) != "connected":
        yield f"its ESXi host tells vCenter nothing of it (it is {connection}); bring the host back"
    if (tolerance := told.get("runtime.faultToleranceState")) not in ("notConfigured", "", None):
        yield f"Fault Tolerance ({tolerance}) forbids snapshots; turn it off, or on prod say protect: backup"
    if told.get("runtime.consolidationNeeded"):
        yield "its disks need consolidation after a snapshot that was removed; in vCenter: Snapshots, Consolidate"


def _chain(told: Told, devices: Iterable[Any], ours: str) -> Iterator[str]:
    snapshots = tree(told)
    chain = _under(told["snapshot"].rootSnapshotList, told["snapshot"].currentSnapshot) if snapshots else ()
    if len(chain) >= LONGEST:
        names = ", ".join(f"“{each.name}”" for each in chain)
        yield (
            f"{len(chain)} snapshots stand upon each other already ({names}), and at most {LONGEST} should; "
            "remove those that nobody needs"
        )
    files = max((_files(one.backing) for one in devices if isinstance(one, vim.vm.device.VirtualDisk)), default=0)
    if files >= LONGEST_ANYWHERE:
        yield f"a disk of it is made of {files} files, and vSphere allows {LONGEST_ANYWHERE}; consolidate it in vCenter"
    for each in snapshots:
        age = datetime.now(UTC) - _utc(each.createTime)
        if age > OLDEST and not each.name.startswith(ours):
            yield (
                f"its snapshot “{each.name}” is {spell(age.total_seconds() // 3600 * 3600)} old, and none should be "
                f"older than {spell(OLDEST.total_seconds())}; remove it, or ask whose it is"
            )


def _room(told: Told, devices: Iterable[Any], datastores: Mapping[str, Told]) -> Iterator[str]:
    for moid, size in _sizes(told, devices).items():
        store = datastores.get(moid, {})
        name = f"the datastore {store.get('name') or moid}"
        free, wanted = store.get("summary.freeSpace"), int(size * FREE)
        if store.get("summary.accessible") is False:
            yield f"{name} cannot be reached from its ESXi host; bring that back"
        elif free is None:
            yield f"vCenter does not tell how much of {name} is free; see what the user may see there"
        elif free < wanted:
            part = f"{FREE:.0%} of the VM's {_gigabytes(size)} there"
            yield f"{name} has {_gigabytes(free)} free, and a snapshot wants {_gigabytes(wanted)} ({part}); make room"


def _sizes(told: Told, devices: Iterable[Any]) -> dict[str, int]:
    """What the VM has on each datastore, in bytes: what vCenter counts, or else what its disks may come to."""
    if usage := told.get("storage.perDatastoreUsage"):
        return {each.datastore._moId: each.committed for each in usage}
    sizes: dict[str, int] = {}
    for disk in devices:
        if isinstance(disk, vim.vm.device.VirtualDisk) and (store := getattr(disk.backing, "datastore", None)):
            sizes[store._moId] = sizes.get(store._moId, 0) + (disk.capacityInBytes or disk.capacityInKB * 1024)
    return sizes


def _under(trees: Sequence[Any], current: Any) -> tuple[Any, ...]:
    """The snapshots that lead to the present one, it included."""
    for each in trees:
        if current is not None and each.snapshot._moId == current._moId:
            return (each,)
        if below := _under(each.childSnapshotList, current):
            return (each, *below)
    return ()


def _files(backing: Any) -> int:
    files = 0
    while backing:
        files, backing = files + 1, getattr(backing, "parent", None)
    return files


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _gigabytes(size: int) -> str:
    return f"{size / 1000**3:.1f} GB"
