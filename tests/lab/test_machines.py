"""The lab's VMs: real folders, real processes, whatever protocol they are reached by."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lab.inventory import Inventory
from lab.machines import InvalidPower, Machine
from lab.records import Snapshot
from lab.vm import SnapshotGone

DEADLINE = 20


def lab_of_one(folder: Path, power: str = "poweredOn") -> tuple[Inventory, Machine]:
    """A lab with one VM that is not started yet."""
    inventory = Inventory(folder, tools=folder / "tools", control="127.0.0.1:1")
    network = inventory.add_port_group("lan", inventory.add_switch("vSwitch0", uplinks=["vmnic0"]))
    return inventory, inventory.add("web", address="127.0.0.2", networks=[network], power=power)  # type: ignore[arg-type]


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Runs one story in an event loop of its own."""

    async def bounded() -> None:
        await asyncio.wait_for(story(), DEADLINE)

    asyncio.run(bounded())


async def appears(path: Path) -> str:
    """The text of a file that a process is about to write."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text.strip()
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path} was never written")


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has fetched yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def boot_script(machine: Machine, script: str) -> None:
    """What the VM does at each boot."""
    boot = machine.disk / "boot"
    boot.write_text("#!/bin/sh\n" + script)
    boot.chmod(0o755)


def test_a_boot_starts_the_boot_script_with_the_vms_own_environment_alone(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        boot_script(machine, "pwd; env > env.new; echo >> env.new; mv env.new env.txt\n")
        await inventory.start()
        text = await appears(machine.disk / "env.txt")
        seen = dict(line.split("=", 1) for line in text.splitlines())
        assert {name for name in seen if name not in ("PWD", "OLDPWD", "SHLVL", "_")} == set(machine.environment())
        assert seen["LAB_BOOT_ID"] == machine.boot_id
        assert seen["PATH"].startswith(f"{tmp_path / 'tools'}:")
        assert (await appears(machine.folder / "console.log")) == str(machine.disk)
        await inventory.stop()

    run(story)


def test_power_off_ends_every_process_however_it_detached_itself(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        await inventory.start()
        (machine.disk / "stray").write_text(
            "setsid sh -c 'trap \"\" TERM HUP; echo $$ > pid; while :; do sleep 9; done' &\n"
        )
        shell = await machine.spawn(["/bin/sh", "stray"])
        pid = int(await appears(machine.disk / "pid"))
        await shell.wait()
        assert alive(pid)
        await machine.power_off()
        assert not alive(pid)
        assert machine.processes() == []
        with pytest.raises(InvalidPower):
            await machine.spawn(["/bin/true"])
        with pytest.raises(InvalidPower):
            await machine.power_off()

    run(story)


def test_another_vms_processes_live_on(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        other = inventory.add("db", address="127.0.0.3", networks=[])
        await inventory.start()
        process = await other.spawn(["/bin/sleep", "60"])
        await machine.power_off()
        assert process.returncode is None
        await inventory.stop()
        assert await process.wait() == -9

    run(story)


def test_a_reboot_keeps_the_disk_and_is_a_new_boot(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        boot_script(machine, 'echo "$LAB_BOOT_ID" >> boots\n')
        await inventory.start()
        first = await appears(machine.disk / "boots")
        power: list[str] = []

        async def listener(changed: Machine) -> None:
            power.append(changed.power)

        machine.on_power.append(listener)
        await machine.reboot()
        end = time.monotonic() + DEADLINE
        while len(boots := (machine.disk / "boots").read_text().split()) < 2 and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert boots == [first, machine.boot_id]
        assert first != machine.boot_id
        assert power == ["poweredOff", "poweredOn"]
        await inventory.stop()

    run(story)


def fill(disk: Path) -> None:
    """A disk with everything that a copy gets wrong easily."""
    (disk / "sub").mkdir()
    (disk / "sub" / "data").write_bytes(b"\0before\xff")
    (disk / "sub" / "tool").write_text("#!/bin/sh\n")
    (disk / "sub" / "tool").chmod(0o741)
    (disk / "outside").symlink_to("/etc")
    (disk / "dangling").symlink_to("nowhere")
    os.utime(disk / "sub" / "data", (1_000_000_000, 1_000_000_000))


def test_a_revert_brings_back_the_bytes_modes_times_links_and_nics(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        fill(machine.disk)
        await inventory.start()
        snapshot = await machine.take_snapshot("before")
        (machine.disk / "sub" / "data").write_bytes(b"after")
        (machine.disk / "sub" / "tool").unlink()
        (machine.disk / "outside").unlink()
        (machine.disk / "new").write_text("new")
        machine.nics[0].network = "elsewhere"
        await machine.revert(snapshot)
        assert machine.power == "poweredOff"
        assert (machine.disk / "sub" / "data").read_bytes() == b"\0before\xff"
        assert (machine.disk / "sub" / "data").stat().st_mtime == 1_000_000_000
        assert (machine.disk / "sub" / "tool").stat().st_mode & 0o777 == 0o741
        assert (machine.disk / "outside").readlink() == Path("/etc")
        assert (machine.disk / "dangling").readlink() == Path("nowhere")
        assert not (machine.disk / "new").exists()
        assert [(nic.network, nic.connected, nic.start_connected) for nic in machine.nics] == [("lan", False, True)]
        await machine.power_on()
        assert machine.nics[0].connected
        await inventory.stop()

    run(story)


def test_a_snapshot_can_be_reverted_to_more_than_once(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path, "poweredOff")
        await inventory.start()
        (machine.disk / "data").write_text("kept")
        snapshot = await machine.take_snapshot("before")
        for text in ("one", "two"):
            (machine.disk / "data").write_text(text)
            await machine.revert(snapshot)
            assert (machine.disk / "data").read_text() == "kept"

    run(story)


def test_a_snapshot_that_cannot_be_copied_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path, "poweredOff")
        await inventory.start()
        machine.disk.rename(tmp_path / "lost")
        with pytest.raises(OSError, match="cannot copy"):
            await machine.take_snapshot("never")
        assert machine.snapshots == []
        assert list((machine.folder / "snapshots").iterdir()) == []

    run(story)


def names(tree: list[Snapshot]) -> list[object]:
    """A snapshot tree as nested lists of names."""
    return [[one.name, *names(one.children)] for one in tree]


def test_the_snapshot_tree_grows_where_the_disk_is_and_closes_over_what_is_removed(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path, "poweredOff")
        await inventory.start()
        a = await machine.take_snapshot("a")
        b = await machine.take_snapshot("b")
        c = await machine.take_snapshot("c")
        await machine.revert(a)
        await machine.take_snapshot("d")
        assert names(machine.snapshots) == [["a", ["b", ["c"]], ["d"]]]
        assert machine.current_snapshot is not None
        assert machine.current_snapshot.name == "d"
        await machine.remove_snapshot(b, remove_children=False)
        assert names(machine.snapshots) == [["a", ["c"], ["d"]]]
        await machine.revert(c)
        await machine.remove_snapshot(a, remove_children=True)
        assert machine.snapshots == []
        assert machine.current_snapshot is None
        assert list((machine.folder / "snapshots").iterdir()) == []
        with pytest.raises(SnapshotGone):
            await machine.revert(c)

    run(story)


def test_a_revert_boots_again_only_what_was_kept_with_its_memory(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        await inventory.start()
        plain = await machine.take_snapshot("plain")
        memory = await machine.take_snapshot("memory", memory=True)
        await machine.revert(plain, suppress_power_on=False)
        assert machine.power == "poweredOff"
        await machine.revert(memory, suppress_power_on=True)
        assert machine.power == "poweredOff"
        await machine.revert(memory, suppress_power_on=False)
        assert machine.power == "poweredOn"
        await inventory.stop()

    run(story)


def test_a_lab_started_again_on_the_same_folder_goes_on_as_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        inventory, machine = lab_of_one(tmp_path)
        assert machine.is_new
        await inventory.start()
        await machine.take_snapshot("kept", "why")
        process = await machine.spawn(["/bin/sleep", "60"])
        again, same = lab_of_one(tmp_path)
        assert not same.is_new
        await again.start()
        assert await process.wait() == -9
        assert same.power == "poweredOn"
        assert same.boot_id != machine.boot_id
        assert (same.instance_uuid, same.nics) == (machine.instance_uuid, machine.nics)
        assert same.current_snapshot == machine.current_snapshot
        assert again.instance_uuid == inventory.instance_uuid
        await same.power_off()
        last, off = lab_of_one(tmp_path)
        await last.start()
        assert off.power == "poweredOff"

    run(story)
