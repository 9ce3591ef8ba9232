"""The lab's vCenter, as a real pyVmomi sees it over TLS."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

from lab.inventory import Inventory
from lab.machines import Machine
from lab.vcenter import create_app, make_certificates
from lab.vcenter.core import VCenter

DEADLINE = 20
USER, PASSWORD = "bot@vsphere.local", "s3cret <&>"
Query = vmodl.query.PropertyCollector


class Server:
    """A lab's vCenter in a thread of its own: `ask` runs something in its event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = Inventory(folder, tools=folder / "tools")
        isolated = self.inventory.add_port_group("isolated-staging", self.inventory.add_switch("vSwitch1"))
        uplinked = self.inventory.add_switch("vSwitch0", uplinks=["vmnic0"])
        lan = self.inventory.add_port_group("prod-lan", uplinked)
        self.inventory.add_port_group("Management", uplinked, vmkernel={"vmk0": "192.0.2.1"})
        self.web = self.inventory.add("staging-web", address="127.0.0.2", networks=[isolated], power="poweredOff")
        self.db = self.inventory.add("staging-db", address="127.0.0.3", networks=[isolated], power="poweredOff")
        self.prod = self.inventory.add("prod-web-1", address="127.0.0.4", networks=[lan])
        self.inventory.add("prod-db", address="127.0.0.5", networks=[lan])
        self.ca_file, cert_file, key_file = make_certificates(folder / "tls")
        app = create_app(self.inventory, USER, PASSWORD)
        self.vcenter: VCenter = app.state.vcenter
        self.server = uvicorn.Server(
            uvicorn.Config(
                app,
                port=0,
                ssl_certfile=cert_file,
                ssl_keyfile=key_file,
                timeout_keep_alive=1000,
                timeout_graceful_shutdown=1,
                lifespan="off",
                log_config=None,
            )
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),))
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]

    async def _serve(self) -> None:
        await self.inventory.start()
        await self.server.serve()

    def ask(self, what: Any) -> Any:
        """The result of a coroutine of the server's loop."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(DEADLINE)

    def connect(self) -> vim.ServiceInstance:
        """A new login, verified by the lab's own CA."""
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        return SmartConnect(host="127.0.0.1", port=self.port, user=USER, pwd=PASSWORD, sslContext=trust)

    def stop(self) -> None:
        """Ends the server and every process of its VMs."""
        self.ask(self.vcenter.close())
        self.ask(self.inventory.stop())
        self.server.should_exit = True
        self.thread.join(DEADLINE)
        self.loop.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def si(server: Server) -> Iterator[vim.ServiceInstance]:
    si = server.connect()
    yield si
    with contextlib.suppress(vim.fault.NotAuthenticated):
        Disconnect(si)
    si._stub.DropConnections()


def vm_of(si: vim.ServiceInstance, machine: Machine) -> vim.VirtualMachine:
    """The VM of a machine, by its instance UUID."""
    [vm] = si.content.searchIndex.FindAllByUuid(None, machine.instance_uuid, True, True)
    return vm


def watch(si: vim.ServiceInstance, obj: Any, paths: list[str]) -> Query:
    """A collector of its own with a filter on some properties of one object."""
    collector = si.content.propertyCollector.CreatePropertyCollector()
    spec = Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=obj)], propSet=[Query.PropertySpec(type=type(obj), pathSet=paths)]
    )
    collector.CreateFilter(spec, False)
    return collector


def changes(update: Any) -> dict[str, Any]:
    """The properties in an UpdateSet about one object."""
    return {change.name: change.val for one in update.filterSet for obj in one.objectSet for change in obj.changeSet}


def finish(si: vim.ServiceInstance, task: vim.Task) -> vim.TaskInfo:
    """The info of a task that has ended, awaited by WaitForUpdatesEx."""
    collector = watch(si, task, ["info.state"])
    version, end = "", time.monotonic() + DEADLINE
    while time.monotonic() < end:
        update = collector.WaitForUpdatesEx(version, Query.WaitOptions(maxWaitSeconds=DEADLINE))
        version = update.version
        if changes(update)["info.state"] in ("success", "error"):
            collector.DestroyPropertyCollector()
            return task.info
    raise AssertionError("the task never ended")


def done(si: vim.ServiceInstance, task: vim.Task) -> Any:
    """The result of a task that must succeed."""
    info = finish(si, task)
    assert (info.state, info.error) == ("success", None)
    return info.result


def read(si: vim.ServiceInstance, objects: list[Any], paths: list[str]) -> dict[str, dict[str, Any]]:
    """Exactly these properties of these VMs in one call, by MoID."""
    spec = Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=obj) for obj in objects],
        propSet=[Query.PropertySpec(type=vim.VirtualMachine, pathSet=paths)],
    )
    result = si.content.propertyCollector.RetrievePropertiesEx([spec], Query.RetrieveOptions())
    return {content.obj._moId: {prop.name: prop.val for prop in content.propSet} for content in result.objects}


def test_login_is_by_password_over_a_connection_that_the_labs_ca_vouches_for(
    server: Server, si: vim.ServiceInstance, tmp_path: Path
) -> None:
    about = si.content.about
    assert (about.apiType, about.apiVersion) == ("VirtualCenter", "8.0.3.0")
    assert about.instanceUuid == server.inventory.instance_uuid
    assert si.content.sessionManager.currentSession.userName == USER
    assert abs((si.CurrentTime() - datetime.now(UTC)).total_seconds()) < 60
    si.content.sessionManager.Logout()
    for user, password in ((USER, "wrong"), ("nobody", PASSWORD), (USER, "")):
        with pytest.raises(vim.fault.InvalidLogin):
            si.content.sessionManager.Login(user, password)
    stranger, _, _ = make_certificates(tmp_path / "stranger")
    with pytest.raises(ssl.SSLCertVerificationError):
        SmartConnect(
            host="127.0.0.1",
            port=server.port,
            user=USER,
            pwd=PASSWORD,
            sslContext=ssl.create_default_context(cafile=str(stranger)),
        )


def test_certificates_that_are_there_are_taken_again(tmp_path: Path) -> None:
    first = [file.read_bytes() for file in make_certificates(tmp_path)]
    assert [file.read_bytes() for file in make_certificates(tmp_path)] == first
    assert (tmp_path / "vcenter.key").stat().st_mode & 0o077 == 0


def test_four_vms_are_read_in_one_call_and_what_is_unset_is_absent(server: Server, si: vim.ServiceInstance) -> None:
    found = read(
        si,
        [vm_of(si, machine) for machine in server.inventory.machines],
        ["name", "runtime.powerState", "guest.guestOperationsReady", "guest.ipAddress", "runtime.question", "snapshot"],
    )
    by_name = {values.pop("name"): values for values in found.values()}
    off = {"runtime.powerState": "poweredOff", "guest.guestOperationsReady": False}
    on = {"runtime.powerState": "poweredOn", "guest.guestOperationsReady": True}
    assert by_name == {
        "staging-web": off,
        "staging-db": off,
        "prod-web-1": {**on, "guest.ipAddress": "127.0.0.4"},
        "prod-db": {**on, "guest.ipAddress": "127.0.0.5"},
    }


def test_an_invalid_path_is_named(server: Server, si: vim.ServiceInstance) -> None:
    for path in ("config.hardwear", "runtime.host.name", "config.hardware.device.key", "nothing"):
        with pytest.raises(vmodl.query.InvalidProperty) as caught:
            read(si, [vm_of(si, server.web)], [path])
        assert caught.value.name == path


def test_a_collector_walks_the_tree_by_recursive_traversals_and_by_views(
    server: Server, si: vim.ServiceInstance
) -> None:
    named = Query.SelectionSpec(name="folders")
    walk = [
        Query.TraversalSpec(
            name="folders",
            type=vim.Folder,
            path="childEntity",
            skip=False,
            selectSet=[named, Query.TraversalSpec(type=vim.Datacenter, path="vmFolder", skip=False, selectSet=[named])],
        )
    ]
    view = si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.VirtualMachine], True)
    through_view = [Query.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)]
    for start, specs in ((si.content.rootFolder, walk), (view, through_view)):
        spec = Query.FilterSpec(
            objectSet=[Query.ObjectSpec(obj=start, skip=True, selectSet=specs)],
            propSet=[Query.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
        )
        result = si.content.propertyCollector.RetrievePropertiesEx([spec], Query.RetrieveOptions(maxObjects=3))
        assert len(result.objects) == 3
        rest = si.content.propertyCollector.ContinueRetrievePropertiesEx(result.token)
        assert rest.token is None
        names = [prop.val for content in [*result.objects, *rest.objects] for prop in content.propSet]
        assert names == [machine.name for machine in server.inventory.machines]
    assert [vm.name for vm in view.view] == names
    view.DestroyView()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = view.view


def test_vms_are_found_by_uuid_and_by_path(server: Server, si: vim.ServiceInstance) -> None:
    index = si.content.searchIndex
    vm = vm_of(si, server.web)
    assert vm._moId == server.web.moid
    assert index.FindByInventoryPath("/lab/vm/staging-web") == vm
    assert index.FindByInventoryPath("lab/vm/nobody") is None
    assert index.FindAllByUuid(None, server.web.bios_uuid, True, False) == [vm]
    assert index.FindAllByUuid(None, server.web.bios_uuid, True, True) == []
    assert [parent.name for parent in (vm.parent, vm.parent.parent)] == ["vm", "lab"]
    assert vm.runtime.host.parent.resourcePool.vm == [vm_of(si, machine) for machine in server.inventory.machines]
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = vim.VirtualMachine("vm-999", si._stub).name


def test_every_whole_property_decodes(server: Server, si: vim.ServiceInstance) -> None:
    done(si, vm_of(si, server.prod).CreateSnapshot_Task("one", None, False, False))
    root = si.content.rootFolder
    view = si.content.viewManager.CreateContainerView(root, [], True)
    spec = Query.FilterSpec(
        objectSet=[
            Query.ObjectSpec(
                obj=view, selectSet=[Query.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)]
            )
        ],
        propSet=[Query.PropertySpec(type=vim.ManagedEntity, all=True)],
    )
    [result] = [si.content.propertyCollector.RetrievePropertiesEx([spec], Query.RetrieveOptions())]
    kinds = {type(content.obj).__name__.removeprefix("vim.") for content in result.objects}
    assert kinds == {
        "Folder", "Datacenter", "ClusterComputeResource", "HostSystem", "ResourcePool",
        "Datastore", "Network", "VirtualMachine",
    }  # fmt: skip
    assert vm_of(si, server.prod).summary.config.name == "prod-web-1"


def test_a_revert_brings_the_bytes_and_the_network_cards_back(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    shop = server.web.disk / "shop.db"
    shop.write_bytes(b"before")
    done(si, vm.PowerOnVM_Task())
    task = vm.CreateSnapshot_Task("qd run-1", "before the rehearsal", False, False)
    snapshot = done(si, task)
    assert (task.info.entity, task.info.entityName, task.info.reason.userName) == (vm, "staging-web", USER)
    shop.write_bytes(b"after")
    [card] = [device for device in vm.config.hardware.device if isinstance(device, vim.vm.device.VirtualEthernetCard)]
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="prod-lan")
    card.connectable.startConnected = False
    done(si, vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit(card)])))
    assert [network.name for network in vm.network] == ["prod-lan"]

    done(si, snapshot.RevertToSnapshot_Task(suppressPowerOn=True))
    assert shop.read_bytes() == b"before"
    assert vm.runtime.powerState == "poweredOff"
    [card] = [device for device in vm.config.hardware.device if isinstance(device, vim.vm.device.VirtualEthernetCard)]
    assert (card.backing.deviceName, card.backing.network.name) == ("isolated-staging", "isolated-staging")
    assert (card.connectable.connected, card.connectable.startConnected) == (False, True)


def edit(device: Any) -> vim.vm.device.VirtualDeviceSpec:
    """The change of one device."""
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)


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
    assert server.prod.processes()
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


def test_a_wait_can_be_cancelled_and_ends_with_its_session(server: Server, si: vim.ServiceInstance) -> None:
    collector = watch(si, vm_of(si, server.web), ["runtime.powerState"])
    version = collector.WaitForUpdatesEx("", None).version
    for end, fault in (
        (collector.CancelWaitForUpdates, vmodl.fault.RequestCanceled),
        (si.content.sessionManager.Logout, vim.fault.NotAuthenticated),
    ):
        with ThreadPoolExecutor() as threads:
            waiter = threads.submit(collector.WaitForUpdatesEx, version, Query.WaitOptions(maxWaitSeconds=DEADLINE))
            while not server.vcenter.state.changes.waiting:
                assert not waiter.done()
                time.sleep(0.01)
            end()
            with pytest.raises(fault):
                waiter.result(DEADLINE)


def test_a_session_that_ended_is_told_so_and_can_be_begun_again(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    other = server.connect()
    other.content.sessionManager.TerminateSession([si.content.sessionManager.currentSession.key])
    Disconnect(other)
    other._stub.DropConnections()
    for call in (lambda: vm.name, vm.PowerOnVM_Task, si.CurrentTime, lambda: si.content.taskManager.recentTask):
        with pytest.raises(vim.fault.NotAuthenticated):
            call()
    assert si.content.sessionManager.currentSession is None
    assert server.web.power == "poweredOff"
    si.content.sessionManager.Login(USER, PASSWORD)
    assert vm.name == "staging-web"
    with pytest.raises(vim.fault.InvalidLogin):
        si.content.sessionManager.Login(USER, PASSWORD)


def test_isolation_can_be_judged_from_the_hosts_network(server: Server, si: vim.ServiceInstance) -> None:
    [host] = si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.HostSystem], True).view
    network = host.config.network
    switches = {switch.key: switch for switch in network.vswitch}
    uplinks = {group.spec.name: [*switches[group.vswitch].pnic] for group in network.portgroup}
    assert uplinks["isolated-staging"] == []
    assert uplinks["prod-lan"] == [pnic.key for pnic in network.pnic]
    assert [(vnic.device, vnic.portgroup, vnic.spec.ip.ipAddress) for vnic in network.vnic] == [
        ("vmk0", "Management", "192.0.2.1")
    ]
    [isolated] = [one for one in host.network if one.name == "isolated-staging"]
    assert [vm.name for vm in isolated.vm] == ["staging-web", "staging-db"]


def test_events_say_who_did_what(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    done(si, vm.PowerOnVM_Task())
    done(si, vm.CreateSnapshot_Task("one", "", False, False))
    done(si, vm_of(si, server.db).PowerOnVM_Task())
    wanted = vim.event.EventFilterSpec(entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self"))
    events = si.content.eventManager.QueryEvents(wanted)
    assert {event.userName for event in events} == {USER}
    assert [type(event) for event in events] == [vim.event.TaskEvent, vim.event.VmPoweredOnEvent, vim.event.TaskEvent]
    assert events[2].info.descriptionId == "VirtualMachine.createSnapshot"
    every = vim.event.EventFilterSpec(eventTypeId=["vim.event.VmPoweredOnEvent"])
    assert [event.vm.name for event in si.content.eventManager.QueryEvents(every)] == ["staging-web", "staging-db"]
    late = vim.event.EventFilterSpec.ByTime(beginTime=events[-1].createdTime)
    later = si.content.eventManager.QueryEvents(vim.event.EventFilterSpec(time=late))
    assert later[0].key == events[-1].key


def test_a_privilege_that_is_denied_is_missing_where_it_is_asked_for_and_where_it_counts(
    server: Server, si: vim.ServiceInstance
) -> None:
    vm, manager = vm_of(si, server.web), si.content.authorizationManager
    privilege = "VirtualMachine.State.CreateSnapshot"
    server.vcenter.state.denied.add(privilege)
    key = si.content.sessionManager.currentSession.key
    [on_vm] = manager.HasPrivilegeOnEntities([vm], key, [privilege, "VirtualMachine.Interact.PowerOn"])
    assert [one.isGranted for one in on_vm.privAvailability] == [False, True]
    [fetched] = manager.FetchUserPrivilegeOnEntities([vm], USER)
    assert "VirtualMachine.GuestOperations.Execute" in fetched.privileges
    assert privilege not in fetched.privileges
    with pytest.raises(vim.fault.NoPermission) as caught:
        vm.CreateSnapshot_Task("no", "", False, False)
    assert caught.value.privilegeId == privilege


def test_what_the_lab_does_not_have_and_what_is_no_soap_are_refused(server: Server, si: vim.ServiceInstance) -> None:
    with pytest.raises(vmodl.fault.NotSupported):
        vm_of(si, server.web).Rename_Task("other")
    stub = si._stub
    with stub.requestModifier(lambda request: request[:-20]), pytest.raises(vmodl.fault.InvalidRequest):
        si.CurrentTime()
