"""Decides what a VM's network cards look like in vSphere's types, and what an edit of them makes of them."""

from __future__ import annotations

from typing import Any

import msgspec
from pyVmomi import vim, vmodl

from lab.inventory import Inventory, new_mac
from lab.networks import DistributedPortGroup, Network, OpaqueNetwork, PortGroup
from lab.records import Nic

_PCI, _FIRST = 100, 4000
_Card = vim.vm.device.VirtualEthernetCard


def network_ref(network: Network) -> Any:
    """The reference of a network."""
    match network:
        case PortGroup():
            return vim.Network(network.moid)
        case DistributedPortGroup():
            return vim.dvs.DistributedVirtualPortgroup(network.moid)
        case OpaqueNetwork():
            return vim.OpaqueNetwork(network.moid)


def card(nic: Nic, at: int, inventory: Inventory) -> Any:
    """A network card, the VM's number `at` from 0."""
    return vim.vm.device.VirtualVmxnet3(
        key=nic.key,
        controllerKey=_PCI,
        unitNumber=7 + at,
        addressType="assigned",
        macAddress=nic.mac,
        wakeOnLanEnabled=True,
        deviceInfo=vim.Description(label=f"Network adapter {at + 1}", summary=nic.network),
        backing=_backing(nic, inventory),
        connectable=vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=nic.start_connected,
            allowGuestControl=nic.allow_guest_control,
            connected=nic.connected,
            status="ok" if nic.connected else "untried",
        ),
    )


def edited(nics: list[Nic], changes: list[Any], inventory: Inventory) -> list[Nic]:
    """The NICs after these VirtualDeviceSpecs.

    Raises InvalidDeviceSpec for an unknown device, InvalidDeviceBacking for an unknown network, and NotSupported for
    whatever is no network card.
    """
    by_key = {nic.key: msgspec.structs.replace(nic) for nic in nics}
    for index, change in enumerate(changes):
        device, operation = change.device, change.operation
        if not isinstance(device, _Card):
            raise vmodl.fault.NotSupported(msg="only network cards can be reconfigured here")
        if operation == "add":
            key = max([_FIRST - 1, *by_key]) + 1
            by_key[key] = _laid_over(
                Nic(key=key, network="", mac=device.macAddress or new_mac()), device, index, inventory
            )
        elif device.key not in by_key:
            raise vim.fault.InvalidDeviceSpec(msg=f"there is no device {device.key}", deviceIndex=index)
        elif operation == "remove":
            del by_key[device.key]
        else:
            by_key[device.key] = _laid_over(by_key[device.key], device, index, inventory)
    return list(by_key.values())


def _backing(nic: Nic, inventory: Inventory) -> Any:
    match inventory.find_network(nic.network):
        case DistributedPortGroup() as group:
            port = vim.dvs.PortConnection(
                switchUuid=group.switch.uuid, portgroupKey=group.moid, portKey=str(nic.key), connectionCookie=0
            )
            return _Card.DistributedVirtualPortBackingInfo(port=port)
        case OpaqueNetwork() as network:
            return _Card.OpaqueNetworkBackingInfo(opaqueNetworkId=network.id, opaqueNetworkType=network.kind)
        case group:
            return _Card.NetworkBackingInfo(deviceName=nic.network, network=group and network_ref(group))


def _laid_over(nic: Nic, device: Any, index: int, inventory: Inventory) -> Nic:
    if device.backing is not None:
        nic.network = _named(device.backing, inventory)
    if inventory.find_network(nic.network) is None:
        place = f"deviceChange[{index}].device.backing"
        raise vim.fault.InvalidDeviceBacking(msg=f"no network {nic.network}", property=place, deviceIndex=index)
    if (connectable := device.connectable) is not None:
        nic.connected = connectable.connected
        nic.start_connected = connectable.startConnected
        nic.allow_guest_control = connectable.allowGuestControl
    return nic


def _named(backing: Any, inventory: Inventory) -> str:
    """The name of the network that a backing asks for; its own word for it where there is none."""
    match backing:
        case _Card.NetworkBackingInfo():
            return str(backing.deviceName)
        case _Card.DistributedVirtualPortBackingInfo():
            key = backing.port.portgroupKey or ""
        case _Card.OpaqueNetworkBackingInfo():
            key = backing.opaqueNetworkId
        case _:
            raise vmodl.fault.NotSupported(msg=f"{type(backing).__name__} cannot back a network card here")
    network = inventory.find_network(key)
    return network.name if network else str(key)
