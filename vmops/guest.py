"""Touches a machine through its vCenter alone: scripts and files go in through VMware Tools, answers come out.

A script is put into the guest as a file and started; what it said comes back as one file, once it has ended. So the
script that follows a job is told to end as soon as there is news (`piece`), and is started again for the next.
"""

import io
import secrets
import shlex
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from plans.environment import Guest
from vmops import powershell
from vmops.languages import SH, Language
from vmops.scripts import LIBRARY
from vmops.tools import NoSuchFile, Tools
from vmops.transfers import Transfers
from vmops.transport import TICK, Limit, Lost, Sink, Trouble, Unreachable
from vmops.vcenter import Session

PIECE = 8 << 20
"""Bytes that each of a job's two outputs brings at once: so much more room does following it take in the guest."""

QUICK = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds before the looks for an answer that may be there at once."""

SLOW = 1.0
"""Seconds between two looks whether a program still runs."""

# What a shell reads is a pipe, in which the time passes. The answer is a line with the exit code and the length of the
# output, the output, and the errors. It appears once it is whole, and never where whoever waited for it has given up
# and removed the script.
_RUN = f"""(umask 077; : >"$d.out"; : >"$d.err"; : >"$d.new"; mkfifo "$d.in")
{{ cat "$d.sh"; while sleep {TICK} || sleep 1; do echo :; done 2>/dev/null; }} >"$d.in" &
/bin/sh -s <"$d.in" >>"$d.out" 2>>"$d.err"
code=$?
kill $!
[ ! -e "$d.sh" ] ||
  {{ {{ echo "$code $(($(wc -c <"$d.out")))"; cat "$d.out" "$d.err"; }} >>"$d.new" && mv "$d.new" "$d.answer"; }}
rm -f "$d.in" "$d.sh" "$d.out" "$d.err" "$d.new" """


class Posix:
    """How a script is run by a guest's /bin/sh."""

    language, home, slash, script = SH, "HOME", "/", ".sh"
    program = "/bin/sh"

    def whole(self, path: str) -> bool:
        """Whether it is a complete path."""
        return path.startswith("/")

    def bytes(self, script: str) -> bytes:
        """What its file holds."""
        return f"{LIBRARY}piece={PIECE}\n{script}exit\n".encode()

    def arguments(self, folder: str, name: str, done: Sequence[str]) -> str:
        """What the program is given, so that it leaves the script's answer, and nothing of those that are `done`."""
        paths = [shlex.quote(f"{folder}/{each}") for each in (name, *done)]
        gone = " ".join(f"{path}.*" for path in paths[1:])
        lines = f"d={paths[0]}\n{_RUN}{gone}"
        return f"-c {shlex.quote(lines)}"


class Windows:
    """How a script is run by a guest's PowerShell."""

    language, home, slash, script = powershell.POWERSHELL, "USERPROFILE", "\\", ".ps1"
    program = powershell.POWERSHELL_EXE

    def whole(self, path: str) -> bool:
        return PureWindowsPath(path).is_absolute()

    def bytes(self, script: str) -> bytes:
        return script.encode("utf-8-sig")  # without the mark PowerShell takes it for the machine's old code page

    def arguments(self, folder: str, name: str, done: Sequence[str]) -> str:
        return powershell.arguments(powershell.answering(folder, name, done))


class GuestTransport:
    """The verbs of `Transport` through VMware Tools, for any number of threads."""

    def __init__(self, session: Session, vm: str, guest: Guest, system: Posix | Windows) -> None:
        self.language: Language = system.language
        self._system = system
        self._name = f"the guest of {vm}"
        self._tools = Tools(session, vm, guest)
        self._transfers = Transfers(session.tls, session.address)
        self._lock = threading.Lock()
        self._folder = ""
        self._home = ""
        self._done: list[str] = []

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        limit.check()
        folder, name = self._delivered(self._system.bytes(script), limit)
        with self._lock:
            done = tuple(self._done)
        try:
            pid = self._tools.start(self._system.program, self._system.arguments(folder, name, done))
            with self._lock:
                self._done = [each for each in self._done if each not in done]
            return self._answered(f"{folder}{self._system.slash}{name}.answer", pid, out, err, limit)
        finally:
            with self._lock:
                self._done.append(name)

    def put(self, source: Path, target: str, limit: Limit) -> None:
        with source.open("rb") as data:
            self._send(self._whole(target), data, source.stat().st_size, limit)

    def get(self, source: str, sink: Sink, limit: Limit) -> None:
        self._transfers.fetch(self._tools.giving(self._whole(source)), sink, limit)

    def close(self) -> None:
        if self._folder:
            with suppress(Trouble):  # it is among what is temporary there
                self._tools.remove(self._folder)
        self._transfers.close()

    def _delivered(self, script: bytes, limit: Limit) -> tuple[str, str]:
        """The folder and the name of the script's file there."""
        name = secrets.token_hex(8)
        while True:
            with self._lock:
                known, self._folder = self._folder, self._folder or self._tools.folder()
                folder = self._folder
            path = f"{folder}{self._system.slash}{name}{self._system.script}"
            try:
                self._send(path, io.BytesIO(script), len(script), limit)
            except NoSuchFile:  # emptied at a boot, or the VM was reverted to before it was made
                with self._lock:
                    self._folder = "" if self._folder == known else self._folder
                if not known:
                    raise
            else:
                return folder, name

    def _answered(self, path: str, pid: int | None, out: Sink, err: Sink, limit: Limit) -> int:
        answer = _Answer(out, err)
        try:
            self._transfers.fetch(self._waited_for(path, pid, limit), answer, limit)
        except Unreachable as trouble:
            raise Lost(str(trouble)) from trouble
        if answer.code is None:
            raise Lost(f"{self._name}: the answer broke off")
        return answer.code

    def _waited_for(self, answer: str, pid: int | None, limit: Limit) -> str:
        """The address of a program's answer, once there is one. Raises Lost where there will be none."""
        for pause in QUICK:
            limit.pause(pause)
            with suppress(NoSuchFile):
                return self._tools.giving(answer)
        while pid is not None and self._tools.runs(pid):
            limit.pause(SLOW)
        try:
            return self._tools.giving(answer)
        except NoSuchFile as fault:
            raise Lost(
                f"{self._name}: a script left no answer there: was it restarted, or is its disk full?"
            ) from fault

    def _send(self, path: str, data: BinaryIO, size: int, limit: Limit) -> None:
        self._transfers.send(self._tools.taking(path, size, posix=isinstance(self._system, Posix)), data, size, limit)

    def _whole(self, path: str) -> str:
        """Tools take complete paths only; ours may be relative to the login directory."""
        if self._system.whole(path):
            return path
        self._home = self._home or self._tools.variable(self._system.home)
        return f"{self._home}{self._system.slash}{path}"


class _Answer:
    """Reads an answer's bytes as they come: `code` once its first line is there, then the output, then the errors."""

    def __init__(self, out: Sink, err: Sink) -> None:
        self.code: int | None = None
        self._out, self._err = out, err
        self._line = b""
        self._left = 0

    def __call__(self, data: bytes) -> None:
        if self.code is None:
            self._line, ended, data = (self._line + data).partition(b"\n")
            if not ended:
                return
            self.code, self._left = map(int, self._line.split())
        output, errors = data[: self._left], data[self._left :]
        self._left -= len(output)
        if output:
            self._out(output)
        if errors:
            self._err(errors)
