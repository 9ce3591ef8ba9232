"""Decides whether staging is cut off from the network, from what vCenter says of its VMs and of their networks."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from plans.networks import Network, Nic, Reach, Segment, View, Vm, overlap, spelled
from plans.records import Attested

Verdict = Literal["proved", "attested", "violated", "unproved"]

WORST_FIRST: tuple[Verdict, ...] = ("violated", "unproved", "attested", "proved")

ATTESTED_FOR = timedelta(days=7)
"""How long an admin's word for what vCenter cannot tell holds, at most."""

_TARGET = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?):([0-9]{1,5})")


class Isolation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    networks: tuple[str, ...]
    allowed_bridges: tuple[str, ...] = ()
    must_not_reach: tuple[str, ...] = ()
    must_reach: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for target in (*self.must_not_reach, *self.must_reach):
            found = _TARGET.fullmatch(target)
            if not found or not 0 < int(found[1]) < 65536:
                raise ValueError(f"{target!r} is no host:port (10.0.0.5:443, db.example.com:5432, [fd00::5]:443)")
        if both := set(self.must_not_reach) & set(self.must_reach):
            raise ValueError(f"{min(both)} is in must_reach and in must_not_reach")


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: what it means, what it is in a sentence, whose VM (of `hosts`) it concerns, and the mend.

    `doubt`: an admin who knows better may attest to it; nobody can to what was not looked at.
    """

    verdict: Verdict
    said: str
    hosts: tuple[str, ...] = ()
    mend: str = ""
    doubt: bool = True


class Judgement(msgspec.Struct, frozen=True):
    """`evidence` has one sentence for each thing looked at, and for each that could not be.

    `why` is the first of them that says what the verdict says, `mend` what to do about it. `doubts` are what only
    somebody's word can settle; `violators` the hosts whose network cards are to be disconnected.
    """

    verdict: Verdict
    evidence: tuple[str, ...]
    why: str
    mend: str = ""
    doubts: tuple[str, ...] = ()
    violators: tuple[str, ...] = ()


def judge(views: Mapping[str, View | str], isolation: Isolation, attested: Attested | None = None) -> Judgement:
    """`views`: a host's name to what vCenter told of it, or to why it could not be asked.

    What is not told is not taken for granted, nor is a place without a single machine to look at: unproved.
    """
    findings: list[Finding] = []
    for host, view in views.items():
        if isinstance(view, str):
            said = f"{host}: vCenter could not be asked about it: {view}"
            findings.append(Finding("unproved", said, (host,), doubt=False))
        else:
            findings += _machine(host, view, isolation)
    findings += _Networks({host: view for host, view in views.items() if isinstance(view, View)}, isolation).findings()
    if not isolation.must_not_reach:
        findings.append(Finding("proved", "from inside nothing is tried: isolation.must_not_reach names no address"))
    if not views:
        findings.append(Finding("unproved", "there is no machine that vCenter could be asked about", doubt=False))
    return conclude(findings, attested)


def conclude(findings: Sequence[Finding], attested: Attested | None) -> Judgement:
    """The worst of the findings, one at least, is the verdict, unless an admin has attested to every single doubt."""
    verdict: Verdict = min((finding.verdict for finding in findings), key=WORST_FIRST.index)
    evidence = list(dict.fromkeys(finding.said for finding in findings))
    open_ = [finding for finding in findings if finding.verdict == "unproved"]
    doubts = tuple(dict.fromkeys(finding.said for finding in open_ if finding.doubt))
    first = next(finding for finding in findings if finding.verdict == verdict)
    if verdict == "unproved" and attested and all(f.doubt and f.said in attested.covers for f in open_):
        verdict = "attested"
        count = "that" if len(doubts) == 1 else f"those {len(doubts)} points"
        evidence.append(f"{attested.by} attested to {count} at {attested.at}: {attested.reason}")
    elif verdict == "unproved":
        first = next(f for f in open_ if not (f.doubt and attested and f.said in attested.covers))
    violators = dict.fromkeys(host for f in findings if f.verdict == "violated" for host in f.hosts)
    return Judgement(verdict, tuple(evidence), first.said, first.mend, doubts, tuple(violators))


def holds(attested: Attested | None, digest: str, now: datetime) -> bool:
    """Whether an attestation still counts: for a time, and for the environment as it was then (by its digest)."""
    if attested is None or attested.digest != digest:
        return False
    return now - datetime.fromisoformat(attested.at) < ATTESTED_FOR


# One VM.


def _machine(host: str, view: View, isolation: Isolation) -> Iterator[Finding]:
    vm = view.vms[view.vm]
    if vm.nics is None:
        yield Finding("unproved", f"{host}: vCenter did not tell its network cards", (host,), doubt=False)
        return
    if not vm.nics:
        yield Finding("proved", f"{host}: it has no network card", (host,))
    for nic in vm.nics:
        yield _card(host, nic, view, isolation)
    for device in vm.devices:
        said = f"{host}: its {device} is passed through: where that leads vCenter does not know"
        yield Finding("unproved", said, (host,), "Take the device from the VM")
    for disk in vm.shared:
        said = f"{host}: {disk}: who else writes there vCenter does not say"
        yield Finding("unproved", said, (host,), "Give staging a disk of its own")


def _card(host: str, nic: Nic, view: View, isolation: Isolation) -> Finding:
    at, listed = f"{host}: {nic.label}", ", ".join(isolation.networks)
    network = view.networks.get(nic.network or "")
    name = network.name if network else None
    if nic.reach == "no":
        return Finding("proved", f"{at} is not connected, nor at power-on, nor can the guest connect it", (host,))
    if name is None:
        said = f"{at} is on a network that vCenter does not name"
        return Finding("unproved", said, (host,), f"Put it on {listed}", doubt=False)
    flags = f"connected: {_word(nic.connected)}, at power-on: {_word(nic.start_connected)}"
    if name in isolation.networks:
        return Finding("proved", f"{at} is on {name} ({flags})", (host,))
    if nic.reach == "yes":
        mend = f"In vCenter, put {nic.label} of {host} on {listed} and connect it again"
        return Finding("violated", f"{at} is on {name}, which is not one of {listed} ({flags})", (host,), mend)
    said = f"{at} is on {name}, which is not one of {listed}; it is off, but the guest may connect it"
    return Finding("unproved", said, (host,), f"Put it on {listed}, or remove it")


def _word(flag: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[flag]


# The networks.


class _Networks:
    """The listed networks that staging's cards lead to, each looked at once, whichever host's view tells of it."""

    def __init__(self, views: Mapping[str, View], isolation: Isolation) -> None:
        self._isolation = isolation
        self._own = {(view.vcenter, view.vm) for view in views.values()}
        self._entered: dict[tuple[str, str], tuple[View, dict[str, None]]] = {}
        for host, view in views.items():
            for nic in view.vms[view.vm].nics or ():
                network = view.networks.get(nic.network or "")
                if nic.network and network and nic.reach != "no" and network.name in isolation.networks:
                    self._entered.setdefault((view.vcenter, nic.network), (view, {}))[1][host] = None

    def findings(self) -> Iterator[Finding]:
        for (_, reference), (view, hosts) in self._entered.items():
            for finding in self._network(view, reference, view.networks[reference]):
                yield msgspec.structs.replace(finding, hosts=tuple(hosts))

    def _network(self, view: View, reference: str, network: Network) -> Iterator[Finding]:
        if network.kind is None or network.kind == "opaque":
            said = f"{network.name} is not vSphere's own (NSX, say): where it leads vCenter does not know"
            yield Finding("unproved", said)
        elif not network.segments:
            yield Finding("unproved", f"{network.name}: vCenter does not tell which hosts have it", doubt=False)
        else:
            for segment in network.segments:
                yield from _segment(network, segment)
        if network.detached:
            yield from self._beside(view, network)
        yield from self._others(view, reference, network)

    def _beside(self, view: View, network: Network) -> Iterator[Finding]:
        """A port group without physical NICs still hears those of its switch and VLAN that have some."""
        for other in (view.networks[each] for each in network.beside or ()):
            if not other.detached and overlap(network.vlans, other.vlans):
                shared = f"{network.name} and {other.name} share a switch and {spelled(network.vlans)}"
                yield Finding("unproved", f"{shared}; {other.name} leads out of the host", mend=_OWN_SWITCH)

    def _others(self, view: View, reference: str, network: Network) -> Iterator[Finding]:
        """Every other VM that is on the network or on one that it cannot be told apart from: does it lead elsewhere?"""
        if network.vms is None or network.beside is None:
            said = f"{network.name}: vCenter does not tell which other machines are on it"
            yield Finding("unproved", said, doubt=False)
        one = {reference}
        for each in network.beside or ():
            if overlap(network.vlans, view.networks[each].vlans):
                one.add(each)
        met = dict.fromkeys(vm for each in one for vm in view.networks[each].vms or ())
        harmless = []
        for vm in sorted(met):
            if (view.vcenter, vm) in self._own or view.vms[vm].template:
                continue
            if finding := self._bridge(view, network, one, view.vms[vm]):
                yield finding
            else:
                harmless.append(view.vms[vm].name or vm)
        if harmless:
            yield Finding("proved", f"{network.name}: on it too, and leading nowhere else: {', '.join(harmless)}")

    def _bridge(self, view: View, network: Network, one: Collection[str], vm: Vm) -> Finding | None:
        name = vm.name or "a VM that vCenter does not name"
        if vm.nics is None:
            said = f"{network.name}: {name} is on it too, and vCenter does not tell its network cards"
            return Finding("unproved", said, doubt=False)
        here = _best(nic.reach for nic in vm.nics if nic.network in one)
        away = [nic for nic in vm.nics if nic.network not in one and nic.reach != "no" and not self._seen(view, nic)]
        places = sorted({_name(view, nic) for nic in away} | set(vm.devices))
        if here == "no" or not places:
            return None
        said = f"{network.name}: {name} is on it, and on {', '.join(places)} too"
        if vm.name in self._isolation.allowed_bridges:
            return Finding("attested", f"{said}, which allowed_bridges permits")
        mend = f"Take {name} off {network.name}, or name it in isolation.allowed_bridges"
        outside = [nic for nic in away if nic.network and _name(view, nic) not in self._isolation.networks]
        certain = here == "yes" and _best(nic.reach for nic in outside) == "yes"
        return Finding("violated" if certain else "unproved", said, mend=mend)

    def _seen(self, view: View, nic: Nic) -> bool:
        """Whether the card leads to a network that is looked at here for itself."""
        return (view.vcenter, nic.network or "") in self._entered


_OWN_SWITCH = "Give the isolated network a switch of its own, without physical NICs and VMkernel ports"


def _segment(network: Network, segment: Segment) -> Iterator[Finding]:
    name, switch = network.name, f"{segment.switch or 'its switch'} on {segment.host}"
    if segment.uplinks is None or segment.kernel is None:
        what = "physical NICs" if segment.uplinks is None else "VMkernel ports"
        yield Finding("unproved", f"{name}: vCenter does not tell the {what} of {switch}", doubt=False)
    if segment.uplinks and not network.detached:
        through = f"{name} ({spelled(network.vlans)}) leads out through {', '.join(segment.uplinks)} of {switch}"
        yield Finding("unproved", f"{through}: what is behind that vCenter does not know", mend=_OWN_SWITCH)
    if segment.kernel:
        ports = ", ".join(segment.kernel)
        yield Finding("unproved", f"{name}: {switch} has the host's own {ports} on it", mend=_OWN_SWITCH)
    if segment.kernel == () and (network.detached or segment.uplinks == ()):
        nics = "none of whose physical NICs it uses" if segment.uplinks else "which has no physical NIC"
        yield Finding("proved", f"{name}: it is on {switch}, {nics}, and no VMkernel port is there")


def _best(reaches: Iterator[Reach]) -> Reach:
    return max(reaches, key=("no", "maybe", "yes").index, default="no")


def _name(view: View, nic: Nic) -> str:
    network = view.networks.get(nic.network or "")
    return (network and network.name) or "a network that vCenter does not name"
