"""Touches one VM's folder: what is kept of it there, and what any process of it is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from lab import processes
from lab.records import Disk, Guest, Nic, Power, Record, SharedBus, Snapshot, walk

HOST_KEY = "ssh_host_ed25519_key"
"""The file beside the disk that says who the VM's SSH host is: a revert must not change it."""


class SnapshotGone(Exception):
    """The snapshot is not, or no longer, one of the VM's."""


@dataclass(eq=False)
class Vm:
    """What a VM is, whether it is on or off: the fields of its Record, and where it is.

    `address` is the VM's own loopback address, `tools` the folder that its PATH starts with, `control` what its
    processes find in LAB_POWER. `snapshots` are the roots of the tree, `current` is the moid of the one that the disk
    grew from. `on_change` listeners are told of every change of state, and must not block. Whoever sets a field that
    is kept (`guest`, `disks`, a snapshot's `created`…) calls `save`, in the lab's event loop.
    """

    folder: Path
    address: str
    tools: Path
    control: str
    name: str
    moid: str
    instance_uuid: str
    bios_uuid: str
    power: Power
    nics: list[Nic]
    snapshots: list[Snapshot] = field(default_factory=list)
    current: str | None = None
    taken: int = 0
    place: str = ""
    host: str = "host-8"
    template: bool = False
    annotation: str = ""
    disks: list[Disk] = field(default_factory=lambda: [Disk()])
    shared_bus: SharedBus = "noSharing"
    passthrough: list[str] = field(default_factory=list)
    guest: Guest = field(default_factory=Guest)
    consolidation_needed: bool = False
    boot_id: str = ""
    on_change: list[Callable[[Any], None]] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, new: Record, *, address: str, tools: Path, control: str) -> Self:
        """The VM that `folder` holds; where it holds none, the one that `new` describes, with an empty disk."""
        file = folder / "vm.json"
        record = msgspec.json.decode(file.read_bytes(), type=Record) if file.exists() else new
        (folder / "disk").mkdir(parents=True, exist_ok=True)
        kept = msgspec.structs.asdict(record)
        del kept["number"]  # the address says it
        return cls(folder=folder, address=address, tools=tools, control=control, **kept)

    @property
    def disk(self) -> Path:
        """The folder that is the VM's disk and its login directory."""
        return self.folder / "disk"

    @property
    def is_new(self) -> bool:
        """Whether this VM was never started by any lab, so that its disk is still to be filled."""
        return not (self.folder / "vm.json").exists()

    @property
    def current_snapshot(self) -> Snapshot | None:
        """The snapshot that the present disk grew from."""
        return self.find_snapshot(self.current) if self.current else None

    @property
    def number(self) -> int:
        """The last of the four numbers of its address."""
        return int(self.address.rpartition(".")[2])

    def environment(self) -> dict[str, str]:
        """The whole environment of any process on this VM; LAB_VM is what the power switch finds it by."""
        return {
            "HOME": str(self.disk),
            "PATH": f"{self.tools}:{os.environ.get('PATH', os.defpath)}",
            "USER": "lab",
            "LOGNAME": "lab",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **self._marks(),
        }

    def all_snapshots(self) -> Iterator[Snapshot]:
        """Every snapshot of the VM, parents first."""
        return walk(self.snapshots)

    def find_snapshot(self, moid: str) -> Snapshot:
        """The snapshot of that moid. Raises SnapshotGone."""
        for snapshot in self.all_snapshots():
            if snapshot.moid == moid:
                return snapshot
        raise SnapshotGone(moid)

    def save(self) -> None:
        """Writes down what is kept of the VM, and tells who listens."""
        record = Record(**{name: getattr(self, name) for name in Record.__struct_fields__})
        fresh = self.folder / "vm.json.new"
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        fresh.replace(self.folder / "vm.json")
        self._tell()

    @property
    def _captured(self) -> bool:
        return not self.disks[0].mode.startswith("independent")

    def _marks(self) -> dict[str, str]:
        return {
            processes.MARK: self.instance_uuid,
            "LAB_NAME": self.name,
            "LAB_ADDRESS": self.address,
            "LAB_BOOT_ID": self.boot_id,
            "LAB_POWER": self.control,
        }

    def _kept(self, snapshot: Snapshot) -> Path:
        return self.folder / "snapshots" / snapshot.moid

    def _tell(self) -> None:
        for listener in self.on_change:
            listener(self)
