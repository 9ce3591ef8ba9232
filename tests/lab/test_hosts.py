"""The lab's SSH hosts, over their real port: what an admin with an SSH client sees."""

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from fabric import Connection
from paramiko import RejectPolicy

from lab.hosts import Host, own_key
from lab.inventory import Inventory
from lab.machines import Machine
from lab.seed import install_tools
from lab.world import claim

DEADLINE = 40


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Runs one story in an event loop of its own."""
    asyncio.run(asyncio.wait_for(story(), DEADLINE))


@asynccontextmanager
async def two_vms(folder: Path) -> AsyncIterator[tuple[Host, Host]]:
    """A lab of a VM that is on and one that is off."""
    block, door = claim("")
    with door:
        inventory = Inventory(folder, tools=folder / "tools", control="127.0.0.1:1")
        network = inventory.add_port_group("lan", inventory.add_switch("vSwitch0"))
        on = inventory.add("web", address=f"{block}.11", networks=[network])
        off = inventory.add("db", address=f"{block}.12", networks=[network], power="poweredOff")
        key = own_key(folder / "deploy")
        hosts = Host(on, 2222, key), Host(off, 2222, key)
        await inventory.start()
        try:
            yield hosts
        finally:
            await inventory.stop()


def login(host: Host, **options: Any) -> Any:
    """A connection as the bot makes it: the lab's key, and the host key that known_hosts has."""
    given = {
        "username": "deploy",
        "client_keys": [host.machine.folder.parent.parent / "deploy"],
        "known_hosts": asyncssh.import_known_hosts(host.known_hosts),
        "config": None,
        "agent_path": None,
    }
    return asyncssh.connect(host.machine.address, host.port, **{**given, **options})


def noted(machine: Machine) -> list[dict[str, Any]]:
    """The lines of a VM's commands.jsonl."""
    file = machine.folder / "commands.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def until(true: Callable[[], bool]) -> None:
    """Waits until it is true; the story's own deadline bounds it."""
    while not true():
        await asyncio.sleep(0.01)


def test_a_command_runs_in_the_disk_with_the_vms_environment_and_tells_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _), login(host) as ssh:
            done = await ssh.run("pwd; echo $LAB_NAME $TERM >&2; cat; exit 7", input="and stdin", env={"TERM": "vt100"})
            assert done.stdout == f"{host.machine.disk}\nand stdin"
            assert done.stderr == "web\n"  # what the client asked for is not in its environment
            assert done.exit_status == 7
            killed = await ssh.run("kill -9 $$")
            assert killed.exit_signal[0] == "KILL"
            first, second = noted(host.machine)
            assert first["command"].startswith("pwd; ")
            assert (first["exit"], second["exit"]) == (7, -9)
            assert first["boot_id"] == host.machine.boot_id
            assert first["at"].endswith("+00:00")

    run(story)


def test_bytes_pass_both_ways_unchanged_and_in_any_amount(tmp_path: Path) -> None:
    data = bytes(range(256)) * 80_000  # 20 MB

    async def story() -> None:
        async with two_vms(tmp_path) as (host, _), login(host) as ssh:
            done = await ssh.run("tee copy", input=data, encoding=None)
            assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
            assert (host.machine.disk / "copy").read_bytes() == data

    run(story)


def test_a_client_that_stops_reading_stops_its_command_and_nobody_elses(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _), login(host) as slow, login(host) as quick:
            report = host.machine.disk / "report"
            flood = "dd if=/dev/zero bs=1M count=60"
            async with slow.create_process(f"{flood} 2>report", encoding=None, window=256 * 1024) as process:
                first = await process.stdout.readexactly(1)
                assert len((await quick.run(flood, encoding=None)).stdout) == 60 * 2**20
                # As much again has passed by, but the first command still waits to be read.
                assert report.read_text() == ""
                assert len(first + await process.stdout.read()) == 60 * 2**20
            await until(lambda: "60+0 records out" in report.read_text())

    run(story)


def test_a_vm_that_is_off_refuses_and_its_plug_cuts_live_connections(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (on, off):
            with pytest.raises(ConnectionRefusedError):
                await login(off)
            await off.machine.power_on()
            async with login(off) as ssh:
                assert (await ssh.run("true")).exit_status == 0
            async with login(on) as ssh:
                process = await ssh.create_process("echo on; sleep 300")
                assert await process.stdout.readline() == "on\n"
                await on.machine.power_off()
                await ssh.wait_closed()
                assert process.exit_status is None
            assert noted(on.machine)[-1]["exit"] is None
            with pytest.raises(ConnectionRefusedError):
                await login(on)

    run(story)


def test_a_closed_channel_ends_the_command_but_not_what_detached_itself(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _), login(host) as ssh:
            process = await ssh.create_process(
                "setsid sh -c 'echo detached $$; exec sleep 301 >/dev/null 2>&1' </dev/null & "
                "sleep 302 & echo child $!; exec sleep 303"
            )
            told = dict([(await process.stdout.readline()).split() for _ in range(2)])
            detached, child = int(told["detached"]), int(told["child"])
            process.close()
            await until(lambda: noted(host.machine) != [])
            assert noted(host.machine)[0]["exit"] is None
            await until(lambda: host.machine.processes() == [detached])
            assert child not in host.machine.processes()

    run(story)


def test_a_signal_reaches_the_commands_whole_group(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _), login(host) as ssh:
            process = await ssh.create_process("sleep 300 & echo started; wait")
            assert await process.stdout.readline() == "started\n"
            process.send_signal("TERM")
            assert (await process.wait()).exit_signal[0] == "TERM"
            assert host.machine.processes() == []

    run(story)


def test_sftp_sees_the_disk_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _), login(host) as ssh, ssh.start_sftp_client() as sftp:
            disk = host.machine.disk
            assert await sftp.realpath(".") == str(disk)
            async with sftp.open("shop.part", "wb") as file:
                await file.write(b"new")
            await sftp.posix_rename("shop.part", f"{disk}/shop")
            assert (disk / "shop").read_bytes() == b"new"
            await sftp.mkdir("/etc")
            assert (disk / "etc").is_dir()
            assert sorted(await sftp.listdir("..")) == [".", "..", "etc", "shop"]
            for elsewhere in ("/etc/passwd", "../../vm.json", f"{disk}/../vm.json", f"{disk}-other"):
                with pytest.raises(asyncssh.SFTPNoSuchFile):
                    await sftp.stat(elsewhere)

    run(story)


def test_only_the_labs_key_and_user_come_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _):
            with pytest.raises(asyncssh.PermissionDenied):
                await login(host, username="root")
            with pytest.raises(asyncssh.PermissionDenied):
                await login(host, client_keys=[asyncssh.generate_private_key("ssh-ed25519")])
            with pytest.raises(asyncssh.PermissionDenied):
                await login(host, client_keys=None, password="deploy")

    run(story)


def test_a_vm_can_be_a_gateway_to_the_others_and_to_nowhere_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (gateway, other):
            await other.machine.power_on()
            async with login(gateway) as ssh:
                async with login(other, tunnel=ssh) as inner:
                    assert (await inner.run("echo $LAB_NAME")).stdout == "db\n"
                for elsewhere in ("127.0.0.1", "10.0.0.1", "example.com"):
                    with pytest.raises(asyncssh.ChannelOpenError):
                        await ssh.open_connection(elsewhere, 2222)

    run(story)


def test_a_revert_changes_the_disk_but_not_who_the_host_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _):
            snapshot = await host.machine.take_snapshot("before")
            async with login(host) as ssh:
                await ssh.run("touch after", check=True)
            await host.machine.revert(snapshot)
            await host.machine.power_on()
            async with login(host) as ssh:  # verified against the same known_hosts line
                assert (await ssh.run("ls")).stdout == ""
            assert Host(host.machine, 2222, host.client_key).known_hosts == host.known_hosts

    run(story)


def test_fabric_works_as_it_does_against_any_host(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _):
            known = tmp_path / "known_hosts"
            known.write_text(host.known_hosts)

            def visit() -> tuple[str, int, bytes]:
                options = {"key_filename": str(tmp_path / "deploy"), "allow_agent": False, "look_for_keys": False}
                with Connection(host.machine.address, "deploy", host.port, connect_kwargs=options) as ssh:
                    ssh.client.load_host_keys(str(known))
                    ssh.client.set_missing_host_key_policy(RejectPolicy())
                    ssh.put(io.BytesIO(b"#!/bin/sh\necho hello; exit 3\n"), "script")
                    done = ssh.run("sh script", hide=True, warn=True, in_stream=False)
                    back = io.BytesIO()
                    ssh.get("script", back)
                    return done.stdout, done.exited, back.getvalue()

            said, code, back = await asyncio.to_thread(visit)
            assert (said, code) == ("hello\n", 3)
            assert back == (host.machine.disk / "script").read_bytes()

    run(story)


def test_who_logs_in_is_noted_as_any_host_notes_it(tmp_path: Path) -> None:
    async def story() -> None:
        install_tools(tmp_path / "tools")
        async with two_vms(tmp_path) as (host, _):
            async with login(host) as ssh:
                assert (await ssh.run("echo $SSH_CONNECTION")).stdout.split()[::2][1] == host.machine.address
                await ssh.run("true")
                records = (await ssh.run("utmpdump /var/log/wtmp")).stdout.splitlines()
                assert [record[:3] for record in records] == ["[2]"], "without a terminal nobody is noted there"
                await ssh.run("true", term_type="xterm")
                records = (await ssh.run("utmpdump /var/log/wtmp")).stdout.splitlines()
                assert [record[:3] for record in records] == ["[2]", "[7]", "[8]"]
                assert "[deploy  ] [pts/0       ] [127.0.0.1" in records[1]
                said = (await ssh.run("journalctl -q -t sshd -o short-unix --since @0")).stdout
                assert said.count(f"ssh2: ED25519 {host.client_key.get_fingerprint()}\n") == 1
                assert (await ssh.run("journalctl -t login -o short-unix --since @0")).stdout == ""
            assert (host.machine.disk / "var").exists() is False, "the login directory is left to people"

    run(story)


def test_a_key_that_the_host_itself_lists_lets_its_owner_in_until_it_is_taken_off(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_vms(tmp_path) as (host, _):
            theirs = own_key(tmp_path / "theirs")
            listed = host.machine.disk / ".ssh" / "authorized_keys"
            listed.parent.mkdir()
            listed.write_text(f"# theirs\n\nno key at all\nrestrict,pty {theirs.export_public_key().decode()}")
            async with login(host, client_keys=[theirs]) as ssh:
                assert (await ssh.run("echo in")).stdout == "in\n"
            listed.write_text("")
            with pytest.raises(asyncssh.PermissionDenied):
                await login(host, client_keys=[theirs])

    run(story)
