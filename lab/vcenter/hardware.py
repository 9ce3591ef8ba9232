"""Decides what a VM's configuration looks like in vSphere's types: its disks and cards, and how they are placed."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim, vmodl

from lab.inventory import Inventory
from lab.machines import Machine
from lab.records import Disk, Nic, levels
from lab.vcenter import cards, places
from lab.vcenter.managed import now

CPUS = 2
MEMORY_MB = 2048
GUEST_ID = "otherLinux64Guest"
GUEST_NAME = "Other Linux (64-bit)"

_SCSI, _DISK, _PASSTHROUGH = 1000, 2000, 13000
_Backing = vim.vm.device.VirtualDisk


def config(machine: Machine, nics: list[Nic], inventory: Inventory) -> vim.vm.ConfigInfo:
    """The configuration of a VM with these NICs: its present ones, or those that a snapshot kept."""
    return vim.vm.ConfigInfo(
        changeVersion="",
        modified=now(),
        name=machine.name,
        guestId=GUEST_ID,
        guestFullName=GUEST_NAME,
        version="vmx-21",
        uuid=machine.bios_uuid,
        instanceUuid=machine.instance_uuid,
        template=machine.template,
        annotation=machine.annotation,
        firmware="bios",
        files=vim.vm.FileInfo(vmPathName=path_name(machine, inventory)),
        flags=vim.vm.FlagInfo(),
        defaultPowerOps=vim.vm.DefaultPowerOpInfo(),
        hardware=vim.vm.VirtualHardware(
            numCPU=CPUS, numCoresPerSocket=1, memoryMB=MEMORY_MB, device=_devices(machine, nics, inventory)
        ),
        extraConfig=[],
    )


def path_name(machine: Machine, inventory: Inventory) -> str:
    """Where the VM's definition lies, in vSphere's notation."""
    return f"[{inventory.datastore}] {machine.folder.name}/{machine.folder.name}.vmx"


def changes(spec: Any, *supported: str) -> list[Any]:
    """The device changes of a VirtualMachineConfigSpec. Raises NotSupported for what is not among `supported`."""
    given = [info.name for info in spec._GetPropertyList() if _is_set(getattr(spec, info.name))]
    if others := set(given) - {"deviceChange", "changeVersion", *supported}:
        raise vmodl.fault.NotSupported(msg=f"cannot configure {', '.join(sorted(others))} here")
    return list(spec.deviceChange)


def _is_set(value: Any) -> bool:
    return value is not None and not (isinstance(value, list) and not value)


def _devices(machine: Machine, nics: list[Nic], inventory: Inventory) -> list[Any]:
    controller = vim.vm.device.ParaVirtualSCSIController(
        key=_SCSI,
        busNumber=0,
        sharedBus=machine.shared_bus,
        device=[_DISK + at for at in range(len(machine.disks))],
        deviceInfo=vim.Description(label="SCSI controller 0", summary="VMware paravirtual SCSI"),
    )
    return [
        controller,
        *(_disk(disk, at, machine, inventory) for at, disk in enumerate(machine.disks)),
        *(cards.card(nic, at, inventory) for at, nic in enumerate(nics)),
        *(
            vim.vm.device.VirtualPCIPassthrough(
                key=_PASSTHROUGH + at, deviceInfo=vim.Description(label=f"PCI device {at}", summary=name)
            )
            for at, name in enumerate(machine.passthrough)
        ),
    ]


def _disk(disk: Disk, at: int, machine: Machine, inventory: Inventory) -> Any:
    base = path_name(machine, inventory).removesuffix(".vmx") + (f"_{at}" if at else "")
    # The chain of an independent disk does not grow.
    depth = 0 if disk.mode.startswith("independent") else _depth(machine)
    backing = None
    for number in range(depth + 1):
        name = f"{base}-{number:06}.vmdk" if number else f"{base}.vmdk"
        backing = _backing(disk, name, backing)
    return vim.vm.device.VirtualDisk(
        key=_DISK + at,
        controllerKey=_SCSI,
        unitNumber=at if at < 7 else at + 1,  # 7 is the controller's own
        capacityInKB=disk.capacity // 1024,
        capacityInBytes=disk.capacity,
        deviceInfo=vim.Description(label=f"Hard disk {at + 1}", summary=f"{disk.capacity // 1024:,} KB"),
        backing=backing,
    )


def _backing(disk: Disk, name: str, parent: Any) -> Any:
    about = {
        "fileName": name,
        "datastore": places.DATASTORE,
        "diskMode": disk.mode,
        "sharing": disk.sharing,
        "parent": parent,
    }
    if disk.raw:
        return _Backing.RawDiskMappingVer1BackingInfo(
            **about,
            compatibilityMode=disk.raw,
            deviceName="vml.0200000000600508b4000b",
        )
    return _Backing.FlatVer2BackingInfo(**about, thinProvisioned=True)


def _depth(machine: Machine) -> int:
    """How many snapshots the present disk stands on."""
    above = {child.moid: parent for parent, children in levels(machine.snapshots) for child in children}
    depth, snapshot = 0, machine.current_snapshot
    while snapshot:
        depth, snapshot = depth + 1, above[snapshot.moid]
    return depth
