"""A VM made anew from another one's snapshot, over every vCenter: once, whatever is cut, and with a way back."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim
from vcenters import TOKEN, WEB, Bot, Center

from plans.actions import EndFormer, FindVm, Power, PutClone, TakeCloneBack
from vmops import machine

RUNS = count(1)


@pytest.fixture
def token() -> str:
    """What marks one run's clone: a VM that carries it already was put there by that run."""
    return f"{TOKEN}run-{next(RUNS)}-web"


@pytest.fixture
def annotated(center: Center) -> None:
    if why := center.cannot.get("annotation"):
        pytest.skip(why)


@pytest.fixture
def make(center: Center) -> Iterator[Callable[..., Bot]]:
    bots: list[Bot] = []

    def one(**options: Any) -> Bot:
        bots.append(Bot(center, **options))
        return bots[-1]

    yield one
    for bot in bots:
        bot.performer.close()
    assert names(center) == [], "a test left something behind"


@pytest.fixture
def bot(make: Callable[..., Bot]) -> Bot:
    return make()


def put(center: Center, token: str, snapshot: Any = "fresh") -> PutClone:
    return PutClone(WEB, center.twins[0], snapshot, token, 60)


def back(center: Center, token: str) -> TakeCloneBack:
    return TakeCloneBack(WEB, center.twins[0], token)


def every(center: Center) -> dict[str, Any]:
    """Every VM with our token in its name, as an admin sees them."""
    folder = center.own.parent
    return {vm.name: vm for vm in folder.childEntity if vm.name.startswith(TOKEN)}


def names(center: Center) -> list[str]:
    return sorted(every(center))


def source_snapshots(center: Center) -> list[str]:
    return center.snapshots(center.twins[0])


def uuid(center: Center) -> str:
    return str(center.tell("config.instanceUuid"))


def networks(center: Center) -> list[Any]:
    """What each card of the VM leads to, and whether at power-on."""
    cards = [one for one in center.tell("config.hardware.device") if hasattr(one, "macAddress")]
    return [(str(one.backing.__class__.__name__), one.connectable.startConnected) for one in cards]


@pytest.mark.usefixtures("annotated")
def test_a_clone_takes_the_vms_place_and_the_vm_stays_until_it_is_ended(center: Center, bot: Bot, token: str) -> None:
    before, wired = uuid(center), networks(center)
    done = bot(put(center, token))
    assert done.ok, done.reason
    after = uuid(center)
    assert before != after
    assert [done.value.before.partition("/")[2], done.value.identity.partition("/")[2]] == [before, after]
    assert (center.power, networks(center)) == ("poweredOff", wired)
    assert center.tell("config.annotation").startswith(f"{token}: a clone, as of ")
    assert {name: vm.config.instanceUuid for name, vm in every(center).items()} == {f"{token}-before": before}
    assert source_snapshots(center) == []
    assert bot(FindVm(WEB)).value == done.value.identity

    again = bot(put(center, token))
    assert again.value == done.value
    assert bot(EndFormer(WEB, token)).ok
    assert bot(EndFormer(WEB, token)).ok
    assert (names(center), uuid(center)) == ([], after)
    assert bot(put(center, token)).value.identity == done.value.identity
    for method in ("CloneVM_Task", "CreateSnapshot_Task", "RemoveSnapshot_Task", "Destroy_Task"):
        assert center.wire.count(method) == 1, method
    assert center.wire.count("Rename_Task") == 2
    assert bot(Power(WEB, on=True)).ok


@pytest.mark.usefixtures("annotated")
def test_whichever_of_them_runs_is_powered_off_first(center: Center, bot: Bot, token: str) -> None:
    """Also a clone that ran already when the bot was killed: it is to be proved isolated again before it is on."""
    assert bot(Power(WEB, on=True)).ok
    assert bot(put(center, token)).ok
    assert {name: vm.runtime.powerState for name, vm in every(center).items()} == {f"{token}-before": "poweredOff"}
    assert bot(Power(WEB, on=True)).ok
    assert bot(put(center, token)).ok
    assert center.power == "poweredOff"
    assert bot(EndFormer(WEB, token)).ok


@pytest.mark.usefixtures("annotated")
def test_the_vm_is_put_back(center: Center, bot: Bot, token: str) -> None:
    before = uuid(center)
    assert bot(put(center, token)).ok
    assert bot(Power(WEB, on=True)).ok
    for _ in range(2):
        gone = bot(back(center, token))
        assert gone.ok, gone.reason
        assert (names(center), uuid(center), center.power) == ([], before, "poweredOff")
        assert bot(FindVm(WEB)).value.partition("/")[2] == before
    assert center.wire.count("Destroy_Task") == 1


def test_a_clone_that_nobody_could_make_leaves_everything_as_it_was(center: Center, bot: Bot, token: str) -> None:
    before = uuid(center)
    refused = bot(put(center, token, "latest"))
    assert refused.result == "errored"
    assert "has no snapshot; take one there, or say snapshot: fresh" in refused.reason
    itself = bot(PutClone(WEB, center.vm, "fresh", token, 60))
    assert "cannot be made anew from itself" in itself.reason
    assert "has no VMs nobody" in bot(PutClone(WEB, "nobody", "fresh", token, 60)).reason
    bot.cancel.set()
    assert bot(put(center, token)).result == "aborted"
    assert bot(back(center, token)).ok
    assert (names(center), uuid(center), source_snapshots(center)) == ([], before, [])
    assert center.wire.count("CloneVM_Task") == 0


def card(center: Center, of: str = "") -> Any:
    """The first network card of the VM, or of the one at `of`."""
    return next(one for one in center.tell("config.hardware.device", of) if hasattr(one, "macAddress"))


def wire_up(center: Center, vm: Any, backing: Any) -> None:
    """Puts the VM's card on another network, by an admin's hand."""
    device = next(one for one in vm.config.hardware.device if hasattr(one, "macAddress"))
    device.backing = backing
    edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit])))


def backings(center: Center) -> dict[str, Any]:
    """A card's backing for a network of each kind of switch."""
    card_ = vim.vm.device.VirtualEthernetCard
    networks = center.admin.content.rootFolder.childEntity[0].network
    groups = [one for one in networks if isinstance(one, vim.dvs.DistributedVirtualPortgroup)]
    group = next(one for one in groups if "Uplink" not in one.name)
    switch = group.config.distributedVirtualSwitch
    port = vim.dvs.PortConnection(switchUuid=switch.uuid, portgroupKey=group.key)
    standard = next(one for one in networks if one not in groups)
    return {
        "distributed": card_.DistributedVirtualPortBackingInfo(port=port),
        "standard": card_.NetworkBackingInfo(deviceName=standard.name, network=standard),
    }


@pytest.mark.parametrize(("ours", "theirs"), [("distributed", "standard"), ("standard", "distributed")])
def test_its_cards_are_on_the_switch_of_the_vms_own_whatever_the_source_is_on(
    center: Center, bot: Bot, token: str, ours: str, theirs: str
) -> None:
    source = center.admin.content.searchIndex.FindByInventoryPath(center.twins[0])
    there, before, was = backings(center), card(center).backing, card(center, center.twins[0]).backing
    wire_up(center, center.own, there[ours])
    wire_up(center, source, there[theirs])
    try:
        done = bot(put(center, token))
        assert done.ok, done.reason
        assert bot(EndFormer(WEB, token)).ok
        assert done.value.identity.partition("/")[2] == uuid(center)
        backing = card(center).backing
        if ours == "distributed":
            assert backing.port.portgroupKey == there[ours].port.portgroupKey
            assert backing.port.switchUuid == there[ours].port.switchUuid
        else:
            assert backing.deviceName == there[ours].deviceName
        assert card(center).macAddress != card(center, center.twins[0]).macAddress
    finally:
        wire_up(center, source, was)
        wire_up(center, center.own, before)


def test_the_latest_snapshot_stays_where_it_is(center: Center, bot: Bot, token: str) -> None:
    vm = center.admin.content.searchIndex.FindByInventoryPath(center.twins[0])
    for name in ("older", "newer"):
        WaitForTask(vm.CreateSnapshot_Task(name, "", memory=False, quiesce=False))
    try:
        assert bot(put(center, token, "latest")).ok
        assert bot(EndFormer(WEB, token)).ok
        assert source_snapshots(center) == ["older", "newer"]
        assert center.snapshots() == []
    finally:
        WaitForTask(vm.RemoveAllSnapshots_Task())


@pytest.mark.usefixtures("annotated")
@pytest.mark.parametrize("how", ["cut before", "cut after"])
@pytest.mark.parametrize("method", ["CloneVM_Task", "Rename_Task", "CreateSnapshot_Task", "RemoveSnapshot_Task"])
def test_a_bot_that_begins_anew_finds_how_far_it_was(
    center: Center, make: Callable[..., Bot], token: str, monkeypatch: pytest.MonkeyPatch, method: str, how: str
) -> None:
    monkeypatch.setattr(machine, "ARRIVING", 0.2)
    center.wire.order(how, method)
    bot = make()
    while not (done := bot(put(center, token))).ok:
        assert "lost" in done.reason, done.reason
        bot = make()
    assert bot(EndFormer(WEB, token)).ok
    assert names(center) == source_snapshots(center) == []
    assert center.wire.count("CloneVM_Task") == center.wire.count("CreateSnapshot_Task") == 1


@pytest.mark.usefixtures("annotated")
def test_whatever_is_cut_one_clone_is_made_or_none_is_left(
    center: Center, bot: Bot, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(machine, "ARRIVING", 0.2)
    chance = random.Random(request.node.name)
    cuts = 0
    for number in range(8):
        before, keep, token = uuid(center), number % 2, f"{TOKEN}cut-{number}-web"
        for action in (put(center, token), EndFormer(WEB, token) if keep else back(center, token)):
            for call in range(40):
                if chance.random() < 0.05:
                    center.wire.order(chance.choice(["cut before", "cut after"]), "", after=call)
                    cuts += 1
            while not (done := bot(action)).ok:
                assert "lost" in done.reason or "cannot be reached" in done.reason, done.reason
            center.wire.heal()
        assert names(center) == source_snapshots(center) == []
        assert (uuid(center) != before) is bool(keep)
    assert center.wire.count("CloneVM_Task") == center.wire.count("CreateSnapshot_Task") == 8
    assert cuts > 15
