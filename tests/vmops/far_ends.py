"""Far ends for the contract: this machine, a real OpenSSH sshd on loopback, and a whole lab in a process of its own."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plans.actions import At, Outcome, Shell
from plans.environment import Environment, Guest, Host, Ssh, VCenter
from vmops.perform import Performer

DEADLINE = 60.0
NAMESPACE = secrets.token_hex(8)  # of this process alone: a job is known on its machine by it, and others may test too
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")

# What a restart is on a host that must not restart: another boot id, all connections cut, and the job told to end.
FAKES = {
    "sysctl": """#!/bin/sh
exec cat "$FAKES/boot_id"
""",
    "reboot": """#!/bin/sh
cat /proc/sys/kernel/random/uuid >"$FAKES/boot_id"
kill -9 $(cat "/proc/$(cat "$FAKES/sshd")/task/"*/children)
kill -s TERM -- "-$(ps -o sess= -p $$ | tr -d ' ')"
""",
}


def until(true: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Waits until it is true; what it came to."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
    return value


@dataclass
class Target:
    """A host that the contract holds for. `cut` kills its connections, where it has some that can be cut."""

    name: str
    at: At
    environments: dict[str, Environment]
    base: Path
    vcenters: dict[str, VCenter] = field(default_factory=dict)
    cut: Callable[[], None] | None = None
    archives: Path = Path()

    def performer(self) -> Performer:
        """A new bot's."""
        return Performer(
            self.vcenters, self.environments, namespace=NAMESPACE, archives=lambda digest: self.archives / digest
        )


@dataclass
class Bot:
    """One bot: numbers its jobs, keeps what the last one printed."""

    target: Target
    performer: Performer
    jobs: int = 0
    printed: bytearray = field(default_factory=bytearray)
    cancel: threading.Event = field(default_factory=threading.Event)

    def shell(self, command: str, *, job: str = "", **options: Any) -> Outcome:
        """Runs a command; `timeout`, `env`, `cwd`, `ask_when_overdue` are the action's, the rest `perform`'s."""
        self.jobs += 1
        ours = {name: options.pop(name) for name in list(options) if name in Shell.__struct_fields__}
        return self.perform(Shell(at=self.target.at, command=command, **ours), job=job or f"t-{self.jobs}", **options)

    def perform(self, action: Any, *, job: str = "j", **options: Any) -> Outcome:
        self.printed = bytearray()
        sink = options.pop("sink", self.printed.extend)
        return self.performer.perform(action, job=job, sink=sink, cancel=self.cancel, **options)

    def folder(self, job: str) -> Path:
        """The directory of the job's run, which is on this machine for every target."""
        return self.target.base / NAMESPACE / "jobs" / job.partition("-")[0]


@dataclass
class Sshd:
    """A real sshd. Its login directory is that of the user who runs the tests."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def ssh(self) -> Ssh:
        return Ssh(
            host="127.0.0.1",
            port=self.port,
            user=subprocess.check_output(["id", "-un"], text=True).strip(),
            key_file=str(self.folder / "key"),
            known_hosts=str(self.folder / "known_hosts"),
        )

    def target(self, tmp_path: Path, **ssh: Any) -> Target:
        host = Host(ssh=msgspec.structs.replace(self.ssh, **ssh), workdir=str(tmp_path / "work"))
        environments = {"staging": Environment(hosts={"web": host})}
        at = At("staging", "web")
        return Target("sshd", at, environments, tmp_path / "work", cut=self.cut, archives=tmp_path)

    def sessions(self) -> list[int]:
        """The processes that serve one connection each."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        assert SSHD
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "config"], stderr=log)
        (self.folder / "fakes" / "sshd").write_text(str(self.process.pid))
        until(lambda: answers("127.0.0.1", self.port))

    def stop(self) -> None:
        """Ends it and every connection."""
        self.cut()
        self.process.terminate()
        self.process.wait(DEADLINE)

    def cut(self) -> None:
        """Ends every connection as a crash does."""
        for pid in self.sessions():
            os.kill(pid, signal.SIGKILL)


@contextmanager
def open_sshd(folder: Path) -> Iterator[Sshd]:
    """Debian's sshd on a port of its own; where there is none the test is skipped, except in CI, where it fails."""
    if SSHD is None:
        if os.environ.get("CI"):
            pytest.fail("sshd is not installed: apt-get install openssh-server")
        pytest.skip("sshd is not installed (Debian: openssh-server)")
    for key in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    fakes = folder / "fakes"
    fakes.mkdir()
    for name, text in FAKES.items():
        (fakes / name).write_text(text)
        (fakes / name).chmod(0o755)
    (fakes / "boot_id").write_text("first\n")
    # SHLVL: bash then leaves the start-up files alone of whoever runs the tests.
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/key.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"PermitRootLogin yes\nMaxStartups 100\nSetEnv PATH={fakes}:{os.environ['PATH']} FAKES={fakes} SHLVL=2\n"
    )
    public = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    one = Sshd(folder, port)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Lab:
    """A lab in a process of its own."""

    folder: Path
    kept: dict[str, Any]

    def host(self, name: str) -> Host:
        """The way into a VM, and its name in the lab's vCenter."""
        address = {line.split()[1]: line.split()[0] for line in (self.folder / "hosts").read_text().splitlines()}[name]
        keys = self.folder / "keys"
        ssh = Ssh(
            host=address,
            port=self.kept["ssh_port"],
            user="deploy",
            key_file=str(keys / "deploy"),
            known_hosts=str(keys / "known_hosts"),
        )
        return Host(vcenter="main", vm=name, ssh=ssh, workdir=f"work/{threading.get_native_id()}-{time.monotonic_ns()}")

    def without_a_network(self, name: str, **guest: str) -> Host:
        """The same VM by VMware Tools alone; `guest` are what differs from the right user and password."""
        password = (self.folder / "keys" / "guest-password").read_text().strip()
        way = Guest(**{"username": "deploy", "password": password, **guest})
        return msgspec.structs.replace(self.host(name), ssh=None, guest=way)

    def target(self, environment: str, role: str, host: Host, tmp_path: Path) -> Target:
        base = self.folder / "vms" / host.vm / "disk" / host.workdir
        vcenters = {"main": self.vcenter()}
        environments = {environment: Environment(hosts={role: host})}
        return Target(
            "lab" if host.ssh else "guest", At(environment, role), environments, base, vcenters, archives=tmp_path
        )

    def vcenter(self, **options: Any) -> VCenter:
        return VCenter(
            **{
                "host": "127.0.0.1",
                "port": self.kept["vcenter_port"],
                "username": "quarterdeck@vsphere.local",
                "password": self.kept["vcenter_password"],
                "ca_file": str(self.folder / "vcenter" / "ca.pem"),
                **options,
            }
        )


@contextmanager
def open_lab(folder: Path) -> Iterator[Lab]:
    """A lab, once everything in it answers."""
    command = [sys.executable, "-m", "lab", "--dir", folder]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = []
        while (line := process.stderr.readline()) and line.strip() != "ready":
            said.append(line)
        assert line, f"the lab did not start: {''.join(said)}"
        try:
            yield Lab(folder, msgspec.json.decode((folder / "lab.json").read_bytes()))
        finally:
            process.terminate()
    assert process.returncode == 0
