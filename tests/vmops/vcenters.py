"""The vCenters that the contract holds for: the lab's, and govmomi's simulator, each behind a wire that can be cut."""

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from far_ends import DEADLINE, NAMESPACE, until
from pyVim.connect import SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl
from wire import Wire

from lab.inventory import Inventory
from lab.vcenter import create_app, make_certificates
from lab.vcenter.core import VCenter as LabVCenter
from plans.actions import At, Outcome
from plans.environment import Environment, Host, Ssh, VCenter
from vmops.perform import Performer

USER, PASSWORD = "quarterdeck", "right"
WEB = At("staging", "web")
TOKEN = f"quarterdeck-{NAMESPACE}-"
VCSIM = Path(__file__).with_name("vcsim") / "main.go"
GOCODE = Path("/usr/share/gocode")
INSTALL = "apt-get install golang-go golang-github-vmware-govmomi-dev"


@dataclass
class Center:
    """A vCenter with a VM `vm`, which is off and has no snapshot, at `path`; and with two VMs `twin`, at `twins`.

    `cannot`: what it is unable to show, by the contract's word for it, with the reason.
    """

    name: str
    wire: Wire
    admin: vim.ServiceInstance
    ca_file: Path
    vm: str
    path: str
    twins: tuple[str, str]
    cannot: dict[str, str] = field(default_factory=dict)
    lab: LabVCenter | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def vcenter(self, **options: Any) -> VCenter:
        """How the bot reaches it: over the wire."""
        ours = {"host": "127.0.0.1", "port": self.wire.port, "username": USER, "password": PASSWORD}
        return VCenter(**{**ours, "ca_file": str(self.ca_file), **options})

    @property
    def own(self) -> vim.VirtualMachine:
        """The VM, as an admin sees it, past the wire."""
        return self.admin.content.searchIndex.FindByInventoryPath(self.path)

    def tell(self, path: str, of: str = "") -> Any:
        """A property of the VM, or of the one at `of`, by a collector: the simulator survives no other way of asking
        for an unset one."""
        vm = self.admin.content.searchIndex.FindByInventoryPath(of or self.path)
        collect = vmodl.query.PropertyCollector
        wanted = collect.FilterSpec(
            propSet=[collect.PropertySpec(type=vim.VirtualMachine, pathSet=[path])],
            objectSet=[collect.ObjectSpec(obj=vm)],
        )
        found = self.admin.content.propertyCollector.RetrieveContents([wanted])
        return next((one.val for one in found[0].propSet), None)

    @property
    def power(self) -> str:
        return str(self.tell("runtime.powerState"))

    def snapshots(self, of: str = "") -> list[str]:
        """The names of the VM's snapshots, or of those of the one at `of`, each as often as it is there."""

        def names(trees: Any) -> Iterator[str]:
            for one in trees:
                yield one.name
                yield from names(one.childSnapshotList)

        snapshot = self.tell("snapshot", of)
        return list(names(snapshot.rootSnapshotList)) if snapshot else []

    def sessions(self) -> list[str]:
        """The keys of everybody's sessions but the admin's own."""
        manager = self.admin.content.sessionManager
        return [one.key for one in manager.sessionList if one.key != manager.currentSession.key]

    def kill_sessions(self) -> None:
        self.admin.content.sessionManager.TerminateSession(self.sessions())

    def order(self, fault: Any) -> None:
        """Lets something go wrong in the lab's vCenter."""
        assert self.lab
        self.soon(self.lab.faults.add, fault)

    def soon(self, do: Callable[..., None], *args: Any) -> None:
        """Lets something happen in the lab's own thread."""
        assert self.loop
        self.loop.call_soon_threadsafe(do, *args)

    def reset(self) -> None:
        """The VM off, without snapshots; nothing goes wrong any more."""
        self.wire.heal()
        vm = self.own
        if self.tell("snapshot"):
            WaitForTask(vm.RemoveAllSnapshots_Task())
        if self.power == "poweredOn":
            WaitForTask(vm.PowerOffVM_Task())
        self.wire.calls.clear()


class Bot:
    """A bot whose staging web host is the center's VM, or another. `lines` are what it was told of changes."""

    def __init__(self, center: Center, vm: str = "", **vcenter: Any) -> None:
        # Nobody logs in over SSH here.
        ssh = Ssh(host="127.0.0.1", port=1, user="nobody", key_file="none", known_hosts="none")
        host = Host(vcenter="main", vm=vm or center.vm, ssh=ssh)
        self.performer = Performer(
            {"main": center.vcenter(**vcenter)},
            {"staging": Environment(hosts={"web": host})},
            namespace=NAMESPACE,
            archives=Path,
        )
        self.cancel = threading.Event()
        self.lines: list[str] = []

    def __call__(self, action: Any) -> Outcome:
        return self.performer.perform(action, job="j", sink=self._hear, cancel=self.cancel)

    def _hear(self, data: bytes) -> None:
        self.lines += data.decode().splitlines()


@contextmanager
def open_lab_center(folder: Path) -> Iterator[Center]:
    """The lab's vCenter in a thread of this process."""
    inventory = Inventory(folder, tools=folder / "tools")
    isolated = inventory.add_port_group("isolated-staging", inventory.add_switch("vSwitch1"))
    inventory.add_distributed_port_group(
        "dv-other", inventory.add_distributed_switch("dvs-other", {inventory.hosts[0]: []})
    )
    for name, place in (("staging-web", ""), ("twin", ""), ("twin", "old")):
        at = f"127.0.0.{len(inventory.machines) + 2}"
        inventory.add(name, address=at, networks=[isolated], power="poweredOff", place=place)
    ca_file, cert_file, key_file = make_certificates(folder / "tls")
    app = create_app(inventory, USER, PASSWORD)
    config = uvicorn.Config(
        app,
        port=0,
        ssl_certfile=cert_file,
        ssl_keyfile=key_file,
        timeout_keep_alive=1000,
        timeout_graceful_shutdown=1,
        lifespan="off",
        log_config=None,
    )
    server, loop = uvicorn.Server(config), asyncio.new_event_loop()

    async def serve() -> None:
        await inventory.start()
        await server.serve()
        await inventory.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with _wired(port, ca_file, cert_file, key_file) as (wire, admin):
            twins = ("/lab/vm/old/twin", "/lab/vm/twin")
            vcenter = app.state.vcenter
            yield Center(
                "lab", wire, admin, ca_file, "staging-web", "/lab/vm/staging-web", twins, lab=vcenter, loop=loop
            )
            asyncio.run_coroutine_threadsafe(vcenter.close(), loop).result(DEADLINE)
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        loop.close()


@contextmanager
def open_simulator(folder: Path, cache: Path) -> Iterator[Center]:
    """govmomi's simulator, compiled into `cache` once; without it the test is skipped, except in CI, where it fails."""
    program = _compiled(cache)
    ca_file, cert_file, key_file = make_certificates(folder / "tls")
    command = [program, cert_file, key_file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with _wired(port, ca_file, cert_file, key_file) as (wire, admin):
            yield _simulated(wire, admin, ca_file)
    assert process.returncode == 0


def _simulated(wire: Wire, admin: vim.ServiceInstance, ca_file: Path) -> Center:
    top = admin.content.rootFolder.childEntity[0].vmFolder
    own, other = (one for one in top.childEntity if one.name in ("DC0_H0_VM0", "DC0_H0_VM1"))
    old = top.CreateFolder("old")
    WaitForTask(other.Rename_Task("twin"))
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
    WaitForTask(own.CloneVM_Task(old, "twin", spec))
    WaitForTask(own.PowerOffVM_Task())
    return Center(
        "simulator",
        wire,
        admin,
        ca_file,
        "DC0_H0_VM0",
        "/DC0/vm/DC0_H0_VM0",
        ("/DC0/vm/old/twin", "/DC0/vm/twin"),
        cannot={
            "revert": "govmomi's simulator (API 6.5) restores neither power nor disk when a VM is reverted",
            "tasks": "govmomi's simulator keeps no recentTask of a VM, so that a lost revert leaves no trace",
            "annotation": "govmomi's simulator forgets the annotation of a clone, by which Quarterdeck knows its own",
            "faults": "govmomi's simulator ends every task at once, and well",
        },
    )


@contextmanager
def _wired(port: int, ca_file: Path, cert_file: Path, key_file: Path) -> Iterator[tuple[Wire, vim.ServiceInstance]]:
    trust = ssl.create_default_context(cafile=str(ca_file))
    admin = SmartConnect(host="127.0.0.1", port=port, user=USER, pwd=PASSWORD, sslContext=trust)
    wire = Wire(port, cert_file, key_file)
    try:
        yield wire, admin
    finally:
        wire.close()
        admin._stub.DropConnections()


def _compiled(cache: Path) -> Path:
    go, source = shutil.which("go"), GOCODE / "src/github.com/vmware/govmomi/simulator"
    if go is None or not source.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"govmomi's simulator is not installed: {INSTALL}")
    program = cache / "vcsim"
    if not program.exists() or program.stat().st_mtime < VCSIM.stat().st_mtime:
        env = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOCODE), "GOCACHE": str(cache / "go")}
        subprocess.run([go, "build", "-o", program, VCSIM], env=env, check=True)
    return program
