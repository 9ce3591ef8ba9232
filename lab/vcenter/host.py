"""Decides how an ESXi host describes its network: switches, port groups, physical NICs and VMkernel ports, by keys."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from lab.inventory import Inventory
from lab.networks import DistributedPortGroup, DistributedSwitch, Esxi, PortGroup, Switch
from lab.vcenter.networks import member_backing

_MTU = 1500
_PORTS = 128
_Teaming = vim.host.NetworkPolicy.NicTeamingPolicy


def network_config(host: Esxi, inventory: Inventory) -> vim.host.NetworkInfo:
    """What the host's switches connect."""
    switches = [switch for switch in inventory.switches if switch.host is host]
    groups = [group for group in inventory.port_groups if group.switch.host is host]
    distributed = [switch for switch in inventory.distributed_switches if host.moid in switch.members]
    distributed_groups = inventory.distributed_port_groups
    return vim.host.NetworkInfo(
        vswitch=[_switch(switch, [group for group in groups if group.switch is switch]) for switch in switches],
        proxySwitch=[_proxy(switch, host, distributed_groups) for switch in distributed],
        portgroup=[_port_group(group) for group in groups],
        pnic=[_physical(pnic, at) for at, pnic in enumerate(host.pnics)],
        vnic=[
            *(_vmkernel(device, address, group) for group in groups for device, address in group.vmkernel.items()),
            *(
                _vmkernel(device, address, group)
                for group in distributed_groups
                for owner, device, address in group.vmkernel
                if owner == host.moid
            ),
        ],
        opaqueNetwork=[
            vim.host.OpaqueNetworkInfo(
                opaqueNetworkId=network.id, opaqueNetworkName=network.name, opaqueNetworkType=network.kind
            )
            for network in inventory.opaque_networks
        ],
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
        spec=vim.host.VirtualSwitch.Specification(
            numPorts=_PORTS, mtu=_MTU, bridge=bond, policy=_policy(switch.uplinks)
        ),
    )


def _proxy(switch: DistributedSwitch, host: Esxi, groups: list[DistributedPortGroup]) -> Any:
    pnics = switch.members[host.moid]
    uplinks = next(group for group in groups if group.switch is switch and group.uplink)
    return vim.host.HostProxySwitch(
        dvsUuid=switch.uuid,
        dvsName=switch.name,
        key=_key("HostProxySwitch", switch.name),
        numPorts=_PORTS,
        numPortsAvailable=_PORTS,
        uplinkPort=[vim.KeyValue(key=str(at), value=name) for at, name in enumerate(switch.uplinks)],
        mtu=_MTU,
        pnic=[_key("PhysicalNic", pnic) for pnic in pnics],
        spec=vim.host.HostProxySwitch.Specification(backing=member_backing(pnics, uplinks)),
    )


def _port_group(group: PortGroup) -> Any:
    own = None if group.active is None else _policy(group.active)
    return vim.host.PortGroup(
        key=_key("PortGroup", group.name),
        vswitch=_key("VirtualSwitch", group.switch.name),
        computedPolicy=own or _policy(group.switch.uplinks),
        spec=vim.host.PortGroup.Specification(
            name=group.name,
            vlanId=group.vlan,
            vswitchName=group.switch.name,
            policy=own or vim.host.NetworkPolicy(),
        ),
    )


def _policy(active: list[str]) -> Any:
    order = vim.host.NetworkPolicy.NicOrderPolicy(activeNic=active, standbyNic=[])
    return vim.host.NetworkPolicy(nicTeaming=_Teaming(policy="loadbalance_srcid", nicOrder=order))


def _physical(pnic: str, at: int) -> Any:
    return vim.host.PhysicalNic(
        key=_key("PhysicalNic", pnic),
        device=pnic,
        pci=f"0000:0{at}:00.0",
        mac=f"00:50:56:00:00:{at:02x}",
        linkSpeed=vim.host.PhysicalNic.LinkSpeedDuplex(speedMb=10_000, duplex=True),
        spec=vim.host.PhysicalNic.Specification(),
    )


def _vmkernel(device: str, address: str, group: PortGroup | DistributedPortGroup) -> Any:
    standard = group.name if isinstance(group, PortGroup) else ""
    port = None
    if isinstance(group, DistributedPortGroup):
        port = vim.dvs.PortConnection(switchUuid=group.switch.uuid, portgroupKey=group.moid, portKey=device)
    return vim.host.VirtualNic(
        key=_key("VirtualNic", device),
        device=device,
        portgroup=standard,
        spec=vim.host.VirtualNic.Specification(
            portgroup=standard or None,
            distributedVirtualPort=port,
            ip=vim.host.IpConfig(dhcp=False, ipAddress=address),
        ),
    )


def _key(kind: str, name: str) -> str:
    return f"key-vim.host.{kind}-{name}"
