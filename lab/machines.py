"""Touches the lab's VMs: folders that stand for disks, and the real processes that a power switch starts and ends."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lab.records import Nic, Power, Record, Snapshot, walk


class InvalidPower(Exception):
    """The VM's power state forbids the operation; `existing` is the state it is in."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(f"{machine.name} is {machine.power}")
        self.existing: Power = machine.power


class SnapshotGone(Exception):
    """The snapshot is not, or no longer, one of the VM's."""


@dataclass(eq=False)
class Machine:
    """One VM. Every method that changes it runs alone on it, in the lab's event loop, and saves what it changed.

    `address` is the VM's own loopback address, `tools` the folder that its PATH starts with, `control` what its
    processes find in LAB_POWER. `snapshots` are the roots of the tree, `current` is the moid of the one that the disk
    grew from. `booted` says that every listener has finished with the present boot, so that SSH answers.
    `on_power` listeners are awaited after a power-on, before `disk/boot` starts, and after a power-off, before the
    processes are killed; `on_change` listeners are told of every change of state, and must not block.
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
    boot_id: str = ""
    booted_at: datetime | None = None
    booted: bool = False
    on_power: list[Callable[[Machine], Awaitable[None]]] = field(default_factory=list)
    on_change: list[Callable[[Machine], None]] = field(default_factory=list)
    _boot: asyncio.subprocess.Process | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def open(cls, folder: Path, new: Record, *, address: str, tools: Path, control: str) -> Machine:
        """The VM that `folder` holds; where it holds none, the one that `new` describes, with an empty disk."""
        file = folder / "vm.json"
        record = msgspec.json.decode(file.read_bytes(), type=Record) if file.exists() else new
        (folder / "disk").mkdir(parents=True, exist_ok=True)
        return cls(folder=folder, address=address, tools=tools, control=control, **msgspec.structs.asdict(record))

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

    def environment(self) -> dict[str, str]:
        """The whole environment of any process on this VM; LAB_VM is what the power switch finds it by."""
        return {
            "HOME": str(self.disk),
            "PATH": f"{self.tools}:{os.environ.get('PATH', os.defpath)}",
            "USER": "lab",
            "LOGNAME": "lab",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "LAB_VM": self.instance_uuid,
            "LAB_NAME": self.name,
            "LAB_ADDRESS": self.address,
            "LAB_BOOT_ID": self.boot_id,
            "LAB_POWER": self.control,
        }

    async def spawn(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> asyncio.subprocess.Process:
        """Starts a process of this VM in its login directory, in a session of its own.

        `env` is laid under the VM's own environment; `options` (stdin, stdout, stderr, limit…) are those of
        `asyncio.create_subprocess_exec`. Raises InvalidPower while the VM is off.
        """
        self._require("poweredOn")
        return await asyncio.create_subprocess_exec(
            *argv, cwd=self.disk, env={**(env or {}), **self.environment()}, start_new_session=True, **options
        )

    async def start(self) -> None:
        """Takes the VM up again when the lab starts: ends what an earlier lab left running, boots it if it was on."""
        async with self._lock:
            await self._kill()
            if self.power == "poweredOn":
                await self._boot_up()
            self._save()

    async def stop(self) -> None:
        """The lab ends: so do the VM's processes, but `vm.json` keeps its power, and the next `start` boots it."""
        async with self._lock:
            power, self.power = self.power, "poweredOff"
            await self._halt()
            self.power = power

    async def power_on(self) -> None:
        """Boots the VM; returns when SSH answers. Raises InvalidPower when it is on."""
        async with self._lock:
            self._require("poweredOff")
            await self._boot_up()
            self._save()

    async def power_off(self) -> None:
        """Pulls the plug; returns when no process of the VM is left. Raises InvalidPower when it is off."""
        async with self._lock:
            self._require("poweredOn")
            await self._power_down()
            self._save()

    async def reboot(self) -> None:
        """Ends every process and boots anew from the same disk. Raises InvalidPower when the VM is off."""
        async with self._lock:
            self._require("poweredOn")
            await self._power_down()
            await self._boot_up()
            self._save()

    async def reconfigure(self, nics: list[Nic]) -> None:
        """Replaces the NICs' configuration; a NIC of a VM that is off stays unconnected until it boots."""
        async with self._lock:
            on = self.power == "poweredOn"
            self.nics = [msgspec.structs.replace(nic, connected=nic.connected and on) for nic in nics]
            self._save()

    async def take_snapshot(self, name: str, description: str = "", *, memory: bool = False) -> Snapshot:
        """Keeps the disk and the NICs' configuration as they are; the VM's processes stand still meanwhile.

        With `memory` a revert boots a VM that was on: what its processes had in memory is not brought back.
        """
        async with self._lock:
            self.taken += 1
            snapshot = Snapshot(
                moid=f"{self.moid.replace('vm', 'snapshot', 1)}-{self.taken}",
                number=self.taken,
                name=name,
                description=description,
                created=datetime.now(UTC),
                power=self.power if memory else "poweredOff",
                nics=copy.deepcopy(self.nics),
                children=[],
            )
            self._signal(signal.SIGSTOP)
            try:
                await _copy_tree(self.disk, self._kept(snapshot))
            finally:
                self._signal(signal.SIGCONT)
            parent = self.current_snapshot
            (parent.children if parent else self.snapshots).append(snapshot)
            self.current = snapshot.moid
            self._save()
            return snapshot

    async def revert(self, snapshot: Snapshot, *, suppress_power_on: bool = True) -> None:
        """Ends every process and puts the disk and the NICs' configuration back. Raises SnapshotGone."""
        async with self._lock:
            self.find_snapshot(snapshot.moid)
            if self.power == "poweredOn":
                await self._power_down()
            fresh, old = self.folder / "disk.new", self.folder / "disk.old"
            await _copy_tree(self._kept(snapshot), fresh)
            self.disk.rename(old)
            fresh.rename(self.disk)
            self.nics = [msgspec.structs.replace(nic, connected=False) for nic in snapshot.nics]
            self.current = snapshot.moid
            await asyncio.to_thread(shutil.rmtree, old)
            if snapshot.power == "poweredOn" and not suppress_power_on:
                await self._boot_up()
            self._save()

    async def rename_snapshot(self, snapshot: Snapshot, name: str | None, description: str | None) -> None:
        """Changes what is given. Raises SnapshotGone."""
        async with self._lock:
            self.find_snapshot(snapshot.moid)
            snapshot.name = snapshot.name if name is None else name
            snapshot.description = snapshot.description if description is None else description
            self._save()

    async def remove_snapshot(self, snapshot: Snapshot, *, remove_children: bool) -> None:
        """Forgets the snapshot, and with `remove_children` all that grew from it. Raises SnapshotGone."""
        async with self._lock:
            parent, siblings = next(
                ((above, level) for above, level in self._levels() if snapshot in level), (None, None)
            )
            if siblings is None:
                raise SnapshotGone(snapshot.moid)
            gone = list(walk([snapshot])) if remove_children else [snapshot]
            at = siblings.index(snapshot)
            siblings[at : at + 1] = [] if remove_children else snapshot.children
            if self.current in {one.moid for one in gone}:
                self.current = parent.moid if parent else None
            for one in gone:
                await asyncio.to_thread(shutil.rmtree, self._kept(one))
            self._save()

    def all_snapshots(self) -> Iterator[Snapshot]:
        """Every snapshot of the VM, parents first."""
        return walk(self.snapshots)

    def find_snapshot(self, moid: str) -> Snapshot:
        """The snapshot of that moid. Raises SnapshotGone."""
        for snapshot in self.all_snapshots():
            if snapshot.moid == moid:
                return snapshot
        raise SnapshotGone(moid)

    def processes(self) -> list[int]:
        """The ids of the VM's processes: all that carry its LAB_VM, however they detached themselves."""
        mark = f"LAB_VM={self.instance_uuid}".encode()
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if mark in _environ(pid)]

    def _levels(self) -> Iterator[tuple[Snapshot | None, list[Snapshot]]]:
        yield None, self.snapshots
        for snapshot in self.all_snapshots():
            yield snapshot, snapshot.children

    def _kept(self, snapshot: Snapshot) -> Path:
        return self.folder / "snapshots" / snapshot.moid

    def _require(self, power: Power) -> None:
        if self.power != power:
            raise InvalidPower(self)

    async def _boot_up(self) -> None:
        self.power, self.boot_id, self.booted_at = "poweredOn", str(uuid.uuid4()), datetime.now(UTC)
        for nic in self.nics:
            nic.connected = nic.start_connected
        self._tell()
        for listener in self.on_power:
            await listener(self)
        boot = self.disk / "boot"
        if os.access(boot, os.X_OK):
            with (self.folder / "console.log").open("ab") as console:
                self._boot = await self.spawn([boot], stdin=asyncio.subprocess.DEVNULL, stdout=console, stderr=console)
        self.booted = True

    async def _power_down(self) -> None:
        self.power = "poweredOff"
        for nic in self.nics:
            nic.connected = False
        await self._halt()

    async def _halt(self) -> None:
        self.booted = False
        self._tell()
        for listener in self.on_power:
            await listener(self)
        await self._kill()
        if self._boot:
            await self._boot.wait()
            self._boot = None

    async def _kill(self) -> None:
        # A process shows an empty environment for a moment while it executes another program, so that one look that
        # finds nothing proves nothing.
        quiet = 0
        while quiet < 2:
            quiet = 0 if self._signal(signal.SIGKILL) else quiet + 1
            await asyncio.sleep(0.01)

    def _signal(self, number: signal.Signals) -> bool:
        found = self.processes()
        for pid in found:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return bool(found)

    def _tell(self) -> None:
        for listener in self.on_change:
            listener(self)

    def _save(self) -> None:
        record = Record(**{name: getattr(self, name) for name in Record.__struct_fields__})
        fresh = self.folder / "vm.json.new"
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        fresh.replace(self.folder / "vm.json")
        self._tell()


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return []


async def _copy_tree(source: Path, target: Path) -> None:
    # cp -a keeps modes, times and links as links, and shares blocks where the file system can.
    await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        "cp", "-a", "--reflink=auto", source, target, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    if process.returncode:
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        raise OSError(f"cannot copy {source}: {complaint.decode(errors='replace').strip()}")
