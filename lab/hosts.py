"""Touches the network and the VMs' processes: one SSH server a VM, there while the VM is on."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import asyncssh

from lab import logins
from lab.machines import InvalidPower, Machine
from lab.vm import HOST_KEY

USER = "deploy"
CHUNK = 64 * 1024

Session = asyncssh.SSHServerProcess[bytes]


class Host:
    """The SSH server of `machine` on `port` of its address; who has the private half of `client_key` may log in, and
    who has that of a key in `.ssh/authorized_keys` of its disk.

    Who logs in is noted as on any host (`lab.logins`): all in the journal, those who have a terminal in wtmp.
    It follows the power switch: open once the VM is on, and with the plug every connection is cut. Each command that
    it ran is a line of `commands.jsonl` beside the VM's disk: at, boot_id, command, exit (the exit code, minus the
    number of the signal that ended it, or null where the connection was cut first).
    """

    def __init__(self, machine: Machine, port: int, client_key: asyncssh.SSHKey) -> None:
        self.machine = machine
        self.port = port
        self.client_key = client_key
        self.host_key = own_key(machine.folder / HOST_KEY)
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._commands: set[asyncio.Task[None]] = set()
        self._terminals: set[str] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None
        machine.on_power.append(self._follow)

    @property
    def known_hosts(self) -> str:
        """The host's line of a known_hosts file."""
        return f"[{self.machine.address}]:{self.port} {self.host_key.export_public_key().decode().strip()}\n"

    async def _follow(self, machine: Machine) -> None:
        if machine.power == "poweredOn":
            logins.boot(machine.folder)
            self._acceptor = await asyncssh.create_server(
                lambda: Gate(self),
                machine.address,
                self.port,
                server_host_keys=[self.host_key],
                process_factory=self._run,
                sftp_factory=lambda channel: Files(channel, machine.disk),
                encoding=None,
            )
        elif self._acceptor:
            self._acceptor.close()
            for connection in list(self.connections):
                connection.abort()
            await self._acceptor.wait_closed()
            await asyncio.gather(*self._commands, return_exceptions=True)
            self._acceptor = None

    async def _run(self, session: Session) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._commands.add(task)
        try:
            if session.subsystem:
                session.exit(127)
            elif session.term_type is not None:
                await self._at_a_terminal(session)
            else:
                await self._execute(session)
        finally:
            self._commands.discard(task)

    async def _at_a_terminal(self, session: Session) -> None:
        line = next(name for n in itertools.count() if (name := f"pts/{n}") not in self._terminals)
        about = session.get_extra_info("username"), session.get_extra_info("peername")[0]
        self._terminals.add(line)
        logins.came(self.machine.folder, line, *about)
        try:
            await self._execute(session)
        finally:
            self._terminals.discard(line)
            if self.machine.power == "poweredOn":  # the plug leaves no time to note anything
                logins.went(self.machine.folder, line)

    async def _execute(self, session: Session) -> None:
        started = datetime.now(UTC)
        argv = ["/bin/sh"] if session.command is None else ["/bin/sh", "-c", session.command]
        pipe = asyncio.subprocess.PIPE
        boot_id = self.machine.boot_id
        with suppress(InvalidPower):  # the plug was pulled meanwhile, and the connection is gone
            child = await self.machine.spawn(argv, env=self._environment(session), stdin=pipe, stdout=pipe, stderr=pipe)
            finished = await carry(session, child)
            self._note(started, boot_id, session.command, child.returncode if finished else None)
            if finished and child.returncode is not None:
                end(session, child.returncode)

    def _environment(self, session: Session) -> dict[str, str]:
        """The VM's, and where this connection came from and to, as sshd tells it."""
        ends = (*session.get_extra_info("peername")[:2], *session.get_extra_info("sockname")[:2])
        return {**self.machine.environment(), "SSH_CONNECTION": " ".join(map(str, ends))}

    def _note(self, started: datetime, boot_id: str, command: str | None, code: int | None) -> None:
        line = {"at": started.isoformat(timespec="milliseconds"), "boot_id": boot_id, "command": command, "exit": code}
        with (self.machine.folder / "commands.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


class Gate(asyncssh.SSHServer):
    """Who may come in, and where they may go on from here: to the lab's own addresses and nowhere else."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._connection: asyncssh.SSHServerConnection | None = None
        self._key = host.client_key

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._host.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection:
            self._host.connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._key = key
        disk = self._host.machine.disk
        return username == USER and (key.public_data == self._host.client_key.public_data or authorized(disk, key))

    def auth_completed(self) -> None:
        assert self._connection
        address, port = self._connection.get_extra_info("peername")[:2]
        name = self._key.get_algorithm().removeprefix("ssh-").upper()
        told = f"{name} {self._key.get_fingerprint()}"
        logins.accepted(self._host.machine.folder, USER, address, port, told)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        with suppress(ValueError):  # a name: the lab's addresses have none
            return ip_address(dest_host) in ip_network(f"{self._host.machine.address}/24", strict=False)
        return False


class Files(asyncssh.SFTPServer):
    """SFTP within the VM's disk: paths are relative to it, or absolute as commands on the VM see them."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], disk: Path) -> None:
        super().__init__(channel, chroot=os.fsencode(disk))
        self._disk = os.path.realpath(os.fsencode(disk))

    def map_path(self, path: bytes) -> bytes:
        """The local path; an absolute path elsewhere is taken as if the disk were the root."""
        return super().map_path(path[len(self._disk) :] if self._holds(path) else path)

    def reverse_map_path(self, path: bytes) -> bytes:
        """The path as commands see it. Raises SFTPNoSuchFile for what is not on the disk."""
        if not self._holds(path):
            raise asyncssh.SFTPNoSuchFile("not on this disk")
        return path

    def _holds(self, path: bytes) -> bool:
        return path == self._disk or path.startswith(self._disk + b"/")


def authorized(disk: Path, key: asyncssh.SSHKey) -> bool:
    """Whether the VM's own `authorized_keys` lets the key in; a line that sshd would not take lets nobody in."""
    file = disk / ".ssh" / "authorized_keys"
    for line in file.read_text().splitlines() if file.exists() else ():
        with suppress(asyncssh.KeyImportError, ValueError):
            if asyncssh.import_authorized_keys(line).validate(key, "", "", None) is not None:
                return True
    return False


def own_key(file: Path) -> asyncssh.SSHKey:
    """The ed25519 private key in `file`; a new one is made where there is none."""
    if not file.exists():
        file.touch(mode=0o600)
        asyncssh.generate_private_key("ssh-ed25519", comment=f"{USER}@lab").write_private_key(file)
    return asyncssh.read_private_key(file)


async def carry(session: Session, child: asyncio.subprocess.Process) -> bool:
    """Carries bytes both ways until the command has ended and its output is sent; False if the channel closed first.

    Then the command's process group is ended; what detached itself from it lives on, as on any host.
    """
    feeding = asyncio.create_task(feed(session, child))
    working = asyncio.create_task(drain(session, child))
    closed = asyncio.create_task(session.wait_closed())
    await asyncio.wait({working, closed}, return_when=asyncio.FIRST_COMPLETED)
    finished = working.done() and not working.exception()
    if not finished:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    for task in (feeding, working, closed):
        task.cancel()
    await asyncio.gather(feeding, working, closed, return_exceptions=True)
    # Somebody detached may still hold the other end of a pipe: let go of this one.
    child._transport.close()  # type: ignore[attr-defined]
    await child.wait()
    return finished


async def drain(session: Session, child: asyncio.subprocess.Process) -> None:
    """Sends what the command writes, no faster than the client takes it, until it has ended."""

    async def pump(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()

    assert child.stdout
    assert child.stderr
    await asyncio.gather(pump(child.stdout, session.stdout), pump(child.stderr, session.stderr))
    await child.wait()


async def feed(session: Session, child: asyncio.subprocess.Process) -> None:
    """Gives the command what the client sends, its signals too."""
    assert child.stdin
    with suppress(BrokenPipeError, ConnectionResetError):  # the command reads no further
        while not session.stdin.at_eof():
            try:
                child.stdin.write(await session.stdin.read(CHUNK))
                await child.stdin.drain()
            except asyncssh.SignalReceived as received:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.Signals[f"SIG{received.signal}"])
    child.stdin.close()


def end(session: Session, code: int) -> None:
    """Tells the client how the command ended, and closes the channel."""
    if code < 0:
        session.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    else:
        session.exit(code)
