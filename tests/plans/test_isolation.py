"""What vCenter tells of cards, networks and neighbours, and whether staging is cut off then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from plans.isolation import ATTESTED_FOR, Isolation, Judgement, Verdict, holds, judge
from plans.networks import EVERY_VLAN, Network, Nic, Segment, View, Vlans, Vm, overlap, spelled
from plans.records import Attested

RULES = Isolation(networks=("isolated", "second"), must_not_reach=("10.0.0.5:443",))
UNTAGGED: Vlans = ((0, 0),)
HOST = Segment(host="esxi-1", switch="vSwitch2", uplinks=(), kernel=())
CLOSED = Network(name="isolated", kind="standard", vlans=UNTAGGED, segments=(HOST,), beside=(), vms=("vm-web", "vm-db"))


def nic(network: str | None = "net-isolated", at: int = 1, **flags: bool | None) -> Nic:
    told = {"connected": True, "start_connected": True, "guest_control": True, **flags}
    return Nic(label=f"Network adapter {at}", network=network, **told)  # type: ignore[arg-type]


def network(**changes: Any) -> Network:
    return msgspec.structs.replace(CLOSED, **changes)


def vm(name: str, *nics: Nic, **more: Any) -> Vm:
    return Vm(name=name, nics=nics or (nic(),), **more)


def view(*nics: Nic, host: str = "web", others: dict[str, Vm] | None = None, **networks: Network) -> View:
    """What is told of a host's VM with these cards, or of one on the isolated network."""
    known = {
        "net-isolated": CLOSED,
        "net-production": Network(name="production"),
        "net-nameless": Network(name=None),
        "net-second": Network(name="second"),
    }
    own = {f"vm-{host}": vm(f"staging-{host}", *nics)}
    return View(
        vcenter="one",
        vm=f"vm-{host}",
        vms={"vm-web": vm("staging-web"), "vm-db": vm("staging-db"), **(others or {}), **own},
        networks=known | {f"net-{name}": each for name, each in networks.items()},
    )


def verdict(found: View, isolation: Isolation = RULES) -> tuple[Verdict, str]:
    judged = judge({"web": found, "db": view(host="db")}, isolation)
    assert judged.why in judged.evidence
    return judged.verdict, judged.why


# network, connected, connected at power-on, connectable by the guest, verdict
CARDS: list[tuple[str | None, bool | None, bool | None, bool | None, Verdict]] = [
    ("isolated", True, True, True, "proved"),
    ("isolated", False, True, True, "proved"),
    ("isolated", None, None, None, "proved"),
    ("production", True, True, False, "violated"),
    ("production", True, False, False, "violated"),
    ("production", False, True, False, "violated"),
    ("production", True, None, None, "violated"),
    ("production", None, True, None, "violated"),
    ("production", False, False, False, "proved"),
    ("production", False, False, True, "unproved"),
    ("production", False, False, None, "unproved"),
    ("production", None, None, None, "unproved"),
    ("production", False, None, False, "unproved"),
    ("production", None, False, False, "unproved"),
    ("nameless", True, True, True, "unproved"),
    ("nameless", False, False, False, "proved"),
    ("unheard-of", True, True, True, "unproved"),
    (None, True, True, True, "unproved"),
    (None, False, True, True, "unproved"),
    (None, None, None, None, "unproved"),
    (None, False, False, True, "unproved"),
    (None, False, False, False, "proved"),
]


@pytest.mark.parametrize(("where", "connected", "at_start", "by_guest", "wanted"), CARDS)
def test_one_card(
    where: str | None, connected: bool | None, at_start: bool | None, by_guest: bool | None, wanted: Verdict
) -> None:
    card = nic(where and f"net-{where}", connected=connected, start_connected=at_start, guest_control=by_guest)
    found, why = verdict(view(card))
    assert found == wanted
    assert why.startswith("web: Network adapter 1 is ")


@pytest.mark.parametrize("name", ["Isolated", "isolated ", "", "isolated2"])
def test_a_network_is_another_one_unless_its_name_is_the_very_same(name: str) -> None:
    assert verdict(view(isolated=network(name=name)))[0] == "violated"


def test_without_a_listed_network_every_connected_card_violates() -> None:
    assert verdict(view(), Isolation(networks=()))[0] == "violated"


SWITCHES: list[tuple[str, Network, Verdict, str]] = [
    ("closed", CLOSED, "proved", "web: Network adapter 1 is on isolated (connected: yes, at power-on: yes)"),
    (
        "an uplink on the second host",
        network(segments=(HOST, Segment(host="esxi-2", switch="vSwitch2", uplinks=("vmnic3",), kernel=()))),
        "unproved",
        "isolated (no VLAN) leads out through vmnic3 of vSwitch2 on esxi-2: what is behind that vCenter does not know",
    ),
    (
        "a VLAN is no proof",
        network(vlans=((77, 77),), segments=(Segment(host="esxi-1", switch="s", uplinks=("vmnic0",), kernel=()),)),
        "unproved",
        "isolated (VLAN 77) leads out through vmnic0 of s on esxi-1: what is behind that vCenter does not know",
    ),
    (
        "the host itself is there",
        network(segments=(Segment(host="esxi-1", switch="s", uplinks=(), kernel=("vmk1 (storage)",)),)),
        "unproved",
        "isolated: s on esxi-1 has the host's own vmk1 (storage) on it",
    ),
    (
        "physical NICs not told",
        network(segments=(Segment(host="esxi-1", kernel=()),)),
        "unproved",
        "isolated: vCenter does not tell the physical NICs of its switch on esxi-1",
    ),
    (
        "VMkernel ports not told",
        network(segments=(Segment(host="esxi-1", switch="s", uplinks=()),)),
        "unproved",
        "isolated: vCenter does not tell the VMkernel ports of s on esxi-1",
    ),
    ("hosts not told", network(segments=None), "unproved", "isolated: vCenter does not tell which hosts have it"),
    ("on no host", network(segments=()), "unproved", "isolated: vCenter does not tell which hosts have it"),
    ("VMs not told", network(vms=None), "unproved", "isolated: vCenter does not tell which other machines are on it"),
    (
        "what is beside it not told",
        network(beside=None),
        "unproved",
        "isolated: vCenter does not tell which other machines are on it",
    ),
    (
        "opaque",
        Network(name="isolated", kind="opaque", vms=(), beside=()),
        "unproved",
        "isolated is not vSphere's own (NSX, say): where it leads vCenter does not know",
    ),
    (
        "of no known kind",
        Network(name="isolated", vms=(), beside=()),
        "unproved",
        "isolated is not vSphere's own (NSX, say): where it leads vCenter does not know",
    ),
]


@pytest.mark.parametrize(("isolated", "wanted", "why"), [row[1:] for row in SWITCHES], ids=[row[0] for row in SWITCHES])
def test_one_network(isolated: Network, wanted: Verdict, why: str) -> None:
    assert verdict(view(isolated=isolated)) == (wanted, why)


def test_a_network_is_looked_at_on_every_host_and_told_once() -> None:
    second = msgspec.structs.replace(HOST, host="esxi-2")
    found = {name: view(host=name, isolated=network(segments=(HOST, second))) for name in ("web", "db")}
    assert judge(found, RULES).evidence == (
        "web: Network adapter 1 is on isolated (connected: yes, at power-on: yes)",
        "db: Network adapter 1 is on isolated (connected: yes, at power-on: yes)",
        "isolated: it is on vSwitch2 on esxi-1, which has no physical NIC, and no VMkernel port is there",
        "isolated: it is on vSwitch2 on esxi-2, which has no physical NIC, and no VMkernel port is there",
    )


UPLINKED = Segment(host="esxi-1", switch="dvs", uplinks=("vmnic4",), kernel=())
DETACHED = network(kind="distributed", vlans=((9, 9),), detached=True, segments=(UPLINKED,), beside=("net-beside",))


@pytest.mark.parametrize(
    ("beside", "wanted"),
    [
        (Network(name="other", vlans=((10, 10),)), "proved"),
        (Network(name="other", vlans=((9, 9),)), "unproved"),
        (Network(name="other", vlans=EVERY_VLAN), "unproved"),
        (Network(name="other"), "unproved"),
        (Network(name="other", vlans=((9, 9),), detached=True), "proved"),
    ],
)
def test_a_port_group_without_uplinks_is_cut_off_unless_one_of_its_vlan_has_some(
    beside: Network, wanted: Verdict
) -> None:
    found, why = verdict(view(isolated=DETACHED, beside=beside))
    assert found == wanted
    if wanted == "unproved":
        assert why == "isolated and other share a switch and VLAN 9; other leads out of the host"


def test_a_detached_port_group_says_how_it_is_cut_off() -> None:
    judged = judge({"web": view(isolated=network(detached=True, segments=(UPLINKED,)))}, RULES)
    assert judged.verdict == "proved"
    assert "isolated: it is on dvs on esxi-1, none of whose physical NICs it uses, and no VMkernel port is there" in (
        judged.evidence
    )


OFF = {"connected": False, "start_connected": False}
HERE, AWAY = nic(), nic("net-production", 2)
ON_IT = "isolated: other is on it, and on production too"

OTHERS: list[tuple[str, Vm, Verdict, str]] = [
    ("here alone", vm("other"), "proved", ""),
    ("a bridge", vm("other", HERE, AWAY), "violated", ON_IT),
    (
        "a bridge at power-on",
        vm("other", nic(connected=False), nic("net-production", connected=False)),
        "violated",
        ON_IT,
    ),
    ("a bridge that its guest can close", vm("other", HERE, nic("net-production", **OFF)), "unproved", ON_IT),
    ("a bridge that is cut", vm("other", HERE, nic("net-production", guest_control=False, **OFF)), "proved", ""),
    ("cut on this side", vm("other", nic(guest_control=False, **OFF), AWAY), "proved", ""),
    ("a template", vm("other", HERE, AWAY, template=True), "proved", ""),
    (
        "to where nobody knows",
        vm("other", HERE, nic(None)),
        "unproved",
        "isolated: other is on it, and on a network that vCenter does not name too",
    ),
    (
        "to a listed network that nothing is known of",
        vm("other", HERE, nic("net-second")),
        "unproved",
        "isolated: other is on it, and on second too",
    ),
    (
        "by a device of the host",
        vm("other", HERE, devices=("PCI device 0",)),
        "unproved",
        "isolated: other is on it, and on PCI device 0 too",
    ),
    (
        "cards not told",
        Vm(name="other"),
        "unproved",
        "isolated: other is on it too, and vCenter does not tell its network cards",
    ),
]


@pytest.mark.parametrize(("other", "wanted", "why"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_another_machine_on_the_network(other: Vm, wanted: Verdict, why: str) -> None:
    busy = network(vms=("vm-web", "vm-db", "vm-other"))
    found, said = verdict(view(isolated=busy, others={"vm-other": other}))
    assert found == wanted
    assert said == (why or "web: Network adapter 1 is on isolated (connected: yes, at power-on: yes)")


def test_machines_that_lead_nowhere_are_named() -> None:
    busy = network(vms=("vm-web", "vm-a", "vm-b"))
    judged = judge({"web": view(isolated=busy, others={"vm-a": vm("a"), "vm-b": vm("b")})}, RULES)
    assert judged.evidence[-1] == "isolated: on it too, and leading nowhere else: a, b"


@pytest.mark.parametrize(("vlans", "wanted"), [(UNTAGGED, "violated"), (None, "violated"), (((5, 5),), "proved")])
def test_a_bridge_from_another_port_group_of_the_same_switch_and_vlan(vlans: Vlans | None, wanted: Verdict) -> None:
    networks = {"isolated": network(beside=("net-beside",)), "beside": Network(name="x", vlans=vlans, vms=("vm-o",))}
    bridge = vm("other", nic("net-beside"), AWAY)
    assert verdict(view(others={"vm-o": bridge}, **networks))[0] == wanted


def test_an_allowed_bridge_makes_it_attested_and_only_by_its_name() -> None:
    found = view(isolated=network(vms=("vm-o",)), others={"vm-o": vm("gateway", HERE, AWAY)})
    said = "isolated: gateway is on it, and on production too"
    assert verdict(found, Isolation(networks=("isolated",), allowed_bridges=("gateway",))) == (
        "attested",
        f"{said}, which allowed_bridges permits",
    )
    assert verdict(found, Isolation(networks=("isolated",), allowed_bridges=("Gateway",))) == ("violated", said)


def test_staging_itself_may_stand_in_two_listed_networks_but_in_no_other() -> None:
    both = network(name="second", vms=("vm-web",))
    assert verdict(view(HERE, nic("net-second", 2), second=both))[0] == "proved"
    assert verdict(view(HERE, AWAY))[0] == "violated"


def test_a_bridge_violates_for_every_host_on_that_network_and_a_card_for_its_own() -> None:
    busy = network(vms=("vm-o",))
    bridge = {"vm-o": vm("gateway", HERE, AWAY)}
    hosts = {name: view(host=name, isolated=busy, others=bridge) for name in ("web", "db")}
    aside = {"aside": view(nic("net-second"), host="aside", second=network(name="second", vms=()))}
    judged = judge(hosts | aside, RULES)
    assert judged.violators == ("web", "db")
    assert judged.mend == "Take gateway off isolated, or name it in isolation.allowed_bridges"
    judged = judge({"web": view(AWAY), "db": view(host="db")}, RULES)
    assert judged.violators == ("web",)
    assert judged.mend == "In vCenter, put Network adapter 2 of web on isolated, second and connect it again"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            {"devices": ("PCI device 0",)},
            "web: its PCI device 0 is passed through: where that leads vCenter does not know",
        ),
        (
            {"shared": ("Hard disk 2 is shared (sharingMultiWriter)",)},
            "web: Hard disk 2 is shared (sharingMultiWriter): who else writes there vCenter does not say",
        ),
    ],
)
def test_ways_out_that_are_no_network_are_doubts(more: dict[str, Any], why: str) -> None:
    found = view(others={})
    found.vms["vm-web"] = vm("staging-web", **more)
    judged = judge({"web": found}, RULES)
    assert (judged.verdict, judged.why, judged.doubts) == ("unproved", why, (why,))


def test_what_could_not_be_looked_at_is_no_proof() -> None:
    nothing = judge({}, RULES)
    assert (nothing.verdict, nothing.why) == ("unproved", "there is no machine that vCenter could be asked about")
    untold = view()
    untold.vms["vm-web"] = Vm(name="staging-web")
    assert judge({"web": untold}, RULES).why == "web: vCenter did not tell its network cards"
    unasked = judge({"web": "vCenter x cannot be reached", "db": view(AWAY, host="db")}, RULES)
    assert unasked.verdict == "violated"
    assert unasked.evidence[0] == "web: vCenter could not be asked about it: vCenter x cannot be reached"
    assert unasked.doubts == ()
    cardless = view()
    cardless.vms["vm-web"] = Vm(name="staging-web", nics=())
    assert judge({"web": cardless}, RULES).evidence == ("web: it has no network card",)


def test_without_addresses_to_try_the_evidence_says_so() -> None:
    judged = judge({"web": view()}, Isolation(networks=("isolated",)))
    assert judged.verdict == "proved"
    assert judged.evidence[-1] == "from inside nothing is tried: isolation.must_not_reach names no address"


NSX = "isolated is not vSphere's own (NSX, say): where it leads vCenter does not know"
GPU = "web: its PCI device 0 is passed through: where that leads vCenter does not know"


def doubtful(*nics: Nic, gpu: bool = False) -> dict[str, View | str]:
    found = view(*nics, isolated=Network(name="isolated", kind="opaque", vms=(), beside=()))
    if gpu:
        found.vms["vm-web"] = vm("staging-web", *nics, devices=("PCI device 0",))
    return {"web": found}


def word(*covers: str) -> Attested:
    return Attested(by="U02ADMIN", at="2026-11-23T21:00:00.000Z", reason="rule 12", covers=covers, digest="d")


def test_an_admins_word_settles_the_doubts_that_it_covers_and_no_others() -> None:
    def judged(attested: Attested | None, **more: Any) -> Judgement:
        return judge(doubtful(**more), RULES, attested)

    assert judged(None).verdict == "unproved"
    assert judged(None).doubts == (NSX,)
    settled = judged(word(NSX))
    assert settled.verdict == "attested"
    assert settled.why == NSX
    assert settled.evidence[-1] == "U02ADMIN attested to that at 2026-11-23T21:00:00.000Z: rule 12"
    assert settled.doubts == (NSX,)
    newer = judged(word(NSX), gpu=True)
    assert (newer.verdict, newer.why, newer.doubts) == ("unproved", GPU, (GPU, NSX))
    assert judged(word(NSX, GPU), gpu=True).verdict == "attested"


def test_nobody_can_attest_to_a_violation_nor_to_what_was_not_looked_at() -> None:
    assert judge(doubtful(HERE, AWAY), RULES, word(NSX)).verdict == "violated"
    unasked = "db: vCenter could not be asked about it: it is down"
    judged = judge(doubtful() | {"db": "it is down"}, RULES, word(NSX, unasked))
    assert (judged.verdict, judged.why) == ("unproved", unasked)


def test_a_word_holds_for_a_week_and_for_one_configuration() -> None:
    given = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
    assert holds(word(), "d", given)
    assert holds(word(), "d", given + ATTESTED_FOR - timedelta(seconds=1))
    assert not holds(word(), "d", given + ATTESTED_FOR)
    assert not holds(word(), "e", given)
    assert not holds(None, "d", given)


@pytest.mark.parametrize(
    "target",
    ["10.0.0.5", "10.0.0.5:", ":443", "10.0.0.5:0", "10.0.0.5:65536", "fd00::5:443", "a b:1", "-x:1", "$(x):1"],
)
def test_an_address_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"is no host:port"):
        Isolation(networks=(), must_not_reach=(target,))


def test_an_address_cannot_be_both() -> None:
    with pytest.raises(ValueError, match="db:1 is in must_reach and in must_not_reach"):
        Isolation(networks=(), must_not_reach=("db:1", "[fd00::5]:443"), must_reach=("db:1", "db.example.com:5432"))


@pytest.mark.parametrize(
    ("vlans", "words"),
    [(None, "a VLAN that vCenter does not tell"), (UNTAGGED, "no VLAN"), (((7, 7),), "VLAN 7"),
     (EVERY_VLAN, "VLANs 0 to 4094"), (((1, 1), (5, 9)), "VLANs 1, 5 to 9")],
)  # fmt: skip
def test_vlans_are_spelled(vlans: Vlans | None, words: str) -> None:
    assert spelled(vlans) == words
    assert overlap(vlans, None)
    assert overlap(EVERY_VLAN, vlans)
