"""Touches a VM as vSphere's VirtualMachine and VirtualMachineSnapshot do: reads it, and starts the tasks on it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from pyVmomi import vim, vmodl

from lab.machines import Machine
from lab.records import Snapshot
from lab.vcenter import cards, clones, faults, hardware, places
from lab.vcenter.managed import Call, Entity, State
from lab.vcenter.refusals import as_faults


class VirtualMachine(Entity):
    """One VM."""

    kind = vim.VirtualMachine

    def __init__(self, state: State, machine: Machine) -> None:
        super().__init__(state, machine.moid, machine.name, places.folder(machine.place))
        self.machine = machine

    @property
    def config(self) -> Any:
        return hardware.config(self.machine, self.machine.nics, self.state.inventory)

    @property
    def runtime(self) -> Any:
        return vim.vm.RuntimeInfo(
            host=vim.HostSystem(self.machine.host),
            connectionState="connected",
            powerState=self.machine.power,
            bootTime=self.machine.booted_at if self._on else None,
            consolidationNeeded=self.machine.consolidation_needed,
            question=_question(self.machine),
            faultToleranceState="notConfigured",
            recordReplayState="inactive",
        )

    @property
    def guest(self) -> Any:
        ready = self._on and self.machine.tools_up
        tools = self.machine.guest.tools if ready else "guestToolsNotRunning"
        running = tools != "guestToolsNotRunning"
        return vim.vm.GuestInfo(
            guestState="running" if running else "notRunning",
            guestOperationsReady=tools == "guestToolsRunning" and self.machine.guest.operations,
            toolsRunningStatus=tools,
            toolsVersionStatus2="guestToolsUnmanaged",
            guestFamily="linuxGuest" if running else None,
            hostName=self.name if running else None,
            ipAddress=self.machine.address if running else None,
        )

    @property
    def summary(self) -> Any:
        machine, guest = self.machine, self.guest
        return vim.vm.Summary(
            vm=self.ref,
            runtime=self.runtime,
            config=vim.vm.Summary.ConfigSummary(
                name=machine.name,
                template=machine.template,
                vmPathName=hardware.path_name(machine, self.state.inventory),
                memorySizeMB=hardware.MEMORY_MB,
                numCpu=hardware.CPUS,
                numEthernetCards=len(machine.nics),
                numVirtualDisks=len(machine.disks),
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
        return "green" if self.guest.guestState == "running" else "gray"

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
        return [cards.network_ref(network) for network in self.state.inventory.networks if network.name in used]

    @property
    def datastore(self) -> list[Any]:
        return [places.DATASTORE]

    @property
    def resourcePool(self) -> Any:
        return places.POOL

    def PowerOnVM_Task(self, call: Call, host: Any) -> Any:
        if self.machine.template:
            raise vmodl.fault.NotSupported(msg="A template cannot be powered on.")
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
            self.machine.consolidation_needed = False
            self.machine.save()

        return self.task(call, work)

    def ReconfigVM_Task(self, call: Call, spec: Any) -> Any:
        async def work() -> None:
            devices = hardware.changes(spec)
            await self.machine.reconfigure(cards.edited(self.machine.nics, devices, self.state.inventory))

        return self.task(call, work, event=vim.event.VmReconfiguredEvent, configSpec=spec)

    def CloneVM_Task(self, call: Call, folder: Any, name: str, spec: Any) -> Any:
        wanted = clones.read(call, self.machine, self.state.inventory, folder, name, spec)

        async def work() -> Any:
            machine = await clones.make(self.machine, wanted, self.state.inventory)
            return vim.VirtualMachine(machine.moid)

        return self.task(call, work)

    def Rename_Task(self, call: Call, newName: str) -> Any:
        clones.require_name(newName)
        return self.task(call, lambda: self.state.inventory.rename(self.machine, newName))

    def Destroy_Task(self, call: Call) -> Any:
        return self.task(call, lambda: self.state.inventory.destroy(self.machine), wanted="poweredOff")

    def AcquireTicket(self, call: Call, ticketType: str) -> Any:
        """A way to the VM's console, which leads nowhere here: that somebody asked for it is what is told."""
        with as_faults(self.machine, "poweredOn"):
            self.machine.require("poweredOn")
        self.posted(vim.event.VmAcquiredMksTicketEvent, call.owner.user, "Remote console connection requested")
        return vim.VirtualMachine.Ticket(
            ticket=secrets.token_hex(8), cfgFile="", host="esxi.lab", port=443, sslThumbprint=""
        )

    def posted(self, kind: Any, user: str, message: str, **about: Any) -> None:
        """Adds an event about this VM; `about` is what its type has of its own."""
        argument = vim.event.VmEventArgument(name=self.name, vm=self.ref)
        self.state.events.post(kind, user, f"{message}: {self.name}", vm=argument, **about)

    def AnswerVM(self, call: Call, questionId: str, answerChoice: str) -> None:
        question = self.machine.question
        if question is None or question.id != questionId:
            raise vim.fault.ConcurrentAccess(msg="The question has been answered, or was never asked.")
        if answerChoice not in question.choices:
            raise vmodl.fault.InvalidArgument(msg=f"no choice {answerChoice}", invalidProperty="answerChoice")
        self.machine.answer()

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
            await self._strike(call.method.wsdlName)
            with as_faults(self.machine, wanted):
                result = await work()
            if event is not None:
                self.posted(event, user, event.__name__.removeprefix("vim.event."), **about)
            return result

        return self.state.tasks.start(self.ref, self.name, user, call.method, run)

    async def _strike(self, method: str) -> None:
        """Lets happen to a task what was ordered, and returns when the VM has no question any more."""
        if ask := self.state.faults.take(faults.Ask, method):
            self.machine.ask(ask.question)
        while self.machine.question and not self.state.closing:
            await self.state.changes.wait(self.state.changes.count, None)
        if self.state.closing:
            raise vmodl.fault.RequestCanceled(msg="The vCenter is going down.")
        if fail := self.state.faults.take(faults.FailTasks, method):
            raise faults.made(fail)

    @property
    def _on(self) -> bool:
        return self.machine.power == "poweredOn"

    def _require_tools(self, wanted: str) -> None:
        with as_faults(self.machine, wanted):
            self.machine.require("poweredOn")
        if not self.machine.tools_up:
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


def _question(machine: Machine) -> Any:
    if (asked := machine.question) is None:
        return None
    choices = [vim.ElementDescription(label=label, summary=label, key=key) for key, label in asked.choices.items()]
    return vim.vm.QuestionInfo(
        id=asked.id,
        text=asked.text,
        choice=vim.option.ChoiceOption(choiceInfo=choices, defaultIndex=asked.default),
    )
