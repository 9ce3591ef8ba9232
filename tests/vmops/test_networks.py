"""Where a VM's cards lead, read from a vCenter; what is judged of it is `plans.isolation`'s, with the same words."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim
from vcenters import WEB, Bot, Center, open_lab_center

from lab.inventory import Inventory
from lab.networks import DistributedPortGroup, Esxi
from lab.records import Disk, Nic
from plans.actions import Disconnect, Power, ReadNetworks
from plans.isolation import Isolation, Judgement, judge
from plans.networks import View
from vmops import machine

RULES = Isolation(networks=("isolated-staging",), must_not_reach=("prod:443",))


@pytest.fixture
def datacenter(tmp_path: Path) -> Iterator[Center]:
    """A lab's vCenter of the test's own, to furnish."""
    with open_lab_center(tmp_path) as one:
        yield one


@pytest.fixture
def look(datacenter: Center) -> Iterator[Callable[[], View]]:
    bot = Bot(datacenter)

    def looked() -> View:
        outcome = bot(ReadNetworks(WEB))
        assert outcome.ok, outcome.reason
        view: View = outcome.value
        return view

    yield looked
    bot.performer.close()


@pytest.fixture
def inventory(datacenter: Center) -> Inventory:
    assert datacenter.lab
    return datacenter.lab.state.inventory


def judged(view: View, isolation: Isolation = RULES) -> Judgement:
    return judge({"web": view}, isolation)


def put(inventory: Inventory, vm: str, *networks: str, **flags: bool) -> None:
    """Gives a VM a card on each of these networks."""
    one = inventory.find(vm)
    one.nics = [
        Nic(key=4000 + at, network=name, mac=f"00:50:56:00:00:{at:02x}", **flags) for at, name in enumerate(networks)
    ]
    one.save()


def distributed(inventory: Inventory, *pnics: str, **group: Any) -> DistributedPortGroup:
    """A distributed switch over all hosts, with these physical NICs of the first one; staging-web is on its group."""
    members: dict[Esxi, list[str]] = {host: [] for host in inventory.hosts}
    members[inventory.hosts[0]] = list(pnics)
    switch = inventory.add_distributed_switch("dvs", members)  # type: ignore[arg-type]
    made = inventory.add_distributed_port_group("dv-isolated", switch, **group)
    put(inventory, "staging-web", "dv-isolated")
    return made


DV_RULES = Isolation(networks=("dv-isolated",), must_not_reach=("prod:443",))


def test_a_switch_without_physical_nics_is_a_proof(look: Callable[[], View]) -> None:
    found = judged(look())
    assert found.verdict == "proved"
    assert found.evidence == (
        "web: Network adapter 1 is on isolated-staging (connected: no, at power-on: yes)",
        "isolated-staging: it is on vSwitch1 on esxi-1.lab, which has no physical NIC, and no VMkernel port is there",
        "isolated-staging: on it too, and leading nowhere else: twin, twin",
    )


def test_what_can_be_seen_of_a_card(look: Callable[[], View], inventory: Inventory) -> None:
    put(inventory, "staging-web", "isolated-staging", start_connected=False, allow_guest_control=False)
    view = look()
    assert view.vcenter == inventory.instance_uuid
    assert view.vms[view.vm].nics is not None
    [nic] = view.vms[view.vm].nics
    assert (nic.label, nic.connected, nic.start_connected, nic.guest_control) == (
        "Network adapter 1",
        False,
        False,
        False,
    )
    assert nic.network is not None
    assert view.networks[nic.network].name == "isolated-staging"


def test_an_uplink_of_another_host_is_seen(look: Callable[[], View], inventory: Inventory) -> None:
    second = inventory.add_host("esxi-2.lab")
    leak = inventory.add_switch("vSwitch7", uplinks=["vmnic3"], host=second)
    inventory.add_port_group("isolated-staging", leak, vlan=99)
    assert judged(look()).why == (
        "isolated-staging (VLANs 0, 99) leads out through vmnic3 of vSwitch7 on esxi-2.lab: "
        "what is behind that vCenter does not know"
    )


def test_the_hosts_own_port_on_the_switch_is_seen(look: Callable[[], View], inventory: Inventory) -> None:
    [switch] = inventory.switches
    inventory.add_port_group("storage", switch, vlan=5, vmkernel={"vmk1": "192.0.2.9"})
    assert judged(look()).why == "isolated-staging: vSwitch1 on esxi-1.lab has the host's own vmk1 (storage) on it"


@pytest.mark.parametrize(
    ("vlan", "verdict"), [(0, "violated"), (4095, "violated"), (7, "proved")], ids=["the same", "all", "another"]
)
def test_a_bridge_from_the_port_group_beside_is_seen_where_it_hears_the_same_vlan(
    look: Callable[[], View], inventory: Inventory, vlan: int, verdict: str
) -> None:
    [switch] = inventory.switches
    inventory.add_port_group("beside", switch, vlan=vlan)
    inventory.add_port_group("prod-lan", inventory.add_switch("vSwitch0", uplinks=["vmnic0"]))
    put(inventory, "twin", "beside", "prod-lan")
    found = judged(look())
    assert found.verdict == verdict
    if verdict == "violated":
        assert found.why == "isolated-staging: twin is on it, and on prod-lan too"
        assert judged(look(), Isolation(networks=RULES.networks, allowed_bridges=("twin",))).verdict == "attested"


def test_a_distributed_switch_without_physical_nics_is_a_proof(look: Callable[[], View], inventory: Inventory) -> None:
    distributed(inventory)
    found = judged(look(), DV_RULES)
    assert found.verdict == "proved"
    assert "dv-isolated: it is on dvs on esxi-1.lab, which has no physical NIC, and no VMkernel port is there" in (
        found.evidence
    )


def test_a_distributed_switch_is_looked_at_on_every_member(look: Callable[[], View], inventory: Inventory) -> None:
    inventory.add_host("esxi-2.lab")
    group = distributed(inventory, "vmnic4", vlan=77)
    group.vmkernel.append(("host-9", "vmk3", "192.0.2.7"))
    found = judged(look(), DV_RULES)
    unknown = "what is behind that vCenter does not know"
    assert found.doubts == (
        f"dv-isolated (VLAN 77) leads out through vmnic4 of dvs on esxi-1.lab: {unknown}",
        "dv-isolated: dvs on esxi-2.lab has the host's own vmk3 on it",
    )


def test_a_port_group_that_uses_no_uplink_nor_lets_a_port_is_a_proof_unless_one_beside_it_does(
    look: Callable[[], View], inventory: Inventory
) -> None:
    group = distributed(inventory, "vmnic4", active=[])
    assert judged(look(), DV_RULES).verdict == "proved"
    assert "none of whose physical NICs it uses" in judged(look(), DV_RULES).evidence[1]
    inventory.add_distributed_port_group("dv-prod", group.switch)
    shared = "dv-isolated and dv-prod share a switch and no VLAN; dv-prod leads out of the host"
    assert judged(look(), DV_RULES).why == shared
    group.switch.uplinks.append("Uplink 2")
    for change in ({"overrides": True}, {"active": ["Uplink 2"]}, {"standby": ["Uplink 1"]}):
        old = {name: getattr(group, name) for name in change}
        vars(group).update(change)
        assert "leads out through vmnic4" in judged(look(), DV_RULES).why
        vars(group).update(old)


def test_a_network_of_nsx_is_named_and_not_known(look: Callable[[], View], inventory: Inventory) -> None:
    inventory.add_opaque_network("nsx-isolated")
    put(inventory, "staging-web", "nsx-isolated")
    found = judged(look(), Isolation(networks=("nsx-isolated",), must_not_reach=("prod:443",)))
    said = "nsx-isolated is not vSphere's own (NSX, say): where it leads vCenter does not know"
    assert (found.verdict, found.doubts) == ("unproved", (said,))


def test_devices_and_disks_that_are_not_staging_alones_are_seen(look: Callable[[], View], inventory: Inventory) -> None:
    web = inventory.find("staging-web")
    web.passthrough = ["vmnic9"]
    web.shared_bus = "physicalSharing"
    web.disks = [Disk(), Disk(sharing="sharingMultiWriter"), Disk(raw="physicalMode")]
    web.save()
    assert judged(look()).doubts == (
        "web: its PCI device 0 is passed through: where that leads vCenter does not know",
        "web: SCSI controller 0 shares its bus (physicalSharing): who else writes there vCenter does not say",
        "web: Hard disk 2 is shared (sharingMultiWriter): who else writes there vCenter does not say",
        "web: Hard disk 3 is mapped from a LUN of the storage: who else writes there vCenter does not say",
    )


def test_a_card_on_no_network_that_is_there_is_no_proof(look: Callable[[], View], inventory: Inventory) -> None:
    put(inventory, "staging-web", "gone")
    found = judged(look())
    said = "web: Network adapter 1 is on a network that vCenter does not name"
    assert (found.verdict, found.why) == ("unproved", said)


# Both vCenters.


@pytest.fixture
def bot(center: Center) -> Iterator[Bot]:
    """A bot, where the VM's cards are connected at power-on."""
    cards = [one for one in center.own.config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)]
    for card in cards:
        card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
            connected=False, startConnected=True, allowGuestControl=True
        )
    edits = [vim.vm.device.VirtualDeviceSpec(operation="edit", device=card) for card in cards]
    WaitForTask(center.own.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=edits)))
    one = Bot(center)
    yield one
    one.performer.close()


def test_a_look_costs_few_calls(center: Center, bot: Bot) -> None:
    assert bot(ReadNetworks(WEB)).ok
    center.wire.calls.clear()
    assert bot(ReadNetworks(WEB)).ok
    assert len(center.wire.calls) <= 10, center.wire.calls


def test_cards_are_disconnected_once_and_stay_so_at_power_on(center: Center, bot: Bot) -> None:
    before = bot(ReadNetworks(WEB)).value
    labels = [nic.label for nic in before.vms[before.vm].nics]
    assert {nic.reach for nic in before.vms[before.vm].nics} == {"yes"}
    center.wire.calls.clear()
    for _ in range(2):
        outcome = bot(Disconnect(WEB))
        assert (outcome.ok, outcome.value) == (True, labels), outcome.reason
    assert center.wire.count("ReconfigVM_Task") == 1
    assert bot(Power(WEB, on=True)).ok
    after = bot(ReadNetworks(WEB)).value
    assert {nic.reach for nic in after.vms[after.vm].nics} == {"no"}
    assert judged(after).verdict == "proved"


def test_a_disconnection_whose_answer_was_lost_is_not_made_twice(
    center: Center, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ARRIVING", 5.0)
    center.wire.order("cut after", "ReconfigVM_Task")
    outcome = bot(Disconnect(WEB))
    assert outcome.ok, outcome.reason
    assert center.wire.count("ReconfigVM_Task") == 1
