"""Touches the VMs of one lab as a whole: adds, clones and destroys them, and starts and stops them together."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from lab.machines import Machine
from lab.networks import Esxi, Network, Networks
from lab.records import Disk, Guest, Nic, Power, Record, Snapshot


class NameTaken(Exception):
    """Another VM of the same inventory folder has that name."""

    def __init__(self, other: Machine) -> None:
        super().__init__(other.name)
        self.other = other


class Inventory(Networks):
    """All VMs and networks of one lab, kept under `folder`; `tools` and `control` are what each VM's processes see.

    `block` is the first three numbers of the addresses that `load` and `clone` give. `control` may be set until the
    VMs are started. `on_change` listeners are told of every change of any VM, as `Machine.on_change` says; `on_roster`
    listeners when VMs were added, removed or renamed while the lab runs. `capacity` and `free_space` of the datastore
    are bytes, None for those of the file system that the folder is on.
    """

    datacenter = "lab"
    cluster = "lab-cluster"
    datastore = "datastore1"

    def __init__(self, folder: Path, tools: Path, control: str = "", block: str = "127.0.0") -> None:
        super().__init__()
        self.folder = folder.resolve()
        self.tools = tools
        self.control = control
        self.block = block
        # The same folder is the same vCenter, also after the lab was started again.
        self.instance_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, self.folder.as_uri()))
        self.capacity: int | None = None
        self.free_space: int | None = None
        self.by_moid: dict[str, Machine] = {}
        self.on_change: list[Callable[[Machine], None]] = []
        self.on_roster: list[Callable[[], None]] = []

    @property
    def machines(self) -> list[Machine]:
        """All VMs."""
        return list(self.by_moid.values())

    @property
    def places(self) -> list[str]:
        """The inventory folders that VMs are in, with those above them: `web`, `web/old`."""
        used = {machine.place for machine in self.machines if machine.place}
        parts = [place.split("/") for place in used]
        return sorted({"/".join(steps[: depth + 1]) for steps in parts for depth in range(len(steps))})

    def add(
        self,
        name: str,
        *,
        address: str,
        networks: Sequence[Network],
        power: Power = "poweredOn",
        place: str = "",
        host: Esxi | None = None,
        guest: Guest | None = None,
        disks: Sequence[Disk] | None = None,
    ) -> Machine:
        """The VM of that name, as its folder kept it, or a new one with an empty disk and a NIC on each network.

        Its address is this lab's, whatever it was before. `start` puts it into `power`, or its kept power.
        """
        new = Record(
            name=name,
            moid=f"vm-{len(self.machines) + 101}",
            instance_uuid=str(uuid.uuid4()),
            bios_uuid=str(uuid.uuid4()),
            power=power,
            nics=[Nic(key=4000 + at, network=network.name, mac=new_mac()) for at, network in enumerate(networks)],
            place=place,
            host=(host or self.hosts[0]).moid,
            guest=guest or Guest(),
            disks=[Disk()] if disks is None else list(disks),
        )
        return self._open(self._folder(name), new, address)

    def load(self) -> None:
        """Takes up every VM that the lab's folder keeps, each at its old number in this lab's block."""
        files = self.folder.glob("vms/*/vm.json")
        kept = [(file.parent, msgspec.json.decode(file.read_bytes(), type=Record)) for file in files]
        for folder, record in sorted(kept, key=lambda one: int(one[1].moid.removeprefix("vm-"))):
            self._open(folder, record, self._address(record.number))

    async def clone(
        self, source: Machine, name: str, *, place: str = "", host: str = "", snapshot: Snapshot | None = None,
        nics: list[Nic] | None = None, template: bool = False, annotation: str = "",
    ) -> Machine:  # fmt: skip
        """A new VM with the disk of `source`, or of its `snapshot`: off, with its own identity and MAC addresses.

        It has the source's guest login and SSH host key, which are on the disk, and the NICs that are given, or else
        the source's. Raises NameTaken, SnapshotGone; OSError where the disk cannot be copied.
        """
        self.require_free(name, place)
        folder = self._folder(name)
        kept = snapshot.nics if snapshot else source.nics
        new = Record(
            name=name,
            # Numbers go on from the clock, so that a VM that is gone never gives its reference to a new one.
            moid=f"vm-{max(int(time.time()), *(int(moid.removeprefix('vm-')) + 1 for moid in self.by_moid))}",
            instance_uuid=str(uuid.uuid4()),
            bios_uuid=str(uuid.uuid4()),
            power="poweredOff",
            nics=[
                msgspec.structs.replace(nic, connected=False, mac=new_mac()) for nic in (kept if nics is None else nics)
            ],
            place=place,
            host=host or source.host,
            template=template,
            annotation=annotation or source.annotation,
            disks=[msgspec.structs.replace(disk) for disk in source.disks],
            guest=msgspec.structs.replace(source.guest),
        )
        machine = self._open(folder, new, self._address(0))
        try:
            await machine.copy_from(source, snapshot)
        except BaseException:
            del self.by_moid[machine.moid]
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._tell_roster()
        return machine

    async def destroy(self, machine: Machine) -> None:
        """Deletes a VM with its disk and snapshots. Raises InvalidPower while it is on."""
        await machine.destroy()
        del self.by_moid[machine.moid]
        self._tell_roster()

    async def rename(self, machine: Machine, name: str) -> None:
        """Gives a VM another name. Raises NameTaken."""
        if name != machine.name:
            self.require_free(name, machine.place)
            await machine.rename(name)
            self._tell_roster()

    def require_free(self, name: str, place: str) -> None:
        """Raises NameTaken where the inventory folder has a VM of that name."""
        for other in self.machines:
            if (other.name, other.place) == (name, place):
                raise NameTaken(other)

    def find(self, key: str) -> Machine:
        """The VM of that name, moid or instance UUID. Raises KeyError."""
        for machine in self.machines:
            if key in (machine.name, machine.moid, machine.instance_uuid):
                return machine
        raise KeyError(key)

    async def start(self) -> None:
        """Boots the VMs that are to be on. Listeners (`Machine.on_power`) must be there before."""
        for machine in self.machines:
            machine.control = self.control
        await asyncio.gather(*(machine.start() for machine in self.machines))

    async def stop(self) -> None:
        """Ends every process of every VM; the next `start` of the same folder goes on as it was."""
        await asyncio.gather(*(machine.stop() for machine in self.machines))

    def _open(self, folder: Path, new: Record, address: str) -> Machine:
        machine = Machine.open(folder, new, address=address, tools=self.tools, control=self.control)
        machine.on_change.append(self._tell_change)
        self.by_moid[machine.moid] = machine
        return machine

    def _folder(self, name: str) -> Path:
        """Where a VM's files go: in a folder of its first name, as on a datastore, and never elsewhere."""
        name = re.sub(r"^\.|/", lambda found: f"%{ord(found[0]):02x}", name)
        taken = {machine.folder.name for machine in self.machines}
        names = (name if not number else f"{name}_{number}" for number in range(len(taken) + 1))
        return self.folder / "vms" / next(free for free in names if free not in taken)

    def _address(self, number: int) -> str:
        taken = {machine.number for machine in self.machines}
        return f"{self.block}.{number or next(free for free in range(11, 255) if free not in taken)}"

    def _tell_change(self, machine: Machine) -> None:
        for listener in self.on_change:
            listener(machine)

    def _tell_roster(self) -> None:
        for listener in self.on_roster:
            listener()


def new_mac() -> str:
    """A MAC address of those that vCenter gives to VMs."""
    first, *rest = secrets.token_bytes(3)
    return f"00:50:56:{first & 0x3F:02x}:{rest[0]:02x}:{rest[1]:02x}"
