"""Touches a VM as vSphere's VirtualMachine and VirtualMachineSnapshot do: reads it, and starts the tasks on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyVmomi import vim, vmodl

from lab.machines import InvalidPower, Machine, SnapshotGone
from lab.records import Snapshot
from lab.vcenter import hardware, places
from lab.vcenter.managed import Call, Entity, Managed, State

_WORDS = {"poweredOn": "Powered on", "poweredOff": "Powered off"}


class VirtualMachine(Entity):
    """One VM."""

    kind = vim.VirtualMachine

    def __init__(self, state: State, machine: Machine) -> None:
        super().__init__(state, machine.moid, machine.name, places.VMS)
        self.machine = machine

    @property
    def config(self) -> Any:
        return hardware.config(self.machine, self.machine.nics, self.state.inventory)

    @property
    def runtime(self) -> Any:
        return vim.vm.RuntimeInfo(
            host=places.HOST,
            connectionState="connected",
            powerState=self.machine.power,
            bootTime=self.machine.booted_at if self._on else None,
            consolidationNeeded=False,
            faultToleranceState="notConfigured",
            recordReplayState="inactive",
        )

    @property
    def guest(self) -> Any:
        ready = self._on and self.machine.booted
        return vim.vm.GuestInfo(
            guestState="running" if ready else "notRunning",
            guestOperationsReady=ready,
            toolsRunningStatus="guestToolsRunning" if ready else "guestToolsNotRunning",
            toolsVersionStatus2="guestToolsUnmanaged",
            hostName=self.name if ready else None,
            ipAddress=self.machine.address if ready else None,
        )

    @property
    def summary(self) -> Any:
        machine, guest = self.machine, self.guest
        return vim.vm.Summary(
            vm=self.ref,
            runtime=self.runtime,
            config=vim.vm.Summary.ConfigSummary(
                name=machine.name,
                template=False,
                vmPathName=hardware.path_name(machine, self.state.inventory),
                memorySizeMB=hardware.MEMORY_MB,
                numCpu=hardware.CPUS,
                numEthernetCards=len(machine.nics),
                numVirtualDisks=1,
                uuid=machine.bios_uuid,
                instanceUuid=machine.instance_uuid,
                guestId=hardware.GUEST_ID,
                guestFullName=hardware.GUEST_NAME,
            ),
            guest=vim.vm.Summary.GuestSummary(
                toolsRunningStatus=guest.toolsRunningStatus, hostName=guest.hostName, ipAddress=guest.ipAddress
            ),
            quickStats=vim.vm.Summary.QuickStats(guestHeartbeatStatus=self.guestHeartbeatStatus),
            overallStatus="green",
        )

    @property
    def guestHeartbeatStatus(self) -> str:
        return "green" if self._on and self.machine.booted else "gray"

    @property
    def snapshot(self) -> Any:
        machine = self.machine
        if not machine.snapshots:
            return None
        return vim.vm.SnapshotInfo(
            currentSnapshot=vim.vm.Snapshot(machine.current) if machine.current else None,
            rootSnapshotList=[self._tree(root) for root in machine.snapshots],
        )

    @property
    def rootSnapshot(self) -> list[Any]:
        return [vim.vm.Snapshot(root.moid) for root in self.machine.snapshots]

    @property
    def network(self) -> list[Any]:
        used = {nic.network for nic in self.machine.nics}
        return [vim.Network(group.moid) for group in self.state.inventory.port_groups if group.name in used]

    @property
    def datastore(self) -> list[Any]:
        return [places.DATASTORE]

    @property
    def resourcePool(self) -> Any:
        return places.POOL

    def PowerOnVM_Task(self, call: Call, host: Any) -> Any:
        return self.task(call, self.machine.power_on, wanted="poweredOn", event=vim.event.VmPoweredOnEvent)

    def PowerOffVM_Task(self, call: Call) -> Any:
        return self.task(call, self.machine.power_off, wanted="poweredOff", event=vim.event.VmPoweredOffEvent)

    def ResetVM_Task(self, call: Call) -> Any:
        return self.task(call, self.machine.reboot, wanted="poweredOn", event=vim.event.VmResettingEvent)

    def RebootGuest(self, call: Call) -> None:
        self._require_tools("poweredOn")
        self.task(call, self.machine.reboot, wanted="poweredOn", event=vim.event.VmGuestRebootEvent)

    def ShutdownGuest(self, call: Call) -> None:
        self._require_tools("poweredOff")
        self.task(call, self.machine.power_off, wanted="poweredOff", event=vim.event.VmGuestShutdownEvent)

    def CreateSnapshot_Task(self, call: Call, name: str, description: str | None, memory: bool, quiesce: bool) -> Any:
        # A snapshot here always finds the VM's processes standing still, so that quiesce asks for nothing more.
        async def work() -> Any:
            try:
                snapshot = await self.machine.take_snapshot(name, description or "", memory=memory)
            except OSError as problem:
                raise vim.fault.SnapshotFault(msg=str(problem)) from None
            return vim.vm.Snapshot(snapshot.moid)

        return self.task(call, work)

    def RevertToCurrentSnapshot_Task(self, call: Call, host: Any, suppressPowerOn: bool | None) -> Any:
        async def work() -> None:
            if (current := self.machine.current_snapshot) is None:
                raise vim.fault.NotFound(msg="The virtual machine has no current snapshot.")
            await self.machine.revert(current, suppress_power_on=bool(suppressPowerOn))

        return self.task(call, work)

    def RemoveAllSnapshots_Task(self, call: Call, consolidate: bool | None, spec: Any) -> Any:
        async def work() -> None:
            for root in list(self.machine.snapshots):
                await self.machine.remove_snapshot(root, remove_children=True)

        return self.task(call, work)

    def ConsolidateVMDisks_Task(self, call: Call) -> Any:
        async def work() -> None:
            """A disk that is a folder leaves nothing to merge behind."""

        return self.task(call, work)

    def ReconfigVM_Task(self, call: Call, spec: Any) -> Any:
        async def work() -> None:
            await self.machine.reconfigure(hardware.edited(self.machine.nics, spec, self.state.inventory))

        return self.task(call, work, event=vim.event.VmReconfiguredEvent, configSpec=spec)

    def task(
        self,
        call: Call,
        work: Callable[[], Awaitable[Any]],
        *,
        wanted: str | None = None,
        event: Any = None,
        **about: Any,
    ) -> Any:
        """Starts a task on this VM. At its good end `event` is posted, with `about` as what that type has of its own;
        `wanted` is the power state that an InvalidPowerState names."""
        user = call.owner.user

        async def run() -> Any:
            with _as_faults(self.machine, wanted):
                result = await work()
            if event is not None:
                message = f"{event.__name__.removeprefix('vim.event.')}: {self.name}"
                argument = vim.event.VmEventArgument(name=self.name, vm=self.ref)
                self.state.events.post(event, user, message, vm=argument, **about)
            return result

        return self.state.tasks.start(self.ref, self.name, user, call.method, run)

    @property
    def _on(self) -> bool:
        return self.machine.power == "poweredOn"

    def _require_tools(self, wanted: str) -> None:
        with _as_faults(self.machine, wanted):
            if not self._on:
                raise InvalidPower(self.machine)
        if not self.machine.booted:
            raise vim.fault.ToolsUnavailable(msg="VMware Tools is not running in the virtual machine.")

    def _tree(self, snapshot: Snapshot) -> Any:
        return vim.vm.SnapshotTree(
            snapshot=vim.vm.Snapshot(snapshot.moid),
            vm=self.ref,
            name=snapshot.name,
            description=snapshot.description,
            id=snapshot.number,
            createTime=snapshot.created,
            state=snapshot.power,
            quiesced=False,
            replaySupported=False,
            childSnapshotList=[self._tree(child) for child in snapshot.children],
        )


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
        with _as_faults(self.owner.machine):
            await self.owner.machine.rename_snapshot(self.snapshot, name, description)


@contextmanager
def _as_faults(machine: Machine, wanted: str | None = None) -> Iterator[None]:
    """What the VM refuses, as vSphere says it."""
    try:
        yield
    except InvalidPower as refused:
        raise vim.fault.InvalidPowerState(
            msg=f"The attempted operation cannot be performed in the current state ({_WORDS[refused.existing]}).",
            requestedState=wanted,
            existingState=refused.existing,
        ) from None
    except SnapshotGone as gone:
        raise vmodl.fault.ManagedObjectNotFound(
            msg=f"The snapshot {gone} of {machine.name} has already been deleted.", obj=vim.vm.Snapshot(str(gone))
        ) from None
