"""Decides how an ESXi host describes its network: switches, port groups, physical NICs and VMkernel ports, by keys."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from lab.inventory import Inventory, PortGroup, Switch

_MTU = 1500
_PORTS = 128


def network_config(inventory: Inventory) -> vim.host.NetworkInfo:
    """What the host's standard switches connect."""
    uplinks = sorted({uplink for switch in inventory.switches for uplink in switch.uplinks})
    groups = inventory.port_groups
    return vim.host.NetworkInfo(
        vswitch=[
            _switch(switch, [group for group in groups if group.switch == switch.name]) for switch in inventory.switches
        ],
        portgroup=[_port_group(group) for group in groups],
        pnic=[_physical(uplink, at) for at, uplink in enumerate(uplinks)],
        vnic=[_vmkernel(group, device, address) for group in groups for device, address in group.vmkernel.items()],
    )


def _switch(switch: Switch, groups: list[PortGroup]) -> Any:
    bond = vim.host.VirtualSwitch.BondBridge(nicDevice=switch.uplinks) if switch.uplinks else None
    return vim.host.VirtualSwitch(
        name=switch.name,
        key=_key("VirtualSwitch", switch.name),
        numPorts=_PORTS,
        numPortsAvailable=_PORTS,
        mtu=_MTU,
        portgroup=[_key("PortGroup", group.name) for group in groups],
        pnic=[_key("PhysicalNic", uplink) for uplink in switch.uplinks],
        spec=vim.host.VirtualSwitch.Specification(numPorts=_PORTS, mtu=_MTU, bridge=bond),
    )


def _port_group(group: PortGroup) -> Any:
    return vim.host.PortGroup(
        key=_key("PortGroup", group.name),
        vswitch=_key("VirtualSwitch", group.switch),
        computedPolicy=vim.host.NetworkPolicy(),
        spec=vim.host.PortGroup.Specification(
            name=group.name, vlanId=group.vlan, vswitchName=group.switch, policy=vim.host.NetworkPolicy()
        ),
    )


def _physical(uplink: str, at: int) -> Any:
    return vim.host.PhysicalNic(
        key=_key("PhysicalNic", uplink),
        device=uplink,
        pci=f"0000:0{at}:00.0",
        mac=f"00:50:56:00:00:{at:02x}",
        linkSpeed=vim.host.PhysicalNic.LinkSpeedDuplex(speedMb=10_000, duplex=True),
        spec=vim.host.PhysicalNic.Specification(),
    )


def _vmkernel(group: PortGroup, device: str, address: str) -> Any:
    return vim.host.VirtualNic(
        key=_key("VirtualNic", device),
        device=device,
        portgroup=group.name,
        port="",
        spec=vim.host.VirtualNic.Specification(
            portgroup=group.name, ip=vim.host.IpConfig(dhcp=False, ipAddress=address)
        ),
    )


def _key(kind: str, name: str) -> str:
    return f"key-vim.host.{kind}-{name}"
