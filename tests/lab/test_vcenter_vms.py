"""VMs through the lab's vCenter: power, snapshots, network cards, and the tasks that change them."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl
from vcenter_room import (
    DEADLINE,
    USER,
    Query,
    Server,
    cards_of,
    changes,
    done,
    edit,
    finish,
    until,
    vm_of,
    watch,
)

from lab.machines import Machine
from lab.records import Disk, Question


def test_a_revert_brings_the_bytes_and_the_network_cards_back(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    shop = server.web.disk / "shop.db"
    shop.write_bytes(b"before")
    done(si, vm.PowerOnVM_Task())
    task = vm.CreateSnapshot_Task("qd run-1", "before the rehearsal", False, False)
    snapshot = done(si, task)
    assert (task.info.entity, task.info.entityName, task.info.reason.userName) == (vm, "staging-web", USER)
    shop.write_bytes(b"after")
    [card] = cards_of(vm)
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="prod-lan")
    card.connectable.startConnected = False
    done(si, vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit(card)])))
    assert [network.name for network in vm.network] == ["prod-lan"]

    done(si, snapshot.RevertToSnapshot_Task(suppressPowerOn=True))
    assert shop.read_bytes() == b"before"
    assert vm.runtime.powerState == "poweredOff"
    [card] = cards_of(vm)
    assert (card.backing.deviceName, card.backing.network.name) == ("isolated-staging", "isolated-staging")
    assert (card.connectable.connected, card.connectable.startConnected) == (False, True)


def test_a_reconfiguration_that_makes_no_sense_is_refused(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    card = vim.vm.device.VirtualVmxnet3(
        key=4000, backing=vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="nowhere")
    )
    unknown = vim.vm.device.VirtualVmxnet3(key=4009)
    for spec, fault in (
        (vim.vm.ConfigSpec(deviceChange=[edit(card)]), vim.fault.InvalidDeviceBacking),
        (vim.vm.ConfigSpec(deviceChange=[edit(unknown)]), vim.fault.InvalidDeviceSpec),
        (vim.vm.ConfigSpec(memoryMB=4096), vmodl.fault.NotSupported),
    ):
        assert isinstance(finish(si, vm.ReconfigVM_Task(spec)).error, fault)
    assert [nic.network for nic in server.web.nics] == ["isolated-staging"]


def test_the_snapshot_tree_is_read_renamed_and_removed(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    assert vm.snapshot is None
    first = done(si, vm.CreateSnapshot_Task("first", "", False, False))
    second = done(si, vm.CreateSnapshot_Task("second", "why", False, False))
    [root] = vm.snapshot.rootSnapshotList
    assert (root.name, root.snapshot, root.vm, root.id) == ("first", first, vm, 1)
    assert abs((root.createTime - datetime.now(UTC)).total_seconds()) < 60
    [child] = root.childSnapshotList
    assert (child.name, child.description, child.snapshot) == ("second", "why", second)
    assert vm.snapshot.currentSnapshot == second
    second.RenameSnapshot("second & last")
    assert vm.snapshot.rootSnapshotList[0].childSnapshotList[0].name == "second & last"
    done(si, first.RemoveSnapshot_Task(removeChildren=False, consolidate=True))
    assert [tree.name for tree in vm.snapshot.rootSnapshotList] == ["second & last"]
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        first.RevertToSnapshot_Task(suppressPowerOn=True)
    done(si, vm.RevertToCurrentSnapshot_Task(suppressPowerOn=True))
    done(si, vm.RemoveAllSnapshots_Task())
    done(si, vm.ConsolidateVMDisks_Task())
    assert vm.snapshot is None
    assert isinstance(finish(si, vm.RevertToCurrentSnapshot_Task()).error, vim.fault.NotFound)


def test_power_off_ends_the_processes_that_detached_themselves(server: Server, si: vim.ServiceInstance) -> None:
    async def start() -> None:
        shell = await server.prod.spawn(
            ["/bin/sh", "-c", "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 9; done' &"]
        )
        await shell.wait()

    server.ask(start())
    until(server.prod.processes, "the stray process")  # not seen while it executes another program
    done(si, vm_of(si, server.prod).PowerOffVM_Task())
    assert server.prod.processes() == []


def test_power_operations_in_the_wrong_state_say_both_states(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    error = finish(si, vm.PowerOffVM_Task()).error
    assert isinstance(error, vim.fault.InvalidPowerState)
    assert (error.requestedState, error.existingState) == ("poweredOff", "poweredOff")
    assert "Powered off" in error.msg
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.RebootGuest()
    done(si, vm.PowerOnVM_Task())
    boot = server.web.boot_id
    done(si, vm.ResetVM_Task())
    assert server.web.boot_id != boot
    collector = watch(si, vm, ["runtime.powerState"])
    update = collector.WaitForUpdatesEx("", None)
    assert changes(update) == {"runtime.powerState": "poweredOn"}
    with pytest.raises(vim.fault.InvalidPowerState):
        WaitForTask(vm.PowerOnVM_Task(), si)
    vm.ShutdownGuest()
    assert changes(collector.WaitForUpdatesEx(update.version, None)) == {"runtime.powerState": "poweredOff"}


def held(machine: Machine) -> Callable[[], None]:
    """Keeps every boot of the machine from ending until the returned function is called."""
    gate = threading.Event()

    async def listener(booting: Machine) -> None:
        while not gate.is_set():
            await asyncio.sleep(0.01)

    machine.on_power.append(listener)
    return gate.set


def test_a_second_change_of_a_busy_vm_is_refused_and_names_the_first(server: Server, si: vim.ServiceInstance) -> None:
    vm, other = vm_of(si, server.web), vm_of(si, server.db)
    release = held(server.web)
    first = vm.PowerOnVM_Task()
    error = finish(si, vm.CreateSnapshot_Task("too early", "", False, False)).error
    assert isinstance(error, vim.fault.TaskInProgress)
    assert error.task == first
    assert first in si.content.taskManager.recentTask
    done(si, other.PowerOnVM_Task())
    assert vm.guest.guestOperationsReady is False
    release()
    done(si, first)
    assert vm.snapshot is None
    assert vm.guest.guestOperationsReady is True


def test_the_end_of_a_task_wakes_who_waits_for_it_at_once(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    release = held(server.web)
    task = vm.PowerOnVM_Task()
    collector = watch(si, task, ["info.state", "info.result", "info.progress", "info.completeTime"])
    version, state = "", None
    while state != "running":
        update = collector.WaitForUpdatesEx(version, Query.WaitOptions(maxWaitSeconds=DEADLINE))
        version, state = update.version, changes(update).get("info.state", state)
    assert collector.WaitForUpdatesEx(version, Query.WaitOptions(maxWaitSeconds=0)) is None
    release()
    ended = collector.WaitForUpdatesEx(version, Query.WaitOptions(maxWaitSeconds=DEADLINE))
    seen = datetime.now(UTC)
    told = changes(ended)
    assert told["info.state"] == "success"
    assert (seen - told["info.completeTime"]).total_seconds() < 1
    # An answer that was lost can be asked for again; one that is older than that cannot.
    assert changes(collector.WaitForUpdatesEx(version, None)) == told
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        collector.WaitForUpdatesEx("0", None)


def disks_of(vm: vim.VirtualMachine) -> list[vim.vm.device.VirtualDisk]:
    """The disks of a VM."""
    return [device for device in vm.config.hardware.device if isinstance(device, vim.vm.device.VirtualDisk)]


def test_the_disks_tell_their_mode_their_sharing_and_their_chain(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    server.web.disks += [
        Disk(mode="independent_persistent"),
        Disk(sharing="sharingMultiWriter", capacity=1024**4),
        Disk(raw="physicalMode"),
    ]
    server.web.passthrough = ["0000:3b:00.0"]
    first, independent, shared, raw = (disk.backing for disk in disks_of(vm))
    assert (first.diskMode, first.sharing, first.parent) == ("persistent", "sharingNone", None)
    assert (independent.diskMode, shared.sharing) == ("independent_persistent", "sharingMultiWriter")
    assert isinstance(raw, vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo)
    assert raw.compatibilityMode == "physicalMode"
    assert [disk.capacityInBytes for disk in disks_of(vm)][2] == 1024**4
    [device] = [one for one in vm.config.hardware.device if isinstance(one, vim.vm.device.VirtualPCIPassthrough)]
    assert device.deviceInfo.summary == "0000:3b:00.0"
    server.web.disks = server.web.disks[:2]
    for name in ("one", "two"):
        done(si, vm.CreateSnapshot_Task(name, "", False, False))
    first, independent = (disk.backing for disk in disks_of(vm))
    assert first.fileName == "[datastore1] staging-web/staging-web-000002.vmdk"
    assert first.parent.parent.fileName == "[datastore1] staging-web/staging-web.vmdk"
    assert (first.parent.parent.parent, independent.parent) == (None, None)


def test_disks_that_forbid_a_snapshot_do_so(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    for disks, bus, memory in (
        ([Disk(raw="physicalMode")], "noSharing", False),
        ([Disk(sharing="sharingMultiWriter")], "noSharing", False),
        ([Disk(mode="independent_persistent")], "noSharing", True),
        ([Disk()], "physicalSharing", False),
    ):
        server.web.disks, server.web.shared_bus = disks, bus
        error = finish(si, vm.CreateSnapshot_Task("no", "", memory, False)).error
        assert isinstance(error, vim.fault.SnapshotFault)
    [controller] = [one for one in vm.config.hardware.device if isinstance(one, vim.vm.device.VirtualSCSIController)]
    assert controller.sharedBus == "physicalSharing"
    assert vm.snapshot is None


def test_a_revert_leaves_an_independent_disk_as_it_is(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    server.web.disks = [Disk(mode="independent_persistent")]
    (server.web.disk / "data").write_text("before")
    snapshot = done(si, vm.CreateSnapshot_Task("no help", "", False, False))
    (server.web.disk / "data").write_text("after")
    done(si, snapshot.RevertToSnapshot_Task(suppressPowerOn=True))
    assert (server.web.disk / "data").read_text() == "after"
    done(si, snapshot.RemoveSnapshot_Task(removeChildren=False))
    assert vm.snapshot is None


def test_an_old_snapshot_of_somebody_else_tells_its_age(server: Server, si: vim.ServiceInstance) -> None:
    async def take() -> None:
        snapshot = await server.web.take_snapshot("Veeam temporary", "do not touch")
        snapshot.created = datetime(2024, 5, 6, tzinfo=UTC)
        server.web.save()

    server.ask(take())
    [tree] = vm_of(si, server.web).snapshot.rootSnapshotList
    assert (tree.name, tree.createTime) == ("Veeam temporary", datetime(2024, 5, 6, tzinfo=UTC))


def test_disks_that_need_consolidation_do_so_until_it_was_done(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    assert vm.runtime.consolidationNeeded is False
    server.web.consolidation_needed = True
    assert vm.runtime.consolidationNeeded is True
    done(si, vm.ConsolidateVMDisks_Task())
    assert vm.runtime.consolidationNeeded is False


def test_the_datastore_is_as_full_as_it_is_said_to_be(server: Server, si: vim.ServiceInstance) -> None:
    [store] = vm_of(si, server.web).datastore
    assert 0 < store.summary.freeSpace < store.summary.capacity
    server.inventory.capacity, server.inventory.free_space = 10**12, 5
    assert (store.summary.capacity, store.summary.freeSpace) == (10**12, 5)


def test_a_question_holds_a_task_up_until_it_is_answered(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    collector = watch(si, vm, ["runtime.question"])
    version = collector.WaitForUpdatesEx("", None).version

    async def ask() -> None:
        server.web.ask(Question("q7", "Was it moved or copied?", {"0": "Moved", "1": "Copied"}, default=1))

    server.ask(ask())
    question = changes(collector.WaitForUpdatesEx(version, None))["runtime.question"]
    assert (question.text, question.choice.defaultIndex) == ("Was it moved or copied?", 1)
    assert [(one.key, one.label) for one in question.choice.choiceInfo] == [("0", "Moved"), ("1", "Copied")]
    task = vm.PowerOnVM_Task()
    until(lambda: task.info.state == "running", "the task runs")
    assert vm.runtime.powerState == "poweredOff"
    with pytest.raises(vim.fault.ConcurrentAccess):
        vm.AnswerVM("q6", "0")
    with pytest.raises(vmodl.fault.InvalidArgument):
        vm.AnswerVM("q7", "Moved")
    vm.AnswerVM("q7", "0")
    done(si, task)
    assert (vm.runtime.powerState, vm.runtime.question) == ("poweredOn", None)
