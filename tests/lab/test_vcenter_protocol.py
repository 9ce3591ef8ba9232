"""The lab's vCenter, as a real pyVmomi sees it over TLS."""

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl
from vcenter_room import DEADLINE, GUEST, PASSWORD, SECRET, USER, Query, Server, done, read, until, vm_of, watch

from lab.records import Disk
from lab.vcenter import make_certificates


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
    server.inventory.add_distributed_switch("DSwitch", {server.inventory.hosts[0]: ["vmnic9"]})
    server.inventory.add_opaque_network("segment")
    server.prod.disks.append(Disk(raw="virtualMode"))
    server.prod.passthrough.append("0000:3b:00.0")
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
        "Datastore", "Network", "VirtualMachine", "OpaqueNetwork",
        "dvs.VmwareDistributedVirtualSwitch", "dvs.DistributedVirtualPortgroup",
    }  # fmt: skip
    assert vm_of(si, server.prod).summary.config.name == "prod-web-1"


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
        vm_of(si, server.web).SuspendVM_Task()
    stub = si._stub
    with stub.requestModifier(lambda request: request[:-20]), pytest.raises(vmodl.fault.InvalidRequest):
        si.CurrentTime()


def test_a_console_and_a_guest_operation_are_told_of_with_who_asked_for_them(
    server: Server, si: vim.ServiceInstance
) -> None:
    vm = vm_of(si, server.web)
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.AcquireTicket("webmks")
    done(si, vm.PowerOnVM_Task())
    assert vm.AcquireTicket("webmks").ticket
    auth = vim.vm.guest.NamePasswordAuthentication(username=GUEST, password=SECRET)
    until(lambda: vm.guest.guestOperationsReady, "the tools come up")
    si.content.guestOperationsManager.authManager.ValidateCredentialsInGuest(vm, auth)
    told = [event for event in server.vcenter.state.events.events if not isinstance(event, vim.event.TaskEvent)]
    assert [type(event) for event in told[-2:]] == [vim.event.VmAcquiredMksTicketEvent, vim.event.EventEx]
    assert {event.userName for event in told} == {USER}
    assert told[-1].eventTypeId == "com.vmware.vc.guestOperations.GuestOperation"
