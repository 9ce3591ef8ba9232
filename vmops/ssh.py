"""Touches a machine over SSH: a few connections kept open, a channel for each script, its bytes passed on as they come.

Fabric opens the connections; the channels are driven here, because Fabric's own runner polls, keeps all output in
memory and leaves the remote process alone when its time is over.
"""

import io
import select
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import paramiko

from plans.environment import Ssh
from vmops.connect import FROZEN_MS, SECONDS, Connection
from vmops.transport import LOOK, Limit, Lost, Sink, Trouble, Unreachable

SESSIONS = 8
"""At once on one machine; sshd's MaxStartups begins to refuse at 10."""

CHUNK = 64 * 1024

REUSED = 5.0
"""Seconds that a connection which stood idle has for showing that it still works; after that there is a new one."""


class SshTransport:
    """The verbs of `Transport` over SSH, for any number of threads: each call has a connection of its own meanwhile."""

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh
        self._name = f"{ssh.host}:{ssh.port}"
        self._slots = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        return self._run("exec /bin/sh -s", io.BytesIO(script.encode()), out, err, limit)

    def put(self, source: Path, target: str, limit: Limit) -> None:
        # A stream into cat: about twice as fast as SFTP, whose every block is answered.
        command = f"exec /bin/sh -c {shlex.quote(f'cat >{shlex.quote(target)}')}"
        said = bytearray()
        with source.open("rb") as data:
            if code := self._run(command, data, said.extend, said.extend, limit):
                why = said.decode(errors="replace").strip() or f"exit code {code}"
                raise Trouble(f"{self._name}: cannot write {shlex.quote(target)}: {why}")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _run(self, command: str, data: BinaryIO, out: Sink, err: Sink, limit: Limit) -> int:
        with self._session(limit) as channel:
            try:
                _exec(channel, command)
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise Lost(f"{self._name}: the connection was lost") from error
            _send(channel, data, limit)
            _pump(channel, out, err, limit)
            while not channel.exit_status_ready():
                channel.status_event.wait(limit.check())
            if channel.exit_status < 0:
                raise Lost(f"{self._name}: the connection was lost")
            return int(channel.exit_status)

    @contextmanager
    def _session(self, limit: Limit) -> Iterator[paramiko.Channel]:
        while not self._slots.acquire(timeout=limit.check()):
            pass
        try:
            connection, channel = self._reuse() or self._connect(limit)
            try:
                yield channel
            finally:
                with suppress(EOFError, OSError):  # the connection broke, which its next user is told
                    channel.close()
                self._give_back(connection)
        finally:
            self._slots.release()

    def _reuse(self) -> tuple[Connection, paramiko.Channel] | None:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return None
            try:
                if connection.alive:
                    return connection, connection.session(REUSED)
            except Unreachable:
                pass
            connection.close()

    def _connect(self, limit: Limit) -> tuple[Connection, paramiko.Channel]:
        limit.check()
        connection = Connection(self._ssh)
        try:
            return connection, connection.session(SECONDS)
        except BaseException:
            connection.close()
            raise

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if connection.alive and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _exec(channel: paramiko.Channel, command: str) -> None:
    # Paramiko waits for the reply without a limit of its own.
    watch = threading.Timer(SECONDS, channel.close)
    watch.daemon = True
    watch.start()
    try:
        channel.exec_command(command)
    finally:
        watch.cancel()


def _send(channel: paramiko.Channel, data: BinaryIO, limit: Limit) -> None:
    channel.settimeout(LOOK)
    moved = time.monotonic()
    while chunk := data.read(CHUNK):
        view = memoryview(chunk)
        while view:
            limit.check()
            try:
                view = view[channel.send(view) :]
                moved = time.monotonic()
            except TimeoutError as stalled:
                if time.monotonic() - moved > FROZEN_MS / 1000:
                    raise Lost(f"nothing was taken for {FROZEN_MS / 1000:.0f} s") from stalled
            except (EOFError, OSError):
                return  # it ended without reading everything: its exit code, or that there is none, tells more
    with suppress(EOFError, OSError):
        channel.shutdown_write()


def _pump(channel: paramiko.Channel, out: Sink, err: Sink, limit: Limit) -> None:
    waiting = select.poll()
    waiting.register(channel.fileno(), select.POLLIN)
    while True:
        pause = limit.check()
        # Asked before the last bytes are read: what arrived before the end is there by then.
        over = channel.eof_received or channel.closed
        ready, complained = channel.recv_ready(), channel.recv_stderr_ready()
        if ready:
            out(channel.recv(CHUNK))
        if complained:
            err(channel.recv_stderr(CHUNK))
        if not ready and not complained:
            if over:
                return
            waiting.poll(pause * 1000)
