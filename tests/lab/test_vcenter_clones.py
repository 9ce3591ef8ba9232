"""Clones, renames and destruction through the lab's vCenter: real copies of real disks."""

import time
from typing import Any

import pytest
from pyVmomi import vim, vmodl
from vcenter_room import GUEST, SECRET, Server, cards_of, done, edit, finish, vm_of

from lab.records import Guest


def clone_of(
    si: vim.ServiceInstance, source: vim.VirtualMachine, name: str, *devices: Any, folder: Any = None, **spec: Any
) -> vim.Task:
    """A task that clones."""
    wanted = vim.vm.CloneSpec(
        location=spec.pop("location", vim.vm.RelocateSpec()),
        template=spec.pop("template", False),
        powerOn=spec.pop("powerOn", False),
        config=vim.vm.ConfigSpec(deviceChange=list(devices), annotation="made by a test"),
        **spec,
    )
    return source.CloneVM_Task(folder or source.parent, name, wanted)


def moved(card: Any, network: str, *, connected: bool) -> Any:
    """The change that puts a card onto a network."""
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    card.connectable.connected = card.connectable.startConnected = connected
    return edit(card)


def test_a_clone_has_the_snapshots_disk_and_another_network_and_identity(
    server: Server, si: vim.ServiceInstance
) -> None:
    source = vm_of(si, server.prod)
    data, key = server.prod.disk / "data", server.prod.folder / "ssh_host_ed25519_key"
    key.write_text("who the host is")
    data.write_text("kept")
    snapshot = done(si, source.CreateSnapshot_Task("qd", "", False, False))
    data.write_text("later")
    [card] = cards_of(source)
    mac = card.macAddress
    linked = vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")
    change = moved(card, "isolated-staging", connected=True)
    vm = done(si, clone_of(si, source, "staging-new", change, snapshot=snapshot, location=linked))

    machine = server.inventory.find("staging-new")
    assert (vm._moId, vm.name, vm.runtime.powerState) == (machine.moid, "staging-new", "poweredOff")
    assert (machine.disk / "data").read_text() == "kept"
    assert (machine.folder / key.name).read_text() == "who the host is"
    assert (vm.config.annotation, vm.snapshot) == ("made by a test", None)
    [new] = cards_of(vm)
    assert (new.backing.deviceName, new.connectable.connected, new.connectable.startConnected) == (
        "isolated-staging", False, True,
    )  # fmt: skip
    assert new.macAddress != mac
    uuids = {(one.config.uuid, one.config.instanceUuid) for one in (vm, source)}
    assert len(uuids) == 2
    assert machine.address not in {one.address for one in server.inventory.machines if one is not machine}

    done(si, vm.PowerOnVM_Task())
    assert [nic.connected for nic in machine.nics] == [True]
    (machine.disk / "data").write_text("the clone's own")
    assert data.read_text() == "later"
    way = vim.vm.guest.NamePasswordAuthentication(username=GUEST, password=SECRET)
    si.content.guestOperationsManager.authManager.ValidateCredentialsInGuest(vm, way)


def test_a_clone_of_what_runs_has_what_its_disk_holds_now(server: Server, si: vim.ServiceInstance) -> None:
    source = vm_of(si, server.prod)
    (server.prod.disk / "data").write_text("now")
    vm = done(si, clone_of(si, source, "copy", powerOn=True))
    assert vm.runtime.powerState == "poweredOn"
    assert (server.inventory.find("copy").disk / "data").read_text() == "now"
    template = done(si, clone_of(si, source, "template", template=True))
    assert template.config.template is True
    with pytest.raises(vmodl.fault.NotSupported):
        template.PowerOnVM_Task()


def test_a_clone_that_makes_no_sense_is_refused_and_leaves_nothing(server: Server, si: vim.ServiceInstance) -> None:
    source, other = vm_of(si, server.prod), vm_of(si, server.db)
    foreign = done(si, other.CreateSnapshot_Task("foreign", "", False, False))
    [card] = cards_of(source)
    for spec in (
        {"snapshot": foreign},
        {"location": vim.vm.RelocateSpec(diskMoveType="by magic")},
        {"location": vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")},
        {"folder": si.content.rootFolder},
    ):
        with pytest.raises(vmodl.fault.InvalidArgument):
            clone_of(si, source, "new", **spec)
    for name in ("", "x" * 81):
        for call in (lambda name=name: clone_of(si, source, name), lambda name=name: source.Rename_Task(name)):
            with pytest.raises(vim.fault.InvalidName):
                call()
    error = finish(si, clone_of(si, source, "new", moved(card, "nowhere", connected=True))).error
    assert isinstance(error, vim.fault.InvalidDeviceBacking)
    error = finish(si, clone_of(si, source, "prod-db")).error
    assert isinstance(error, vim.fault.DuplicateName)
    assert (error.name, error.object.name) == ("prod-db", "prod-db")
    server.prod.disk.rename(server.folder / "lost")
    assert isinstance(finish(si, clone_of(si, source, "new")).error, vmodl.fault.SystemError)
    (server.folder / "lost").rename(server.prod.disk)
    assert len(server.inventory.machines) == 4
    assert sorted(path.name for path in (server.folder / "vms").iterdir()) == sorted(
        machine.name for machine in server.inventory.machines
    )


def test_a_vms_files_stay_among_the_vms_whatever_its_name(server: Server, si: vim.ServiceInstance) -> None:
    for name in ("../../outside", "..", "a/b"):
        vm = done(si, clone_of(si, vm_of(si, server.prod), name))
        assert vm.name == name
        assert server.inventory.find(name).folder.resolve().parent == server.folder / "vms"


def test_the_new_vm_takes_the_place_of_the_old_one(server: Server, si: vim.ServiceInstance) -> None:
    old = vm_of(si, server.web)
    new = done(si, clone_of(si, vm_of(si, server.prod), "staging-web.new"))
    heard: list[list[str]] = []
    server.inventory.on_roster.append(lambda: heard.append([machine.name for machine in server.inventory.machines]))
    done(si, old.PowerOnVM_Task())
    error = finish(si, old.Destroy_Task()).error
    assert isinstance(error, vim.fault.InvalidPowerState)
    done(si, old.PowerOffVM_Task())
    assert isinstance(finish(si, new.Rename_Task("staging-web")).error, vim.fault.DuplicateName)
    done(si, old.Destroy_Task())
    assert not server.web.folder.exists()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = old.name
    done(si, new.Rename_Task("staging-web"))
    assert si.content.searchIndex.FindByInventoryPath("/lab/vm/staging-web") == new
    assert [len(names) for names in heard] == [4, 4]
    assert heard[1][-1] == "staging-web"


def test_two_vms_of_one_name_live_in_different_folders(server: Server, si: vim.ServiceInstance) -> None:
    server.ask(in_folder(server))
    index = si.content.searchIndex
    first, second = (index.FindByInventoryPath(f"lab/vm/{path}") for path in ("prod-db", "old/2025/prod-db"))
    assert first != second
    assert (first.name, second.name) == ("prod-db", "prod-db")
    above = [second.parent, second.parent.parent, second.parent.parent.parent]
    assert [folder.name for folder in above] == ["2025", "old", "vm"]
    assert above[2].parent.name == "lab"
    assert above[1] in above[2].childEntity
    assert above[1].childEntity == [above[0]]
    view = si.content.viewManager.CreateContainerView(above[1], [vim.VirtualMachine], True)
    assert view.view == [second]
    third = done(si, clone_of(si, first, "third", folder=above[0]))
    assert above[0].childEntity == [second, third]


async def in_folder(server: Server) -> None:
    """Adds a VM in an inventory folder."""
    network = server.inventory.networks[0]
    machine = server.inventory.add(
        "prod-db", address="127.0.0.9", networks=[network], place="old/2025", guest=Guest(), power="poweredOff"
    )
    await machine.start()


def test_a_clone_is_there_again_when_the_lab_is(server: Server, si: vim.ServiceInstance) -> None:
    vm = done(si, clone_of(si, vm_of(si, server.prod), "kept"))
    made = server.inventory.find("kept")
    again = type(server.inventory)(server.folder, tools=server.folder, block="127.0.7")
    again.load()
    assert [machine.moid for machine in again.machines] == [machine.moid for machine in server.inventory.machines]
    same = again.find("kept")
    assert (same.moid, same.instance_uuid, same.nics) == (vm._moId, made.instance_uuid, made.nics)
    assert same.address == f"127.0.7.{made.number}"
    assert abs(int(made.moid.removeprefix("vm-")) - time.time()) < 60  # no reference is given twice
