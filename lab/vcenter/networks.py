"""Decides how the datacenter's networks look in vSphere's types: port groups, distributed switches, opaque networks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyVmomi import vim

from lab.networks import DistributedPortGroup, DistributedSwitch, Network, OpaqueNetwork, PortGroup
from lab.vcenter import cards, places
from lab.vcenter.managed import Entity, State
from lab.vcenter.vm import VirtualMachine

_Vds = vim.dvs.VmwareDistributedVirtualSwitch
_MADE = datetime(2024, 1, 1, tzinfo=UTC)


def networks(state: State) -> list[Entity]:
    """Every network, as an entity of its kind."""
    return [_entity(state, network) for network in state.inventory.networks]


def switches(state: State) -> list[Entity]:
    """The distributed switches."""
    return [Switch(state, switch) for switch in state.inventory.distributed_switches]


class StandardNetwork(Entity):
    """A standard port group, one of its name for all hosts that have it."""

    kind = vim.Network

    def __init__(self, state: State, network: Network) -> None:
        super().__init__(state, network.moid, network.name, places.NETWORKS)
        self.network = network

    @property
    def summary(self) -> Any:
        return vim.Network.Summary(network=self.ref, name=self.name, accessible=True)

    @property
    def host(self) -> list[Any]:
        return [vim.HostSystem(host.moid) for host in self.state.inventory.hosts_of(self.network)]

    @property
    def vm(self) -> list[Any]:
        machines = self.state.inventory.machines
        return [
            vim.VirtualMachine(machine.moid)
            for machine in machines
            if any(nic.network == self.name for nic in machine.nics)
        ]


class DistributedNetwork(StandardNetwork):
    """A port group of a distributed switch."""

    kind = vim.dvs.DistributedVirtualPortgroup

    def __init__(self, state: State, network: DistributedPortGroup) -> None:
        super().__init__(state, network)
        self.group = network

    @property
    def key(self) -> str:
        return self.moid

    @property
    def config(self) -> Any:
        return vim.dvs.DistributedVirtualPortgroup.ConfigInfo(
            key=self.moid,
            name=self.name,
            numPorts=8,
            distributedVirtualSwitch=_Vds(self.group.switch.moid),
            defaultPortConfig=_settings(self.group),
            type="earlyBinding",
            uplink=self.group.uplink,
            configVersion="1",
            policy=_Vds.VMwarePortgroupPolicy(
                vlanOverrideAllowed=False,
                uplinkTeamingOverrideAllowed=self.group.overrides,
                securityPolicyOverrideAllowed=False,
                blockOverrideAllowed=True,
                shapingOverrideAllowed=False,
                vendorConfigOverrideAllowed=False,
                livePortMovingAllowed=False,
                portConfigResetAtDisconnect=True,
            ),
        )


class NsxNetwork(StandardNetwork):
    """A network that vSphere only knows the name of."""

    kind = vim.OpaqueNetwork

    def __init__(self, state: State, network: OpaqueNetwork) -> None:
        super().__init__(state, network)
        self.opaque = network

    @property
    def summary(self) -> Any:
        return vim.OpaqueNetwork.Summary(
            network=self.ref,
            name=self.name,
            accessible=True,
            opaqueNetworkId=self.opaque.id,
            opaqueNetworkType=self.opaque.kind,
        )


class Switch(Entity):
    """A distributed switch."""

    kind = _Vds

    def __init__(self, state: State, switch: DistributedSwitch) -> None:
        super().__init__(state, switch.moid, switch.name, places.NETWORKS)
        self.switch = switch

    @property
    def uuid(self) -> str:
        return self.switch.uuid

    @property
    def portgroup(self) -> list[Any]:
        return [cards.network_ref(group) for group in self._groups]

    @property
    def config(self) -> Any:
        uplinks = next(group for group in self._groups if group.uplink)
        return _Vds.ConfigInfo(
            uuid=self.switch.uuid,
            name=self.name,
            numStandalonePorts=0,
            numPorts=128,
            maxPorts=2048,
            uplinkPortPolicy=vim.DistributedVirtualSwitch.NameArrayUplinkPortPolicy(uplinkPortName=self.switch.uplinks),
            uplinkPortgroup=[cards.network_ref(uplinks)],
            defaultPortConfig=_settings(uplinks),
            host=[_member(moid, pnics, uplinks) for moid, pnics in self.switch.members.items()],
            productInfo=vim.dvs.ProductSpec(name="DVS", vendor="VMware, Inc.", version="8.0.3"),
            extensionKey="",
            configVersion="1",
            policy=vim.DistributedVirtualSwitch.SwitchPolicy(autoPreInstallAllowed=False),
            contact=vim.DistributedVirtualSwitch.ContactInfo(),
            createTime=_MADE,
            networkResourceManagementEnabled=False,
            maxMtu=1500,
        )

    @property
    def summary(self) -> Any:
        hosts = [vim.HostSystem(moid) for moid in self.switch.members]
        names = {group.name for group in self._groups}
        users = [one for one in self.state.inventory.machines if any(nic.network in names for nic in one.nics)]
        return vim.DistributedVirtualSwitch.Summary(
            name=self.name,
            uuid=self.switch.uuid,
            numPorts=128,
            hostMember=hosts,
            host=hosts,
            vm=[VirtualMachine(self.state, machine).ref for machine in users],
            portgroupName=sorted(names),
            numHosts=len(hosts),
        )

    @property
    def _groups(self) -> list[DistributedPortGroup]:
        return [group for group in self.state.inventory.distributed_port_groups if group.switch is self.switch]


def member_backing(pnics: list[str], uplinks: DistributedPortGroup) -> Any:
    """How a host's physical NICs are the switch's uplinks."""
    return vim.dvs.HostMember.PnicBacking(
        pnicSpec=[
            vim.dvs.HostMember.PnicSpec(pnicDevice=pnic, uplinkPortKey=str(at), uplinkPortgroupKey=uplinks.moid)
            for at, pnic in enumerate(pnics)
        ]
    )


def _entity(state: State, network: Network) -> Entity:
    match network:
        case PortGroup():
            return StandardNetwork(state, network)
        case DistributedPortGroup():
            return DistributedNetwork(state, network)
        case OpaqueNetwork():
            return NsxNetwork(state, network)


def _member(moid: str, pnics: list[str], uplinks: DistributedPortGroup) -> Any:
    return vim.dvs.HostMember(
        config=vim.dvs.HostMember.ConfigInfo(
            host=vim.HostSystem(moid), maxProxySwitchPorts=256, backing=member_backing(pnics, uplinks)
        ),
        uplinkPortKey=[str(at) for at in range(len(pnics))],
        status="up",
    )


def _settings(group: DistributedPortGroup) -> Any:
    active = group.switch.uplinks if group.active is None else group.active
    order = _Vds.UplinkPortOrderPolicy(
        inherited=group.active is None, activeUplinkPort=active, standbyUplinkPort=group.standby
    )
    return _Vds.VmwarePortConfigPolicy(
        blocked=vim.BoolPolicy(inherited=False, value=False),
        vlan=_vlan(group.vlan),
        uplinkTeamingPolicy=_Vds.UplinkPortTeamingPolicy(
            inherited=group.active is None,
            policy=vim.StringPolicy(inherited=True, value="loadbalance_srcid"),
            uplinkPortOrder=order,
        ),
    )


def _vlan(vlan: int | list[tuple[int, int]]) -> Any:
    if isinstance(vlan, int):
        return _Vds.VlanIdSpec(inherited=False, vlanId=vlan)
    return _Vds.TrunkVlanSpec(inherited=False, vlanId=[vim.NumericRange(start=first, end=last) for first, last in vlan])
