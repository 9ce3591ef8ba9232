"""Decides what a VM's configuration looks like in vSphere's types, and what an edit of its devices makes of it."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from pyVmomi import vim, vmodl

from lab.inventory import Inventory
from lab.machines import Machine
from lab.records import Nic
from lab.vcenter.managed import now

CPUS = 2
MEMORY_MB = 2048
DISK_BYTES = 16 * 1024**3
GUEST_ID = "otherLinux64Guest"
GUEST_NAME = "Other Linux (64-bit)"

_SCSI, _DISK, _PCI, _FIRST_NIC = 1000, 2000, 100, 4000


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
        template=False,
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
    return f"[{inventory.datastore}] {machine.name}/{machine.name}.vmx"


def edited(nics: list[Nic], spec: Any, inventory: Inventory) -> list[Nic]:
    """The NICs after the VirtualMachineConfigSpec of a ReconfigVM_Task.

    Raises InvalidDeviceSpec for an unknown device, InvalidDeviceBacking for an unknown network, and NotSupported for
    whatever is no network card.
    """
    given = [info.name for info in spec._GetPropertyList() if _is_set(getattr(spec, info.name))]
    if others := set(given) - {"deviceChange", "changeVersion"}:
        raise vmodl.fault.NotSupported(msg=f"cannot reconfigure {', '.join(sorted(others))} here")
    by_key = {nic.key: msgspec.structs.replace(nic) for nic in nics}
    for index, change in enumerate(spec.deviceChange):
        device, operation = change.device, change.operation
        if not isinstance(device, vim.vm.device.VirtualEthernetCard):
            raise vmodl.fault.NotSupported(msg="only network cards can be reconfigured here")
        if operation == "add":
            key = max([_FIRST_NIC - 1, *by_key]) + 1
            mac = device.macAddress or f"00:50:56:{secrets.token_bytes(3).hex(':')}"
            by_key[key] = _laid_over(Nic(key=key, network="", mac=mac), device, index, inventory)
        elif device.key not in by_key:
            raise vim.fault.InvalidDeviceSpec(msg=f"there is no device {device.key}", deviceIndex=index)
        elif operation == "remove":
            del by_key[device.key]
        else:
            by_key[device.key] = _laid_over(by_key[device.key], device, index, inventory)
    return list(by_key.values())


def _is_set(value: Any) -> bool:
    return value is not None and not (isinstance(value, list) and not value)


def _laid_over(nic: Nic, device: Any, index: int, inventory: Inventory) -> Nic:
    place = f"deviceChange[{index}].device.backing"
    if device.backing is not None:
        if not isinstance(device.backing, vim.vm.device.VirtualEthernetCard.NetworkBackingInfo):
            raise vmodl.fault.NotSupported(msg="only networks of standard switches can back a network card here")
        nic.network = device.backing.deviceName
    if nic.network not in {group.name for group in inventory.port_groups}:
        raise vim.fault.InvalidDeviceBacking(msg=f"no network {nic.network}", property=place, deviceIndex=index)
    if (connectable := device.connectable) is not None:
        nic.connected = connectable.connected
        nic.start_connected = connectable.startConnected
        nic.allow_guest_control = connectable.allowGuestControl
    return nic


def _devices(machine: Machine, nics: list[Nic], inventory: Inventory) -> list[Any]:
    sharing = vim.vm.device.VirtualSCSIController.Sharing.noSharing
    controller = vim.vm.device.ParaVirtualSCSIController(
        key=_SCSI,
        busNumber=0,
        sharedBus=sharing,
        device=[_DISK],
        deviceInfo=vim.Description(label="SCSI controller 0", summary="VMware paravirtual SCSI"),
    )
    disk = vim.vm.device.VirtualDisk(
        key=_DISK,
        controllerKey=_SCSI,
        unitNumber=0,
        capacityInKB=DISK_BYTES // 1024,
        capacityInBytes=DISK_BYTES,
        deviceInfo=vim.Description(label="Hard disk 1", summary=f"{DISK_BYTES // 1024:,} KB"),
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=path_name(machine, inventory).replace(".vmx", ".vmdk"),
            diskMode="persistent",
            sharing="sharingNone",
            thinProvisioned=True,
        ),
    )
    return [controller, disk, *(_card(nic, at, inventory) for at, nic in enumerate(nics))]


def _card(nic: Nic, at: int, inventory: Inventory) -> Any:
    networks = {group.name: vim.Network(group.moid) for group in inventory.port_groups}
    return vim.vm.device.VirtualVmxnet3(
        key=nic.key,
        controllerKey=_PCI,
        unitNumber=7 + at,
        addressType="assigned",
        macAddress=nic.mac,
        wakeOnLanEnabled=True,
        deviceInfo=vim.Description(label=f"Network adapter {at + 1}", summary=nic.network),
        backing=vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(
            deviceName=nic.network, network=networks.get(nic.network)
        ),
        connectable=vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=nic.start_connected,
            allowGuestControl=nic.allow_guest_control,
            connected=nic.connected,
            status="ok" if nic.connected else "untried",
        ),
    )
