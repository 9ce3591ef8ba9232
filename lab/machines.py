"""Touches the lab's VMs: folders that stand for disks, and the real processes that a power switch starts and ends."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lab import processes
from lab.disks import copy_tree
from lab.records import Nic, Power, Question, Snapshot, levels, snapshot_obstacle, walk
from lab.vm import HOST_KEY, SnapshotGone, Vm


class InvalidPower(Exception):
    """The VM's power state forbids the operation; `existing` is the state it is in."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(f"{machine.name} is {machine.power}")
        self.existing: Power = machine.power


class SnapshotRefused(Exception):
    """The VM's disks are such that it can have no snapshot."""


@dataclass(eq=False)
class Machine(Vm):
    """One VM. Every method that changes it runs alone on it, in the lab's event loop, and saves what it changed.

    `booted` says that every listener has finished with the present boot, so that SSH answers; `tools_up` that VMware
    Tools answer, too. `on_power` listeners are awaited after a power-on, before `disk/boot` starts, and after a
    power-off, before the processes are killed.
    """

    question: Question | None = None
    booted_at: datetime | None = None
    booted: bool = False
    tools_up: bool = False
    on_power: list[Callable[[Machine], Awaitable[None]]] = field(default_factory=list)
    _boot: asyncio.subprocess.Process | None = None
    _tools: asyncio.TimerHandle | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> asyncio.subprocess.Process:
        """Starts a process of this VM, in its login directory unless `cwd` is given, in a session of its own.

        `env`, where it is given, is all that the process gets beside the VM's own marks; `options` (stdin, stdout,
        stderr, limit…) are those of `asyncio.create_subprocess_exec`. Raises InvalidPower while the VM is off.
        """
        self.require("poweredOn")
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd or self.disk,
            env=self.environment() if env is None else {**env, **self._marks()},
            start_new_session=True,
            **options,
        )

    def require(self, power: Power) -> None:
        """Raises InvalidPower unless that is its power."""
        if self.power != power:
            raise InvalidPower(self)

    async def start(self) -> None:
        """Takes the VM up again when the lab starts: ends what an earlier lab left running, boots it if it was on."""
        async with self._lock:
            await processes.kill(self.instance_uuid)
            if self.power == "poweredOn":
                await self._boot_up()
            self.save()

    async def stop(self) -> None:
        """The lab ends: so do the VM's processes, but `vm.json` keeps its power, and the next `start` boots it."""
        async with self._lock:
            power, self.power = self.power, "poweredOff"
            await self._halt()
            self.power = power

    async def power_on(self) -> None:
        """Boots the VM; returns when SSH answers. Raises InvalidPower when it is on."""
        async with self._lock:
            self.require("poweredOff")
            await self._boot_up()
            self.save()

    async def power_off(self) -> None:
        """Pulls the plug; returns when no process of the VM is left. Raises InvalidPower when it is off."""
        async with self._lock:
            self.require("poweredOn")
            await self._power_down()
            self.save()

    async def reboot(self) -> None:
        """Ends every process and boots anew from the same disk. Raises InvalidPower when the VM is off."""
        async with self._lock:
            self.require("poweredOn")
            await self._power_down()
            await self._boot_up()
            self.save()

    async def reconfigure(self, nics: list[Nic]) -> None:
        """Replaces the NICs' configuration; a NIC of a VM that is off stays unconnected until it boots."""
        async with self._lock:
            on = self.power == "poweredOn"
            self.nics = [msgspec.structs.replace(nic, connected=nic.connected and on) for nic in nics]
            self.save()

    def ask(self, question: Question) -> None:
        """The VM waits for an answer from now on."""
        self.question = question
        self._tell()

    def answer(self) -> None:
        """The VM's question has been answered."""
        self.question = None
        self._tell()

    async def take_snapshot(self, name: str, description: str = "", *, memory: bool = False) -> Snapshot:
        """Keeps the disk and the NICs' configuration as they are; the VM's processes stand still meanwhile.

        With `memory` a revert boots a VM that was on: what its processes had in memory is not brought back. An
        independent disk is not captured. Raises SnapshotRefused.
        """
        async with self._lock:
            if obstacle := snapshot_obstacle(self.disks, self.shared_bus, memory):
                raise SnapshotRefused(obstacle)
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
            if self._captured:
                await self._copy_disk(self._kept(snapshot))
            parent = self.current_snapshot
            (parent.children if parent else self.snapshots).append(snapshot)
            self.current = snapshot.moid
            self.save()
            return snapshot

    async def revert(self, snapshot: Snapshot, *, suppress_power_on: bool = True) -> None:
        """Ends every process and puts the disk and the NICs' configuration back. Raises SnapshotGone."""
        async with self._lock:
            self.find_snapshot(snapshot.moid)
            if self.power == "poweredOn":
                await self._power_down()
            if (kept := self._kept(snapshot)).exists():  # a disk that was independent stays as it is
                fresh, old = self.folder / "disk.new", self.folder / "disk.old"
                await copy_tree(kept, fresh)
                self.disk.rename(old)
                fresh.rename(self.disk)
                await asyncio.to_thread(shutil.rmtree, old)
            self.nics = [msgspec.structs.replace(nic, connected=False) for nic in snapshot.nics]
            self.current = snapshot.moid
            if snapshot.power == "poweredOn" and not suppress_power_on:
                await self._boot_up()
            self.save()

    async def rename(self, name: str) -> None:
        """Gives the VM another name; its folder keeps the old one, as a datastore's does."""
        async with self._lock:
            self.name = name
            self.save()

    async def rename_snapshot(self, snapshot: Snapshot, name: str | None, description: str | None) -> None:
        """Changes what is given. Raises SnapshotGone."""
        async with self._lock:
            self.find_snapshot(snapshot.moid)
            snapshot.name = snapshot.name if name is None else name
            snapshot.description = snapshot.description if description is None else description
            self.save()

    async def remove_snapshot(self, snapshot: Snapshot, *, remove_children: bool) -> None:
        """Forgets the snapshot, and with `remove_children` all that grew from it. Raises SnapshotGone."""
        async with self._lock:
            parent, siblings = next(
                ((above, level) for above, level in levels(self.snapshots) if snapshot in level), (None, None)
            )
            if siblings is None:
                raise SnapshotGone(snapshot.moid)
            gone = list(walk([snapshot])) if remove_children else [snapshot]
            at = siblings.index(snapshot)
            siblings[at : at + 1] = [] if remove_children else snapshot.children
            if self.current in {one.moid for one in gone}:
                self.current = parent.moid if parent else None
            for one in gone:
                await asyncio.to_thread(shutil.rmtree, self._kept(one), ignore_errors=True)
            self.save()

    async def copy_from(self, source: Machine, snapshot: Snapshot | None) -> None:
        """Makes this new VM's disk what `source` has now, or had in its snapshot, and takes over who its SSH host is,
        which in a real VM is on the disk. Raises SnapshotGone; OSError where there is no room.
        """
        async with self._lock, source._lock:
            kept = source._kept(source.find_snapshot(snapshot.moid)) if snapshot else source.disk
            if snapshot and kept.exists():
                await copy_tree(kept, self.disk)
            else:
                await source._copy_disk(self.disk)
            if (key := source.folder / HOST_KEY).exists():
                shutil.copy2(key, self.folder / HOST_KEY)
            self.save()

    async def destroy(self) -> None:
        """Deletes all that there is of a VM that is off. Raises InvalidPower."""
        async with self._lock:
            self.require("poweredOff")
            await asyncio.to_thread(shutil.rmtree, self.folder)

    def processes(self) -> list[int]:
        """The ids of the VM's processes."""
        return processes.of_vm(self.instance_uuid)

    async def _copy_disk(self, target: Path) -> None:
        with processes.standing_still(self.instance_uuid):
            await copy_tree(self.disk, target)

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
        if self.guest.delay:
            self._tools = asyncio.get_running_loop().call_later(self.guest.delay, self._tools_come_up)
        else:
            self._tools_come_up()

    def _tools_come_up(self) -> None:
        self.tools_up = True
        self._tell()

    async def _power_down(self) -> None:
        self.power = "poweredOff"
        for nic in self.nics:
            nic.connected = False
        await self._halt()

    async def _halt(self) -> None:
        self.booted = self.tools_up = False
        if self._tools:
            self._tools.cancel()
        self._tell()
        for listener in self.on_power:
            await listener(self)
        await processes.kill(self.instance_uuid)
        if self._boot:
            await self._boot.wait()
            self._boot = None
