"""Decides the inventory tree: folders, the datacenter, the cluster with its host, networks, storage, and the VMs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from pyVmomi import vim

from lab.inventory import PortGroup
from lab.vcenter import host, places
from lab.vcenter.managed import Entity, State
from lab.vcenter.vm import VirtualMachine


def root(state: State) -> Entity:
    """The folder that everything else is below of."""
    return Folder(state, places.ROOT, "Datacenters", None, lambda: [Datacenter(state)])


def networks(state: State) -> list[Entity]:
    """The port groups."""
    return [Network(state, group) for group in state.inventory.port_groups]


def machines(state: State) -> list[Entity]:
    """The VMs."""
    return [VirtualMachine(state, machine) for machine in state.inventory.machines]


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
            Folder(state, places.VMS, "vm", parent, lambda: machines(state)),
            Folder(state, places.HOSTS, "host", parent, lambda: [Cluster(state)]),
            Folder(state, places.DATASTORES, "datastore", parent, lambda: [Datastore(state)]),
            Folder(state, places.NETWORKS, "network", parent, lambda: networks(state)),
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
    """The one cluster, of one host."""

    kind = vim.ClusterComputeResource

    def __init__(self, state: State) -> None:
        super().__init__(state, places.CLUSTER._moId, state.inventory.cluster, places.HOSTS)

    def children(self) -> list[Entity]:
        return [Host(self.state), ResourcePool(self.state)]

    @property
    def host(self) -> list[Any]:
        return [places.HOST]

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
    """The one datastore: the file system that the lab's folder is on."""

    kind = vim.Datastore

    def __init__(self, state: State) -> None:
        super().__init__(state, places.DATASTORE._moId, state.inventory.datastore, places.DATASTORES)

    @property
    def summary(self) -> Any:
        folder = self.state.inventory.folder
        usage = shutil.disk_usage(folder)
        return vim.Datastore.Summary(
            datastore=self.ref,
            name=self.name,
            url=folder.as_uri(),
            capacity=usage.total,
            freeSpace=usage.free,
            accessible=True,
            multipleHostAccess=False,
            type="VMFS",
            maintenanceMode="normal",
        )

    @property
    def vm(self) -> list[Any]:
        return [machine.ref for machine in machines(self.state)]


class Network(Entity):
    """A standard port group, as vCenter shows it on every host that has it."""

    kind = vim.Network

    def __init__(self, state: State, group: PortGroup) -> None:
        super().__init__(state, group.moid, group.name, places.NETWORKS)

    @property
    def summary(self) -> Any:
        return vim.Network.Summary(network=self.ref, name=self.name, accessible=True)

    @property
    def host(self) -> list[Any]:
        return [places.HOST]

    @property
    def vm(self) -> list[Any]:
        users = (machine for machine in machines(self.state) if self.ref in machine.read("network"))
        return [machine.ref for machine in users]


class Host(Entity):
    """The one ESXi host."""

    kind = vim.HostSystem

    def __init__(self, state: State) -> None:
        super().__init__(state, places.HOST._moId, state.inventory.host, places.CLUSTER)

    @property
    def runtime(self) -> Any:
        return vim.host.RuntimeInfo(connectionState="connected", powerState="poweredOn", inMaintenanceMode=False)

    @property
    def config(self) -> Any:
        return vim.host.ConfigInfo(
            host=self.ref,
            product=vim.AboutInfo(name="VMware ESXi", version="8.0.3", apiType="HostAgent"),
            network=host.network_config(self.state.inventory),
        )

    @property
    def vm(self) -> list[Any]:
        return [machine.ref for machine in machines(self.state)]

    @property
    def datastore(self) -> list[Any]:
        return [places.DATASTORE]

    @property
    def network(self) -> list[Any]:
        return [network.ref for network in networks(self.state)]
