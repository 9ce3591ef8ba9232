"""Decides what every managed object of the vCenter has in common: a reference, typed properties, a call."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import DataObject, Enum

from lab.guest import Tools
from lab.inventory import Inventory
from lab.machines import Machine
from lab.vcenter.faults import Faults
from lab.vcenter.log import Changes, EventLog, TaskLog
from lab.vcenter.transfers import Transfers


@dataclass
class Session:
    """A login; `objects` are the collectors, filters and views that live and die with it."""

    key: str
    user: str
    begun: datetime
    last_active: datetime
    objects: dict[str, Managed] = field(default_factory=dict)


# The session of the call that is being made, for the one property that is another one to each caller.
CALLER: ContextVar[Session | None] = ContextVar("CALLER", default=None)


class State:
    """What all managed objects of one vCenter share; `denied` are privileges that its user does not have, `closing`
    says that nobody is to wait any more."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.changes = Changes()
        self.events = EventLog(self.changes)
        self.tasks = TaskLog(self.changes, self.events)
        self.sessions: dict[str, Session] = {}
        self.denied: set[str] = set()
        self.closing = False
        self.faults = Faults(self.end_sessions)
        self.transfers = Transfers()
        self._tools: dict[str, Tools] = {}
        inventory.on_change.append(lambda machine: self.changes.touch())
        inventory.on_roster.append(self.changes.touch)

    def end_sessions(self) -> None:
        """Everybody is logged out; who waits in a session is told."""
        self.sessions.clear()
        self.changes.touch()

    def tools(self, machine: Machine) -> Tools:
        """The VMware Tools of a VM."""
        return self._tools.setdefault(machine.moid, Tools(machine))

    async def close(self) -> None:
        """Lets nobody wait any more, and returns when no task runs."""
        self.closing = True
        self.end_sessions()
        for tools in self._tools.values():
            tools.close()
        await self.tasks.close()


@dataclass
class Call:
    """One method call: who makes it, and how it finds the objects that its arguments refer to.

    `find` raises ManagedObjectNotFound; `gone` becomes true when the client hangs up.
    """

    session: Session | None
    method: Any
    find: Callable[[Any], Managed]
    gone: bool = False

    @property
    def owner(self) -> Session:
        """The session. Raises NotAuthenticated."""
        if self.session is None:
            raise vim.fault.NotAuthenticated(msg="The session is not authenticated.")
        return self.session


class Managed:
    """A managed object. Its vSphere properties are its Python properties of the same name, absent where there is none;
    its vSphere methods are its methods of the WSDL's name, which take the Call and the arguments in their order.
    """

    kind: ClassVar[Any]

    def __init__(self, state: State, moid: str) -> None:
        self.state = state
        self.moid = moid

    @property
    def ref(self) -> Any:
        """The reference that goes over the wire."""
        return self.kind(self.moid)

    def read(self, path: str) -> Any:
        """The value at a path like `config.hardware.device`, None where it is unset. Raises InvalidProperty."""
        declared = declared_type(self.kind, path)
        first, *rest = path.split(".")
        member = getattr(type(self), first, None)
        value = member.fget(self) if isinstance(member, property) and member.fget else None
        for name in rest:
            if value is None:
                return None
            value = getattr(value, name)
        # A bare number, list or word is given the declared type's name on the wire.
        return declared(value) if value is not None and issubclass(declared, (Enum, list, int, float)) else value

    def property_names(self) -> list[str]:
        """All properties that this type has in vSphere."""
        return [info.name for info in self.kind._GetPropertyList()]


class Entity(Managed):
    """A managed object of the inventory tree."""

    def __init__(self, state: State, moid: str, name: str, parent: Any = None) -> None:
        super().__init__(state, moid)
        self._name = name
        self._parent = parent

    def children(self) -> list[Entity]:
        """What is below it in the tree."""
        return []

    def descendants(self) -> list[Entity]:
        """Everything that is below it in the tree."""
        return [found for child in self.children() for found in (child, *child.descendants())]

    @property
    def name(self) -> str:
        return self._name

    @property
    def parent(self) -> Any:
        return self._parent

    @property
    def overallStatus(self) -> str:
        return "green"

    @property
    def configStatus(self) -> str:
        return "green"

    @property
    def effectiveRole(self) -> list[int]:
        return [-1]  # the administrator's

    @property
    def recentTask(self) -> list[Any]:
        return [task for task in self.state.tasks.recent() if self.state.tasks.infos[task._moId].entity == self.ref]


def declared_type(kind: Any, path: str) -> Any:
    """The type that vSphere declares for a property path of a managed type. Raises InvalidProperty."""
    for depth, name in enumerate(path.split(".")):
        try:
            if depth and not issubclass(kind, DataObject):
                raise AttributeError(name)  # a path ends at a list and at a reference
            kind = kind._GetPropertyInfo(name).type
        except AttributeError:
            raise vmodl.query.InvalidProperty(msg=f"no property {path}", name=path) from None
    return kind


def now() -> datetime:
    """The vCenter's clock, in UTC."""
    return datetime.now(UTC)
