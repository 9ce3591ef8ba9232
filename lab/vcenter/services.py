"""Touches the vCenter's service objects: its content, its clock, searches, views, tasks and events."""

from __future__ import annotations

import secrets
from typing import Any

from pyVmomi import vim, vmodl

from lab.vcenter import places, tree
from lab.vcenter.collector import add
from lab.vcenter.managed import Call, Entity, Managed, State, now
from lab.vcenter.soap import API_VERSION

OPERATIONS = vim.vm.guest.GuestOperationsManager("guestOperationsManager")
COLLECTOR = vmodl.query.PropertyCollector("propertyCollector")


class ServiceInstance(Managed):
    """Where every client begins."""

    kind = vim.ServiceInstance

    @property
    def content(self) -> Any:
        return vim.ServiceInstanceContent(
            rootFolder=places.ROOT,
            propertyCollector=COLLECTOR,
            viewManager=vim.view.ViewManager("ViewManager"),
            sessionManager=vim.SessionManager("SessionManager"),
            authorizationManager=vim.AuthorizationManager("AuthorizationManager"),
            eventManager=vim.event.EventManager("EventManager"),
            taskManager=vim.TaskManager("TaskManager"),
            searchIndex=vim.SearchIndex("SearchIndex"),
            guestOperationsManager=OPERATIONS,
            about=vim.AboutInfo(
                name="VMware vCenter Server",
                fullName="VMware vCenter Server 8.0.3 (Quarterdeck's lab)",
                vendor="VMware, Inc.",
                version="8.0.3",
                build="0",
                osType="linux-x64",
                productLineId="vpx",
                apiType="VirtualCenter",
                apiVersion=API_VERSION,
                instanceUuid=self.state.inventory.instance_uuid,
            ),
        )

    @property
    def serverClock(self) -> Any:
        return now()

    def RetrieveServiceContent(self, call: Call) -> Any:
        return self.content

    def CurrentTime(self, call: Call) -> Any:
        return now()


class SearchIndex(Managed):
    """Finds VMs by what names them, and anything by its inventory path."""

    kind = vim.SearchIndex

    def FindByInventoryPath(self, call: Call, inventoryPath: str) -> Any:
        entity: Entity | None = tree.root(self.state)
        for name in filter(None, inventoryPath.split("/")):
            entity = next((child for child in entity.children() if child.name == name), None) if entity else None
        return entity.ref if entity else None

    def FindChild(self, call: Call, entity: Any, name: str) -> Any:
        above = call.find(entity)
        return next((child.ref for child in _below(above) if child.name == name), None)

    def FindAllByUuid(
        self, call: Call, datacenter: Any, uuid: str, vmSearch: bool, instanceUuid: bool | None
    ) -> list[Any]:
        if not vmSearch:
            return []
        wanted = uuid.lower()
        return [
            vim.VirtualMachine(machine.moid)
            for machine in self.state.inventory.machines
            if wanted == (machine.instance_uuid if instanceUuid else machine.bios_uuid)
        ]

    def FindByUuid(self, call: Call, datacenter: Any, uuid: str, vmSearch: bool, instanceUuid: bool | None) -> Any:
        return next(iter(self.FindAllByUuid(call, datacenter, uuid, vmSearch, instanceUuid)), None)

    def FindAllByIp(self, call: Call, datacenter: Any, ip: str, vmSearch: bool) -> list[Any]:
        return self._by_guest("ipAddress", ip) if vmSearch else []

    def FindByIp(self, call: Call, datacenter: Any, ip: str, vmSearch: bool) -> Any:
        return next(iter(self.FindAllByIp(call, datacenter, ip, vmSearch)), None)

    def FindAllByDnsName(self, call: Call, datacenter: Any, dnsName: str, vmSearch: bool) -> list[Any]:
        return self._by_guest("hostName", dnsName) if vmSearch else []

    def FindByDnsName(self, call: Call, datacenter: Any, dnsName: str, vmSearch: bool) -> Any:
        return next(iter(self.FindAllByDnsName(call, datacenter, dnsName, vmSearch)), None)

    def _by_guest(self, name: str, value: str) -> list[Any]:
        return [machine.ref for machine in tree.machines(self.state) if machine.read(f"guest.{name}") == value]


class ViewManager(Managed):
    """Makes views."""

    kind = vim.view.ViewManager

    def CreateContainerView(self, call: Call, container: Any, type: list[Any], recursive: bool) -> Any:
        _below(call.find(container))
        view = ContainerView(self.state, f"session[{secrets.token_hex(8)}]", call, container, type, recursive)
        return add(call.owner, view)


class ContainerView(Managed):
    """The entities of some types below a container, as they are at each look."""

    kind = vim.view.ContainerView

    def __init__(self, state: State, moid: str, call: Call, container: Any, types: list[Any], recursive: bool) -> None:
        super().__init__(state, moid)
        self._call = call
        self._container = container
        self._types = types
        self._recursive = recursive

    @property
    def container(self) -> Any:
        return self._container

    @property
    def type(self) -> list[Any]:
        return self._types

    @property
    def recursive(self) -> bool:
        return self._recursive

    @property
    def view(self) -> list[Any]:
        above = _entity(self._call.find(self._container))
        below = above.descendants() if self._recursive else above.children()
        return [one.ref for one in below if not self._types or issubclass(one.kind, tuple(self._types))]

    def DestroyView(self, call: Call) -> None:
        call.owner.objects.pop(self.moid)


class Task(Managed):
    """A task: its info says all."""

    kind = vim.Task

    @property
    def info(self) -> Any:
        return self.state.tasks.infos[self.moid]


class TaskManager(Managed):
    """The tasks that run, and those of the last minutes."""

    kind = vim.TaskManager

    @property
    def recentTask(self) -> list[Any]:
        return self.state.tasks.recent()


class EventManager(Managed):
    """What happened."""

    kind = vim.event.EventManager

    @property
    def latestEvent(self) -> Any:
        return self.state.events.events[-1] if self.state.events.events else None

    def QueryEvents(self, call: Call, filter: Any, eventViewSpec: Any) -> list[Any]:
        return self.state.events.query(filter)


def _entity(managed: Managed) -> Entity:
    if not isinstance(managed, Entity):
        raise vmodl.fault.InvalidArgument(msg=f"{managed.moid} contains nothing", invalidProperty="container")
    return managed


def _below(managed: Managed) -> list[Entity]:
    return _entity(managed).children()
