"""Decides what the lab's datacenter consists of: its one ESXi host, the switches and port groups on it, and its VMs."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.machines import Machine
from lab.records import Nic, Power, Record


@dataclass
class Switch:
    """A standard virtual switch; `uplinks` are the physical NICs (vmnic0…) that lead out of the host."""

    name: str
    uplinks: list[str] = field(default_factory=list)


@dataclass
class PortGroup:
    """A network of VMs on a standard switch; `vmkernel` are the host's own ports (vmk0…) on it, by their address."""

    name: str
    moid: str
    switch: str
    vlan: int = 0
    vmkernel: dict[str, str] = field(default_factory=dict)


class Inventory:
    """All VMs and networks of one lab, kept under `folder`; `tools` and `control` are what each VM's processes see.

    `control` may be set until the VMs are started. `on_change` listeners are told of every change of any VM, as
    `Machine.on_change` says.
    """

    datacenter = "lab"
    cluster = "lab-cluster"
    host = "esxi-1.lab"
    datastore = "datastore1"

    def __init__(self, folder: Path, tools: Path, control: str = "") -> None:
        self.folder = folder.resolve()
        self.tools = tools
        self.control = control
        # The same folder is the same vCenter, also after the lab was started again.
        self.instance_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, self.folder.as_uri()))
        self.switches: list[Switch] = []
        self.port_groups: list[PortGroup] = []
        self.by_moid: dict[str, Machine] = {}
        self.on_change: list[Callable[[Machine], None]] = []

    @property
    def machines(self) -> list[Machine]:
        """All VMs."""
        return list(self.by_moid.values())

    def add_switch(self, name: str, *, uplinks: Sequence[str] = ()) -> Switch:
        """A new standard switch; without uplinks nothing on it reaches the world outside."""
        self.switches.append(Switch(name, list(uplinks)))
        return self.switches[-1]

    def add_port_group(self, name: str, switch: Switch, *, vmkernel: dict[str, str] | None = None) -> PortGroup:
        """A new network on `switch`."""
        self.port_groups.append(
            PortGroup(name, f"network-{len(self.port_groups) + 11}", switch.name, 0, vmkernel or {})
        )
        return self.port_groups[-1]

    def add(self, name: str, *, address: str, networks: Sequence[PortGroup], power: Power = "poweredOn") -> Machine:
        """The VM of that name, as its folder kept it, or a new one with an empty disk and a NIC on each network.

        Its address is this lab's, whatever it was before. `start` puts it into `power`, or its kept power.
        """
        number = len(self.machines) + 101
        new = Record(
            name=name,
            moid=f"vm-{number}",
            instance_uuid=str(uuid.uuid4()),
            bios_uuid=str(uuid.uuid4()),
            power=power,
            nics=[
                Nic(key=4000 + at, network=network.name, mac=f"00:50:56:{secrets.token_bytes(3).hex(':')}")
                for at, network in enumerate(networks)
            ],
        )
        machine = Machine.open(self.folder / "vms" / name, new, address=address, tools=self.tools, control=self.control)
        self.by_moid[machine.moid] = machine
        return machine

    def find(self, key: str) -> Machine:
        """The VM of that name, moid or instance UUID. Raises KeyError."""
        for machine in self.machines:
            if key in (machine.name, machine.moid, machine.instance_uuid):
                return machine
        raise KeyError(key)

    async def start(self) -> None:
        """Boots the VMs that are to be on. Listeners (`Machine.on_power`) must be there before."""
        for machine in self.machines:
            machine.control = self.control
        await asyncio.gather(*(machine.start() for machine in self.machines))

    async def stop(self) -> None:
        """Ends every process of every VM; the next `start` of the same folder goes on as it was."""
        await asyncio.gather(*(machine.stop() for machine in self.machines))
