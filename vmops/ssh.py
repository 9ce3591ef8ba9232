"""Touches a machine over SSH: a few connections kept open, each with a shell that takes one script after another.

Fabric opens the connections; the channels are driven in `vmops.shell`, because Fabric's own runner polls, keeps all
output in memory and leaves the remote process alone when its time is over.
"""

import shlex
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plans.environment import Ssh
from vmops.connect import SECONDS, Connection
from vmops.languages import SH, Language
from vmops.shell import PACKET, Shell, stream
from vmops.transport import Limit, Lost, Sink, Trouble, Unreachable

SESSIONS = 8
"""At once on one machine; sshd's MaxStartups begins to refuse at 10."""

REUSED = 5.0
"""Seconds that a connection which stood idle has for showing that it still works; after that there is a new one."""


class SshTransport:
    """The verbs of `Transport` over SSH, for any number of threads: each call has a connection of its own meanwhile."""

    language: Language = SH

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh
        self._name = f"{ssh.host}:{ssh.port}"
        self._slots = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._closed = False

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        with self._line(limit) as line:
            return line.run(script, out, err, limit)

    def put(self, source: Path, target: str, limit: Limit) -> None:
        # A stream into cat: about twice as fast as SFTP, whose every block is answered.
        with source.open("rb", buffering=0) as data, self._line(limit) as line:
            code, said = line.stream(
                _sh(f"cat >{shlex.quote(target)}"), limit, data=iter(lambda: data.read(PACKET), b"")
            )
        if code:
            raise Trouble(f"{self._name}: cannot write {shlex.quote(target)}: {said or f'exit code {code}'}")

    def get(self, source: str, sink: Sink, limit: Limit) -> None:
        with self._line(limit) as line:
            code, said = line.stream(_sh(f"cat <{shlex.quote(source)}"), limit, out=sink)
        if code:
            raise Trouble(f"{self._name}: cannot read {shlex.quote(source)}: {said or f'exit code {code}'}")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    @contextmanager
    def _line(self, limit: Limit) -> Iterator["_Line"]:
        while not self._slots.acquire(timeout=limit.check()):
            pass
        try:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None or not line.alive:
                limit.check()
                line = _Line(Connection(self._ssh), self._name)
            try:
                yield line
            finally:
                self._give_back(line)
        finally:
            self._slots.release()

    def _give_back(self, line: "_Line") -> None:
        with self._lock:
            if line.alive and not self._closed:
                self._idle.append(line)
                return
        line.close()


class _Line:
    """One connection and its shell."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self._shell: Shell | None = None
        self._patience = SECONDS

    @property
    def alive(self) -> bool:
        return self._connection.alive

    def run(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        """Runs a script in the shell, which is kept where it comes to an end. Raises as `Transport.exec`."""
        with self._told():
            shell, self._shell = self._shell or Shell(self._connection.session(self._patience)), None
            try:
                code = shell.run(script, out, err, limit, self._patience)
            except BaseException:
                shell.close()
                raise
            if shell.alive:
                self._shell = shell
            self._patience = REUSED
            return code

    def stream(
        self,
        command: str,
        limit: Limit,
        *,
        data: Iterable[bytes] = (),
        out: Sink | None = None,
        err: Sink | None = None,
    ) -> tuple[int, str]:
        """Runs a command that reads the data: its exit code, and what it said where no sink was given for that."""
        with self._told():
            return stream(self._connection.session(self._patience), command, limit, data, out, err)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (Lost, Unreachable) as trouble:
            # Broken, or silent for so long that it is as good as broken.
            self.close()
            raise type(trouble)(f"{self._name}: {trouble}") from trouble


def _sh(command: str) -> str:
    """The command line for a login shell that may be any."""
    return f"exec /bin/sh -c {shlex.quote(command)}"
