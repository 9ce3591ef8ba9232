"""Touches an sshd of its own on ten addresses of loopback, and the two ways into it: the bot's and OpenSSH's."""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from plans.environment import Environment, Host, Ssh
from plans.errors import Refusal
from vmops.perform import Performer

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 11))

PLACES = "/usr/sbin:/usr/local/sbin"
"""Where sshd is, though users' PATHs often are not."""

SECONDS = 30.0


@dataclass(frozen=True)
class Sshd:
    """A running sshd; `config` is OpenSSH's client configuration for it, with a ControlMaster for each address."""

    folder: Path
    port: int
    config: Path

    def ssh(self, *command: str | Path) -> list[str | Path]:
        """The command line of OpenSSH's client, which leaves everybody's own configuration alone."""
        return ["ssh", "-F", self.config, *command]

    def environment(self) -> Environment:
        """Ten hosts of the role web."""
        ways = [
            Ssh(
                host=address,
                port=self.port,
                user=getpass.getuser(),
                key_file=str(self.folder / "key"),
                known_hosts=str(self.folder / "known_hosts"),
            )
            for address in ADDRESSES
        ]
        hosts = tuple(
            Host(ssh=way, workdir=str(self.folder / "work" / way.host.rpartition(".")[2]), env={}) for way in ways
        )
        return Environment(hosts={"web": hosts})

    def performer(self) -> Performer:
        """The bot's way: archives are files in `folder`, by their digests."""
        return Performer(
            {}, {"bench": self.environment()}, namespace="bench", archives=lambda digest: self.folder / digest
        )

    def hang_up(self) -> None:
        """Ends OpenSSH's ControlMasters."""
        for address in ADDRESSES:
            subprocess.run(self.ssh("-O", "exit", address), stderr=subprocess.DEVNULL, check=False)


@contextmanager
def open_sshd(folder: Path) -> Iterator[Sshd]:
    """An sshd for this user alone, with new keys; nothing of it is left afterwards. Raises Refusal (`needs_sshd`)."""
    path = f"{os.environ.get('PATH', os.defpath)}:{PLACES}"
    programs = {name: shutil.which(name, path=path) for name in ("ssh", "scp", "ssh-keygen", "sshd")}
    if missing := [name for name, there in programs.items() if there is None]:
        raise Refusal(
            "needs_sshd",
            f"Not installed here: {', '.join(missing)}.",
            "Debian: apt-get install openssh-server openssh-client",
        )
    for key in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with socket.create_server((ADDRESSES[0], 0)) as door:
        port = door.getsockname()[1]
    sshd = Sshd(folder, port, _configured(folder, port))
    with _separation(), (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(programs["sshd"]), "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        try:
            _await(process, port, folder / "log")
            yield sshd
        finally:
            sshd.hang_up()
            process.terminate()
            process.wait()


def _configured(folder: Path, port: int) -> Path:
    listen = "".join(f"ListenAddress {address}\n" for address in ADDRESSES)
    # SHLVL: bash then reads no start-up file of whoever measures, which would be measured too, on both sides.
    (folder / "sshd_config").write_text(
        f"{listen}Port {port}\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/key.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n"
        "Subsystem sftp internal-sftp\n"
        f"SetEnv PATH={os.environ.get('PATH', os.defpath)} SHLVL=2\n"
    )
    public = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"[{address}]:{port} {public}" for address in ADDRESSES))
    config = folder / "ssh_config"
    config.write_text(
        f"Host *\nPort {port}\nIdentityFile {folder}/key\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n"
        f"BatchMode yes\nControlMaster auto\nControlPersist 300\nControlPath {folder}/%h\n"
    )
    return config


@contextmanager
def _separation() -> Iterator[None]:
    """The directory that root's sshd wants, made where it is missing, and then removed."""
    directory, made = Path("/run/sshd"), False
    if os.geteuid() == 0:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o755)
            made = True
    try:
        yield
    finally:
        if made:
            directory.rmdir()


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS
    for address in ADDRESSES:
        while True:
            with suppress(OSError):
                socket.create_connection((address, port), timeout=1).close()
                break
            if process.poll() is not None or time.monotonic() > until:
                said = log.read_text(errors="replace").strip().splitlines()
                raise Refusal("needs_sshd", f"sshd does not answer at {address}: {' '.join(said[-1:])}")
            time.sleep(0.02)


def quoted(words: list[str | Path]) -> str:
    """A command line for a shell script."""
    return shlex.join(map(str, words))
