"""Decides how what vCenter tells of a VM's ways into networks is written down: None is always what it did not tell."""

from typing import Literal

import msgspec

Vlans = tuple[tuple[int, int], ...]
"""Ranges of VLAN ids, both ends included: (0, 0) is untagged, (0, 4094) all of them."""

EVERY_VLAN: Vlans = ((0, 4094),)

Reach = Literal["yes", "no", "maybe"]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen, once, and is not changed."""


class Nic(Fact, frozen=True, kw_only=True):
    """A virtual network card; `network` is the reference of the network behind it.

    `guest_control`: whether somebody in the guest may connect it.
    """

    label: str
    network: str | None
    connected: bool | None
    start_connected: bool | None
    guest_control: bool | None

    @property
    def reach(self) -> Reach:
        """Whether traffic passes now or from the next power-on; `maybe` where the guest could make it, or unknown."""
        if self.connected or self.start_connected:
            return "yes"
        told = (self.connected, self.start_connected, self.guest_control)
        return "no" if told == (False, False, False) else "maybe"


class Vm(Fact, frozen=True, kw_only=True):
    """A VM: its cards, the devices that are passed through to it, and its storage that others may write to."""

    name: str | None
    template: bool = False
    nics: tuple[Nic, ...] | None = None
    devices: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


class Segment(Fact, frozen=True, kw_only=True):
    """A network as one host has it: the switch, its physical NICs and the host's own (VMkernel) ports on it."""

    host: str
    switch: str | None = None
    uplinks: tuple[str, ...] | None = None
    kernel: tuple[str, ...] | None = None


class Network(Fact, frozen=True, kw_only=True):
    """A network; `segments` are its hosts', `beside` the other networks on the same switches, `vms` who is on it.

    `detached`: though its switch has physical NICs, this port group uses none of them, nor may a port of it.
    """

    name: str | None
    kind: Literal["standard", "distributed", "opaque"] | None = None
    vlans: Vlans | None = None
    detached: bool = False
    segments: tuple[Segment, ...] | None = None
    beside: tuple[str, ...] | None = None
    vms: tuple[str, ...] | None = None


class View(Fact, frozen=True, kw_only=True):
    """What one look at a VM told: `vm` is its reference; `vms` and `networks` are all that were met, by reference.

    References mean something within one vCenter, whose instance UUID is `vcenter`.
    """

    vcenter: str
    vm: str
    vms: dict[str, Vm]
    networks: dict[str, Network]


def overlap(one: Vlans | None, other: Vlans | None) -> bool:
    """Whether two networks of one switch hear each other; what is not told is taken for the worst."""
    if one is None or other is None:
        return True
    return any(a <= d and c <= b for a, b in one for c, d in other)


def spelled(vlans: Vlans | None) -> str:
    """VLAN 10, VLANs 0 to 4094, no VLAN."""
    if vlans is None:
        return "a VLAN that vCenter does not tell"
    if vlans == ((0, 0),):
        return "no VLAN"
    ranges = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in vlans)
    return f"VLAN{'s' if len(vlans) > 1 or vlans[0][0] != vlans[0][1] else ''} {ranges}"
