"""Touches the whole vCenter: finds the object of every call, lets only those in who may, and makes the call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pyVmomi import vim, vmodl

from lab.inventory import Inventory
from lab.vcenter import access, files, guest, services, tree
from lab.vcenter.faults import Faults
from lab.vcenter.managed import CALLER, Call, Managed, Session, State
from lab.vcenter.snapshots import VirtualMachineSnapshot
from lab.vcenter.soap import FETCH, Request
from lab.vcenter.vm import VirtualMachine

_ANONYMOUS = "System.Anonymous"


class VCenter:
    """One vCenter over one inventory; `users` are names and passwords, and each may do the same."""

    def __init__(self, inventory: Inventory, users: Mapping[str, str]) -> None:
        self.state = State(inventory)
        self.logins = access.SessionManager(self.state, "SessionManager", users)
        fixed: list[Managed] = [
            self.logins,
            services.ServiceInstance(self.state, "ServiceInstance"),
            services.SearchIndex(self.state, "SearchIndex"),
            services.ViewManager(self.state, "ViewManager"),
            services.TaskManager(self.state, "TaskManager"),
            services.EventManager(self.state, "EventManager"),
            access.AuthorizationManager(self.state, "AuthorizationManager"),
            guest.GuestOperationsManager(self.state, services.OPERATIONS._moId),
            guest.AuthManager(self.state, guest.AUTH._moId),
            guest.ProcessManager(self.state, guest.PROCESSES._moId),
            files.FileManager(self.state, guest.FILES._moId),
        ]
        self._fixed = {managed.moid: managed for managed in fixed}

    @property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return self.state.faults

    async def invoke(self, request: Request, call: Call) -> Any:
        """Makes one call, and returns its value or raises its MethodFault.

        Every method call passes here, and before it nothing has happened: what is to fail on its way in, after it
        acted, or in what it answers, fails here.
        """
        prop = request.arguments.get("prop") if request.method is FETCH else None
        name = request.method.wsdlName
        privilege = _property(request.this, prop).privId if prop else request.method.privId or access.INSIDE.get(name)
        self._admit(request, call, privilege)
        CALLER.set(call.session)
        target = self.find(request.this, call.session)
        if prop:
            return target.read(prop)
        handler = getattr(target, name, None)
        if handler is None or not issubclass(target.kind, request.method.type):
            raise vmodl.fault.NotSupported(msg=f"{name} is not there for {target.ref}")
        result = handler(call, *request.arguments.values())
        return await result if inspect.isawaitable(result) else result

    def find(self, ref: Any, session: Session | None) -> Managed:
        """The object of a reference. Raises ManagedObjectNotFound."""
        moid = ref._moId
        found = self._fixed.get(moid) or (session.objects.get(moid) if session else None) or self._made(moid)
        if found is None or not isinstance(ref, found.kind):
            raise vmodl.fault.ManagedObjectNotFound(
                msg="The object has already been deleted or has not been completely created", obj=ref
            )
        return found

    async def close(self) -> None:
        """Ends all sessions, so that nobody waits any more, and returns when no task runs."""
        await self.state.close()

    def _made(self, moid: str) -> Managed | None:
        inventory = self.state.inventory
        if moid in inventory.by_moid:
            return VirtualMachine(self.state, inventory.by_moid[moid])
        if moid in self.state.tasks.infos:
            return services.Task(self.state, moid)
        for entity in tree.fixtures(self.state):
            if entity.moid == moid:
                return entity
        for machine in inventory.machines:
            for snapshot in machine.all_snapshots():
                if snapshot.moid == moid:
                    return VirtualMachineSnapshot(VirtualMachine(self.state, machine), snapshot)
        return None

    def _admit(self, request: Request, call: Call, privilege: str | None) -> None:
        open_to_all = isinstance(request.this, vim.ServiceInstance | vim.SessionManager) and privilege == _ANONYMOUS
        if call.session is None and not open_to_all:
            raise vim.fault.NotAuthenticated(
                msg="The session is not authenticated.", object=request.this, privilegeId=privilege or "System.View"
            )
        if privilege in self.state.denied:
            raise vim.fault.NoPermission(
                msg=f"Permission to perform this operation was denied: {privilege}.",
                object=request.this,
                privilegeId=privilege,
            )


def _property(ref: Any, name: str) -> Any:
    try:
        return type(ref)._GetPropertyInfo(name)
    except AttributeError:
        raise vmodl.query.InvalidProperty(msg=f"no property {name}", name=name) from None
