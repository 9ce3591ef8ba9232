"""Decides what the lab keeps of a VM in its `vm.json`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

Power = Literal["poweredOn", "poweredOff"]


class Nic(msgspec.Struct):
    """A network card: `network` is a port group's name; `connected` is about now, `start_connected` about each boot."""

    key: int
    network: str
    mac: str
    connected: bool = False
    start_connected: bool = True
    allow_guest_control: bool = True


class Snapshot(msgspec.Struct):
    """A kept disk and NIC configuration; `power` is what a revert leaves behind unless power-on is suppressed."""

    moid: str
    number: int
    name: str
    description: str
    created: datetime
    power: Power
    nics: list[Nic]
    children: list[Snapshot] = []


class Record(msgspec.Struct):
    """What `vm.json` keeps of a VM between two runs of the lab."""

    name: str
    moid: str
    instance_uuid: str
    bios_uuid: str
    power: Power
    nics: list[Nic]
    snapshots: list[Snapshot] = []
    current: str | None = None
    taken: int = 0


def walk(snapshots: list[Snapshot]) -> Iterator[Snapshot]:
    """Every snapshot of the trees, parents first."""
    for snapshot in snapshots:
        yield snapshot
        yield from walk(snapshot.children)
