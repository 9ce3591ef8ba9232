"""Decides what the lab's datacenter has of hosts and networks: which port group leads where, on which ESXi host."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(eq=False)
class Esxi:
    """An ESXi host; `pnics` are its physical NICs (vmnic0…), those that no switch uses too."""

    name: str
    moid: str
    pnics: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Switch:
    """A standard virtual switch of one host; `uplinks` are the physical NICs that lead out of it."""

    name: str
    host: Esxi
    uplinks: list[str]


@dataclass(eq=False)
class PortGroup:
    """A network on a standard switch; where several hosts have one of the same name, they are one network to vCenter.

    `vmkernel` are the host's own ports (vmk0…) on it, by their address. `active` are the uplinks that it uses where
    that is not all of its switch's.
    """

    name: str
    moid: str
    switch: Switch
    vlan: int = 0
    vmkernel: dict[str, str] = field(default_factory=dict)
    active: list[str] | None = None


@dataclass(eq=False)
class DistributedSwitch:
    """A distributed switch: `uplinks` are the names of its uplink ports, `members` each host's physical NICs on it."""

    name: str
    moid: str
    uuid: str
    uplinks: list[str]
    members: dict[str, list[str]] = field(default_factory=dict)


@dataclass(eq=False)
class DistributedPortGroup:
    """A network on a distributed switch; `uplink` marks the one that holds the uplink ports.

    `vlan` is a number, or ranges where it is a trunk; `active` and `standby` are the uplink ports that it uses, all of
    the switch's where `active` is None, and `overrides` says that a single port may use others; `vmkernel` are hosts'
    own ports on it: (host's moid, device, address).
    """

    name: str
    moid: str
    switch: DistributedSwitch
    uplink: bool = False
    vlan: int | list[tuple[int, int]] = 0
    active: list[str] | None = None
    standby: list[str] = field(default_factory=list)
    overrides: bool = False
    vmkernel: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(eq=False)
class OpaqueNetwork:
    """A network that something else than vSphere manages, NSX say: where it leads is not for vCenter to know."""

    name: str
    moid: str
    id: str
    kind: str = "nsx.LogicalSwitch"


Network = PortGroup | DistributedPortGroup | OpaqueNetwork


class Networks:
    """The hosts and networks of one datacenter; the first host is there from the beginning."""

    def __init__(self) -> None:
        self.hosts: list[Esxi] = []
        self.switches: list[Switch] = []
        self.port_groups: list[PortGroup] = []
        self.distributed_switches: list[DistributedSwitch] = []
        self.distributed_port_groups: list[DistributedPortGroup] = []
        self.opaque_networks: list[OpaqueNetwork] = []
        self.add_host("esxi-1.lab")

    @property
    def networks(self) -> list[Network]:
        """Every network once, as vCenter tells them."""
        standard = {group.name: group for group in reversed(self.port_groups)}
        return [*reversed(standard.values()), *self.distributed_port_groups, *self.opaque_networks]

    def add_host(self, name: str, *, pnics: Sequence[str] = ()) -> Esxi:
        """A new ESXi host."""
        self.hosts.append(Esxi(name, f"host-{8 + len(self.hosts)}", list(pnics)))
        return self.hosts[-1]

    def add_switch(self, name: str, *, uplinks: Sequence[str] = (), host: Esxi | None = None) -> Switch:
        """A new standard switch, of the first host if none is named; without uplinks nothing on it leaves the host."""
        host = host or self.hosts[0]
        host.pnics = sorted({*host.pnics, *uplinks})
        self.switches.append(Switch(name, host, list(uplinks)))
        return self.switches[-1]

    def add_port_group(
        self,
        name: str,
        switch: Switch,
        *,
        vlan: int = 0,
        vmkernel: dict[str, str] | None = None,
        active: Sequence[str] | None = None,
    ) -> PortGroup:
        """A new network on `switch`, or an old one on one more host."""
        known = next((group.moid for group in self.port_groups if group.name == name), None)
        moid = known or f"network-{len(self.port_groups) + 11}"
        used = None if active is None else list(active)
        self.port_groups.append(PortGroup(name, moid, switch, vlan, vmkernel or {}, used))
        return self.port_groups[-1]

    def add_distributed_switch(
        self, name: str, members: dict[Esxi, Sequence[str]], *, uplinks: Sequence[str] = ("Uplink 1",)
    ) -> DistributedSwitch:
        """A new distributed switch over these hosts, each with its physical NICs, and its port group of uplinks."""
        number = len(self.distributed_switches) + 1
        switch = DistributedSwitch(name, f"dvs-{number}", str(uuid.uuid4()), list(uplinks))
        self.distributed_switches.append(switch)
        for host, pnics in members.items():
            host.pnics = sorted({*host.pnics, *pnics})
            switch.members[host.moid] = list(pnics)
        self.add_distributed_port_group(f"{name}-DVUplinks-{number}", switch, uplink=True, vlan=[(0, 4094)])
        return switch

    def add_distributed_port_group(
        self,
        name: str,
        switch: DistributedSwitch,
        *,
        uplink: bool = False,
        vlan: int | list[tuple[int, int]] = 0,
        active: Sequence[str] | None = None,
    ) -> DistributedPortGroup:
        """A new network on `switch`."""
        moid = f"dvportgroup-{len(self.distributed_port_groups) + 31}"
        used = None if active is None else list(active)
        self.distributed_port_groups.append(DistributedPortGroup(name, moid, switch, uplink, vlan, used))
        return self.distributed_port_groups[-1]

    def add_opaque_network(self, name: str) -> OpaqueNetwork:
        """A new network of NSX."""
        moid = f"network-o{len(self.opaque_networks) + 51}"
        self.opaque_networks.append(OpaqueNetwork(name, moid, str(uuid.uuid4())))
        return self.opaque_networks[-1]

    def find_network(self, key: str) -> Network | None:
        """The network of that name, moid or NSX id, if there is one."""
        for network in self.networks:
            if key in (network.name, network.moid) or (isinstance(network, OpaqueNetwork) and key == network.id):
                return network
        return None

    def hosts_of(self, network: Network) -> list[Esxi]:
        """The hosts that have this network."""
        match network:
            case PortGroup():
                there = {group.switch.host.moid for group in self.port_groups if group.moid == network.moid}
            case DistributedPortGroup():
                there = set(network.switch.members)
            case OpaqueNetwork():
                there = {host.moid for host in self.hosts}
        return [host for host in self.hosts if host.moid in there]
