"""Decides which way leads into a host and to its VM, and keeps one transport a machine and one session a vCenter.

What speaks SSH or SOAP is imported where the first host needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from plans.actions import At
from plans.environment import Environment, Guest, Host, Ssh, VCenter
from plans.hands import Seen
from vmops.local import LocalTransport
from vmops.transport import Refused, Transport

if TYPE_CHECKING:
    from vmops.clones import Clones
    from vmops.machine import Machine
    from vmops.vcenter import Session

RUNNER = "runner"
"""The machine that the bot itself runs on: a host of every environment, in none's configuration."""

_RUNNER_WORKDIR = ".quarterdeck"


class Hosts:
    """The hosts of all environments, for any number of threads."""

    def __init__(
        self, vcenters: Mapping[str, VCenter], environments: Mapping[str, Environment], namespace: str
    ) -> None:
        self._vcenters = vcenters
        self._hosts = {name: environment.machines() for name, environment in environments.items()}
        self._namespace = namespace
        self._lock = threading.Lock()
        self._ssh: dict[tuple[Ssh, str], Transport] = {}
        self._guests: dict[tuple[str, str, Guest, str], Transport] = {}
        self._sessions: dict[str, Session] = {}
        self._local = LocalTransport()

    def host(self, at: At) -> Host:
        """The host as it is configured. Raises Refused where there is none of that name, as for the runner."""
        try:
            return self._hosts[at.environment][at.host]
        except KeyError:
            raise Refused("the configuration has no such host") from None

    def base(self, at: At) -> str:
        """The directory that is this ledger's own there, as commands there write it. Raises Refused."""
        workdir = _RUNNER_WORKDIR if at.host == RUNNER else self.host(at).workdir
        return f"{workdir.rstrip('/')}/{self._namespace}"

    def env(self, at: At) -> dict[str, str]:
        """The variables that the configuration sets there. Raises Refused."""
        return {} if at.host == RUNNER else self.host(at).env

    def transport(self, at: At) -> Transport:
        """The way in; nothing is connected yet. Raises Refused where there is none that Quarterdeck can take."""
        if at.host == RUNNER:
            return self._local
        host = self.host(at)
        if host.ssh is None:
            return self._guest(host)
        with self._lock:
            key = (host.ssh, host.shell)
            if key not in self._ssh:
                self._ssh[key] = _over_ssh(host.ssh, host.shell)
            return self._ssh[key]

    def machine(self, at: At, *, anew: bool = False) -> Machine:
        """The host's VM in its vCenter, the one found last unless it is looked for anew.

        Raises Trouble, Unreachable, Refused.
        """
        from vmops.machine import find, known

        host = self.host(at)
        if not host.vm:
            raise Refused("the configuration names no vm for it")
        return (find if anew else known)(self._session(host.vcenter), host.vm)

    def _guest(self, host: Host) -> Transport:
        from vmops.guest import GuestTransport, Posix, Windows

        assert host.guest  # a host has one way in or the other
        system = Windows() if host.shell == "powershell" else Posix()
        session, key = self._session(host.vcenter), (host.vcenter, host.vm, host.guest, host.shell)
        with self._lock:
            if key not in self._guests:
                self._guests[key] = GuestTransport(session, host.vm, host.guest, system)
            return self._guests[key]

    def happenings(self, at: At, since: float) -> Seen:
        """What others did to the host's VM in vCenter since then (`vmops.happenings`). Raises as `machine`."""
        from vmops.happenings import read_happenings

        machine = self.machine(at)
        return read_happenings(self._session(self.host(at).vcenter), machine, since)

    def clones(self, at: At, token: str) -> Clones:
        """The making of the host's VM anew, under that token. Raises Refused."""
        from vmops.clones import Clones

        return Clones(self._session(self.host(at).vcenter), self.host(at).vm, token)

    def vm(self, source: At | str, at: At) -> str:
        """What a VM is called in the vCenter of the host `at`. Raises Refused where it is a host of another one."""
        if isinstance(source, str):
            return source
        theirs, ours = self.host(source), self.host(at)
        if theirs.vcenter != ours.vcenter:
            raise Refused(f"{source} is in the vCenter {theirs.vcenter or 'of nobody'}: it cannot be cloned from here")
        return theirs.vm

    def _session(self, vcenter: str) -> Session:
        from vmops.vcenter import Session

        if vcenter not in self._vcenters:
            raise Refused(f"the configuration has no vCenter {vcenter}")
        with self._lock:
            if vcenter not in self._sessions:
                self._sessions[vcenter] = Session(self._vcenters[vcenter])
            return self._sessions[vcenter]

    def close(self) -> None:
        """Closes all connections and sessions; what runs on the hosts is left running."""
        with self._lock:
            for transport in (self._local, *self._ssh.values(), *self._guests.values()):
                transport.close()
            for session in self._sessions.values():
                session.close()


def _over_ssh(ssh: Ssh, shell: str) -> Transport:
    if shell == "powershell":
        from vmops.windows import WindowsTransport

        return WindowsTransport(ssh)
    from vmops.ssh import SshTransport

    return SshTransport(ssh)
