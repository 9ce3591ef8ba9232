"""Touches one snapshot of a VM as vSphere's VirtualMachineSnapshot does."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from lab.records import Snapshot
from lab.vcenter import hardware
from lab.vcenter.managed import Call, Managed
from lab.vcenter.refusals import as_faults
from lab.vcenter.vm import VirtualMachine


class VirtualMachineSnapshot(Managed):
    """One snapshot of a VM."""

    kind = vim.vm.Snapshot

    def __init__(self, owner: VirtualMachine, snapshot: Snapshot) -> None:
        super().__init__(owner.state, snapshot.moid)
        self.owner = owner
        self.snapshot = snapshot

    @property
    def vm(self) -> Any:
        return self.owner.ref

    @property
    def config(self) -> Any:
        return hardware.config(self.owner.machine, self.snapshot.nics, self.state.inventory)

    @property
    def childSnapshot(self) -> list[Any]:
        return [vim.vm.Snapshot(child.moid) for child in self.snapshot.children]

    def RevertToSnapshot_Task(self, call: Call, host: Any, suppressPowerOn: bool | None) -> Any:
        machine = self.owner.machine
        return self.owner.task(call, lambda: machine.revert(self.snapshot, suppress_power_on=bool(suppressPowerOn)))

    def RemoveSnapshot_Task(self, call: Call, removeChildren: bool, consolidate: bool | None) -> Any:
        machine = self.owner.machine
        return self.owner.task(call, lambda: machine.remove_snapshot(self.snapshot, remove_children=removeChildren))

    async def RenameSnapshot(self, call: Call, name: str | None, description: str | None) -> None:
        with as_faults(self.owner.machine):
            await self.owner.machine.rename_snapshot(self.snapshot, name, description)
