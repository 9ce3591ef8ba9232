"""Touches everything of the lab: puts Slack, vCenter and the hosts together, in one folder and one event loop."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pwd
import random
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from lab import seed, vcenter
from lab.hosts import Host, own_key
from lab.inventory import Inventory
from lab.machines import InvalidPower, Machine
from lab.records import Guest
from lab.slack import Workspace
from lab.slack import create_app as create_slack

CONTROL_PORT = 7420
SERVICES = {"web": 8080, "db": 5432}
NETWORKS = {"staging": "isolated-staging", "prod": "prod-lan", "crm": "prod-lan", "qa": "qa-lan"}
FIRST = 11  # the last number of the first VM's address
TOOLS_DELAY = 0.3  # seconds that VMware Tools take to come up, as they do everywhere
GUEST_USER = "deploy"
VCENTER_USER = "quarterdeck@vsphere.local"
VCENTER_ADMIN = "administrator@vsphere.local"  # somebody else, with the same password


class LabError(Exception):
    """Why there can be no lab here, as a sentence."""


class Kept(msgspec.Struct):
    """`lab.json`: what must be the same when the lab starts again."""

    block: str = ""
    slack_port: int = 0
    vcenter_port: int = 0
    ssh_port: int = 0
    bot_token: str = msgspec.field(default_factory=lambda: f"xoxb-{secrets.token_hex(16)}")
    app_token: str = msgspec.field(default_factory=lambda: f"xapp-1-A01LAB-{secrets.token_hex(16)}")
    vcenter_password: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(12))
    guest_password: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass
class World:
    """A lab that runs: `kept.block` is the first three numbers of its addresses."""

    folder: Path
    kept: Kept
    inventory: Inventory
    workspace: Workspace
    hosts: list[Host] = field(default_factory=list)

    @property
    def page(self) -> str:
        """Where a browser finds the workspace."""
        return f"http://127.0.0.1:{self.kept.slack_port}/"

    @property
    def config(self) -> Path:
        """The configuration that the bot takes as it is."""
        return self.folder / "quarterdeck.yaml"


@asynccontextmanager
async def open_world(
    folder: Path, *, slack_port: int = 0, vcenter_port: int = 0, ssh_port: int = 2222
) -> AsyncIterator[World]:
    """Starts the lab of `folder`, seeded if it is new, and ends all of it, the VMs' processes too.

    Port 0 is the one of the last time, or any that is free. When this yields, everything answers. Raises LabError.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(held(folder))
        last = read_kept(folder)
        block, control = claim(last.block)
        stack.enter_context(control)
        slack_door = stack.enter_context(listen(slack_port, last.slack_port))
        vcenter_door = stack.enter_context(listen(vcenter_port, last.vcenter_port))
        kept = msgspec.structs.replace(
            last,
            block=block,
            slack_port=slack_door.getsockname()[1],
            vcenter_port=vcenter_door.getsockname()[1],
            ssh_port=ssh_port,
        )
        inventory = build(folder, kept, furnished=last.block != "")
        workspace = Workspace(bot_token=kept.bot_token, app_token=kept.app_token)
        world = World(folder, kept, inventory, workspace)
        furnish(world, changed=kept != last)
        inventory.on_roster.append(lambda: enrol(world))
        await stack.enter_async_context(switchboard(inventory, control))
        await stack.enter_async_context(serving(create_slack(workspace), slack_door))
        stack.push_async_callback(workspace.close)
        _, certificate, key = vcenter.make_certificates(folder / "vcenter")
        app = vcenter.create_app(inventory, VCENTER_USER, kept.vcenter_password, {VCENTER_ADMIN: kept.vcenter_password})
        # vSphere's clients keep their connections for a quarter of an hour.
        tls = {"ssl_certfile": certificate, "ssl_keyfile": key, "timeout_keep_alive": 1800}
        await stack.enter_async_context(serving(app, vcenter_door, **tls))
        stack.push_async_callback(inventory.stop)
        stack.push_async_callback(app.state.vcenter.close)  # first of all: a task under way could boot a VM again
        try:
            await inventory.start()
        except OSError as error:
            raise LabError(f"cannot start the hosts: {error}") from None
        await asyncio.gather(*(answers(machine) for machine in inventory.machines))
        yield world


def build(folder: Path, kept: Kept, *, furnished: bool) -> Inventory:
    """The lab's two hosts with their networks, and its VMs: those that a furnished folder holds, or the sample's.

    Prod and QA reach the world through physical NICs, and share their switch with the hosts' own ports; staging's
    switch has neither on either host, and its VMs are together on the second one, off until a rehearsal needs them.
    """
    block = kept.block
    inventory = Inventory(folder, tools=folder / "tools", control=f"{block}.1:{CONTROL_PORT}", block=block)
    first, second = inventory.hosts[0], inventory.add_host("esxi-2.lab")
    for number, host in enumerate((first, second), 1):
        outside = inventory.add_switch("vSwitch0", uplinks=["vmnic0", "vmnic1"], host=host)
        inventory.add_port_group("Management Network", outside, vmkernel={"vmk0": f"192.0.2.{number}"})
        inventory.add_port_group("prod-lan", outside, vlan=10)
        inventory.add_port_group("qa-lan", inventory.add_switch("vSwitch1", uplinks=["vmnic2"], host=host), vlan=20)
        inventory.add_port_group("isolated-staging", inventory.add_switch("vSwitch2", host=host))
    if furnished:
        inventory.load()
        return inventory
    for number, name in enumerate(seed.LAYERS, FIRST):
        place = name.partition("-")[0]
        network = inventory.find_network(NETWORKS[place])
        assert network
        inventory.add(
            name,
            address=f"{block}.{number}",
            networks=[network],
            power="poweredOff" if place == "staging" else "poweredOn",
            host=second if place == "staging" else first,
            guest=Guest(GUEST_USER, kept.guest_password, delay=TOOLS_DELAY),
        )
    return inventory


def furnish(world: World, *, changed: bool) -> None:
    """Writes what the folder lacks, and what names addresses if they have `changed`; gives the VMs SSH servers."""
    folder, kept = world.folder, world.kept
    now = datetime.now(UTC)
    for machine in world.inventory.machines:
        if machine.is_new:
            seed.fill_disk(machine, now)
            machine.save()
    if not (share := folder / "share" / "backups").exists():
        seed.make_backup(world.inventory.find("prod-db").disk / "shop.db", share, now)
    for name, suffix in seed.ARCHIVES.items():
        if not (archive := folder / "packages" / f"{name}{suffix}").exists():
            archive.parent.mkdir(exist_ok=True)
            seed.pack(seed.SAMPLE / "packages" / name, archive)
    seed.install_tools(folder / "tools")
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    enrol(world)
    replace(keys / "developer.pub", own_key(keys / "developer").export_public_key().decode())
    (keys / "slack-app-token").write_text(kept.app_token)
    (keys / "vcenter-password").write_text(kept.vcenter_password)
    (keys / "guest-password").write_text(kept.guest_password)
    for plan in ("webshop.tests.yaml", "crm.tests.yaml"):
        if not (folder / plan).exists():
            (folder / plan).write_bytes((seed.SAMPLE / plan).read_bytes())
    if changed or not world.config.exists():
        values: dict[str, str | int] = {
            "bot_token": kept.bot_token,
            "os_user": pwd.getpwuid(os.getuid()).pw_name,
            "slack_api": f"{world.page}api/",
            "packages": f"{folder / 'packages'}/",
            "vcenter_port": kept.vcenter_port,
            "vcenter_user": VCENTER_USER,
            "ssh_port": kept.ssh_port,
            **{name: f"{kept.block}.{number}" for number, name in enumerate(seed.LAYERS, FIRST)},
            **{machine.name: machine.address for machine in world.inventory.machines},
        }
        world.config.write_text(render((seed.SAMPLE / "quarterdeck.yaml").read_text(), values))
    (folder / "lab.json").write_bytes(msgspec.json.format(msgspec.json.encode(kept)))


def enrol(world: World) -> None:
    """Gives each VM an SSH server, and writes down who is where; again whenever VMs come, go or change their names."""
    machines = world.inventory.machines
    served = {host.machine.moid for host in world.hosts}
    client_key = own_key(world.folder / "keys" / "deploy")
    world.hosts = [
        *(host for host in world.hosts if host.machine in machines),
        *(Host(machine, world.kept.ssh_port, client_key) for machine in machines if machine.moid not in served),
    ]
    replace(world.folder / "keys" / "known_hosts", "".join(host.known_hosts for host in world.hosts))
    replace(world.folder / "hosts", "".join(f"{machine.address} {machine.name}\n" for machine in machines))


def replace(file: Path, text: str) -> None:
    """Gives the file that text at once, for who reads it at any moment."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(text)
    fresh.replace(file)


def render(template: str, values: dict[str, str | int]) -> str:
    """Fills each {{name}} in as JSON, which is YAML too, so that no path breaks the file."""
    return re.sub(r"\{\{(.+?)\}\}", lambda found: json.dumps(values[found[1]], ensure_ascii=False), template)


def read_kept(folder: Path) -> Kept:
    """What the last lab of this folder wrote; new secrets and nothing else where there was none."""
    file = folder / "lab.json"
    return msgspec.json.decode(file.read_bytes(), type=Kept) if file.exists() else Kept()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """One lab a folder. Raises LabError when there is another one."""
    with (folder / "lab.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another lab runs in {folder}: stop it, or take another --dir") from None
        yield


def listen(wanted: int, last: int) -> socket.socket:
    """A listening socket on `wanted`, or for 0 on `last` if that is free, or on any. Raises LabError."""
    for port in (wanted,) if wanted else (last, 0):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise LabError(f"port {wanted} of 127.0.0.1 is taken: choose another one")


def claim(last: str) -> tuple[str, socket.socket]:
    """A block of 254 loopback addresses that no other lab has, `last` if it may be, and the socket that holds it."""
    candidates = [f"127.{random.randint(64, 126)}.{random.randint(0, 255)}" for _ in range(50)]  # noqa: S311
    for block in [last, *candidates] if last else candidates:
        with suppress(OSError):
            return block, socket.create_server((f"{block}.1", CONTROL_PORT))
    raise LabError("no block of loopback addresses is free")


@asynccontextmanager
async def switchboard(inventory: Inventory, door: socket.socket) -> AsyncIterator[None]:
    """Hears `reboot UUID` and `poweroff UUID` from the VMs' own tools, and does it a moment later."""
    at_work: set[asyncio.Task[None]] = set()

    async def later(machine: Machine, verb: str) -> None:
        await asyncio.sleep(0.2)  # the command that asked gets its answer out first
        with suppress(InvalidPower):
            await (machine.reboot() if verb == "reboot" else machine.power_off())

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, _, uuid = (await reader.readline()).decode(errors="replace").strip().partition(" ")
        machine = next((one for one in inventory.machines if one.instance_uuid == uuid), None)
        if machine and verb in ("reboot", "poweroff"):
            task = asyncio.create_task(later(machine, verb))
            at_work.add(task)
            task.add_done_callback(at_work.discard)
            writer.write(b"ok\n")
        else:
            writer.write(b"that is no VM, or nothing to do with one\n")
        writer.close()

    async with await asyncio.start_server(hear, sock=door):
        yield
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)


class Server(uvicorn.Server):
    """One of several servers in a loop whose signals are the lab's own to take."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any, door: socket.socket, **options: Any) -> AsyncIterator[None]:
    """Serves an ASGI app on an open socket; `options` are uvicorn's."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, **options)
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # handed on to what it accepts: no answer waits 40 ms
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[door]))
    while not server.started and not task.done():
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def answers(machine: Machine, seconds: float = 30) -> None:
    """Returns when the service of a VM that is on takes connections; at the latest after `seconds`.

    A VM whose service somebody broke is a fact about that VM, and no reason to keep the lab from starting.
    """
    ports = [port for layer, port in SERVICES.items() if layer in seed.LAYERS.get(machine.name, ())]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while machine.power == "poweredOn" and ports:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(machine.address, ports[0])
                    writer.close()
                    return
                await asyncio.sleep(0.02)
