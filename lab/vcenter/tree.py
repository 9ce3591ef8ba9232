"""Decides the inventory tree: folders, the datacenter, the cluster with its hosts, networks, storage, the VMs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from pyVmomi import vim

from lab.networks import Esxi
from lab.vcenter import host, places
from lab.vcenter.cards import network_ref
from lab.vcenter.managed import Entity, State
from lab.vcenter.networks import networks, switches
from lab.vcenter.vm import VirtualMachine


def root(state: State) -> Entity:
    """The folder that everything else is below of."""
    return Folder(state, places.ROOT, "Datacenters", None, lambda: [Datacenter(state)])


def fixtures(state: State) -> list[Entity]:
    """Everything of the tree but the VMs."""
    datacenter = Datacenter(state)
    above = [root(state), datacenter, *datacenter.children(), *vm_folders(state)]
    return [*above, Cluster(state), *Cluster(state).children(), Datastore(state), *switches(state), *networks(state)]


def machines(state: State) -> list[VirtualMachine]:
    """The VMs."""
    return [VirtualMachine(state, machine) for machine in state.inventory.machines]


def vm_folders(state: State) -> list[Entity]:
    """The inventory folders of VMs below the datacenter's own."""
    return [_vm_folder(state, place) for place in state.inventory.places]


def _vm_folder(state: State, place: str) -> Entity:
    above, _, name = place.rpartition("/")

    def content() -> list[Entity]:
        inside = [_vm_folder(state, one) for one in state.inventory.places if one.rpartition("/")[0] == place and one]
        return [*inside, *(one for one in machines(state) if one.machine.place == place)]

    return Folder(
        state, places.folder(place), name or "vm", places.folder(above) if place else places.DATACENTER, content
    )


class Folder(Entity):
    """A folder; `content` makes the entities in it."""

    kind = vim.Folder

    def __init__(self, state: State, ref: Any, name: str, parent: Any, content: Callable[[], list[Entity]]) -> None:
        super().__init__(state, ref._moId, name, parent)
        self.children = content  # type: ignore[method-assign]

    @property
    def childEntity(self) -> list[Any]:
        return [child.ref for child in self.children()]


class Datacenter(Entity):
    """The one datacenter."""

    kind = vim.Datacenter

    def __init__(self, state: State) -> None:
        super().__init__(state, places.DATACENTER._moId, state.inventory.datacenter, places.ROOT)

    def children(self) -> list[Entity]:
        state, parent = self.state, places.DATACENTER
        return [
            _vm_folder(state, ""),
            Folder(state, places.HOSTS, "host", parent, lambda: [Cluster(state)]),
            Folder(state, places.DATASTORES, "datastore", parent, lambda: [Datastore(state)]),
            Folder(state, places.NETWORKS, "network", parent, lambda: [*switches(state), *networks(state)]),
        ]

    @property
    def vmFolder(self) -> Any:
        return places.VMS

    @property
    def hostFolder(self) -> Any:
        return places.HOSTS

    @property
    def datastoreFolder(self) -> Any:
        return places.DATASTORES

    @property
    def networkFolder(self) -> Any:
        return places.NETWORKS

    @property
    def datastore(self) -> list[Any]:
        return [places.DATASTORE]

    @property
    def network(self) -> list[Any]:
        return [network.ref for network in networks(self.state)]


class Cluster(Entity):
    """The one cluster, of all hosts."""

    kind = vim.ClusterComputeResource

    def __init__(self, state: State) -> None:
        super().__init__(state, places.CLUSTER._moId, state.inventory.cluster, places.HOSTS)

    def children(self) -> list[Entity]:
        return [*(Host(self.state, host) for host in self.state.inventory.hosts), ResourcePool(self.state)]

    @property
    def host(self) -> list[Any]:
        return [vim.HostSystem(host.moid) for host in self.state.inventory.hosts]

    @property
    def resourcePool(self) -> Any:
        return places.POOL

    @property
    def datastore(self) -> list[Any]:
        return [places.DATASTORE]

    @property
    def network(self) -> list[Any]:
        return [network.ref for network in networks(self.state)]


class ResourcePool(Entity):
    """The cluster's root resource pool, which all VMs are in."""

    kind = vim.ResourcePool

    def __init__(self, state: State) -> None:
        super().__init__(state, places.POOL._moId, "Resources", places.CLUSTER)

    @property
    def owner(self) -> Any:
        return places.CLUSTER

    @property
    def vm(self) -> list[Any]:
        return [machine.ref for machine in machines(self.state)]


class Datastore(Entity):
    """The one datastore: the file system that the lab's folder is on, unless other sizes are told."""

    kind = vim.Datastore

    def __init__(self, state: State) -> None:
        super().__init__(state, places.DATASTORE._moId, state.inventory.datastore, places.DATASTORES)

    @property
    def summary(self) -> Any:
        inventory = self.state.inventory
        usage = shutil.disk_usage(inventory.folder)
        return vim.Datastore.Summary(
            datastore=self.ref,
            name=self.name,
            url=inventory.folder.as_uri(),
            capacity=usage.total if inventory.capacity is None else inventory.capacity,
            freeSpace=usage.free if inventory.free_space is None else inventory.free_space,
            accessible=True,
            multipleHostAccess=len(inventory.hosts) > 1,
            type="VMFS",
            maintenanceMode="normal",
        )

    @property
    def vm(self) -> list[Any]:
        return [machine.ref for machine in machines(self.state)]


class Host(Entity):
    """An ESXi host."""

    kind = vim.HostSystem

    def __init__(self, state: State, host: Esxi) -> None:
        super().__init__(state, host.moid, host.name, places.CLUSTER)
        self.host = host

    @property
    def runtime(self) -> Any:
        return vim.host.RuntimeInfo(connectionState="connected", powerState="poweredOn", inMaintenanceMode=False)

    @property
    def config(self) -> Any:
        return vim.host.ConfigInfo(
            host=self.ref,
            product=vim.AboutInfo(name="VMware ESXi", version="8.0.3", apiType="HostAgent"),
            network=host.network_config(self.host, self.state.inventory),
        )

    @property
    def vm(self) -> list[Any]:
        return [one.ref for one in machines(self.state) if one.machine.host == self.moid]

    @property
    def datastore(self) -> list[Any]:
        return [places.DATASTORE]

    @property
    def network(self) -> list[Any]:
        inventory = self.state.inventory
        return [network_ref(one) for one in inventory.networks if self.host in inventory.hosts_of(one)]
