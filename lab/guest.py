"""Touches what runs inside a VM as VMware Tools do: starts programs, knows how they ended, ends them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab import processes
from lab.machines import Machine

REMEMBERED = timedelta(minutes=5)
"""How long the end of a program is known."""

PATIENCE = 5.0
"""Seconds between the request to end (SIGTERM) and the end (SIGKILL)."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Program:
    """A process of the guest; `exit` and `ended` are there for those that were started through Tools and have ended."""

    pid: int
    name: str
    command: str
    started: datetime
    ended: datetime | None = None
    exit: int | None = None


class Tools:
    """The VMware Tools of one VM; they know what they started until the VM boots anew."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._boot_id = machine.boot_id
        self._started: dict[int, Program] = {}
        self._waiting: set[asyncio.Task[None]] = set()

    async def start(
        self, path: str, arguments: str, folder: str | None = None, variables: Mapping[str, str] | None = None
    ) -> int:
        """Starts a program by its full path; its process id.

        As in every Linux guest a shell runs the line `"path" arguments`, so that redirections work and quotes are
        needed; there is no input and no terminal. `variables`, where given, are its whole environment. Raises
        FileNotFoundError, PermissionError, NotADirectoryError.
        """
        if not os.path.isabs(path) or not os.path.isfile(path):
            raise FileNotFoundError(path)
        if not os.access(path, os.X_OK):
            raise PermissionError(path)
        if folder and not os.path.isdir(folder):
            raise NotADirectoryError(folder)
        self._forget()
        line = f'"{path}" {arguments}'
        process = await self.machine.spawn(
            [shutil.which("bash", path="/bin") or "/bin/sh", "-c", line],
            cwd=Path(folder) if folder else None,
            env=variables,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        program = self._started[process.pid] = Program(process.pid, os.path.basename(path), line, datetime.now(UTC))
        task = asyncio.create_task(_note_end(process, program))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return process.pid

    def programs(self, pids: Sequence[int] = ()) -> list[Program]:
        """The VM's processes, and the programs whose end is still known; those of `pids` where some are given."""
        self._forget()
        running = {pid: found for pid in self.machine.processes() if (found := _looked_up(pid))}
        every = {**running, **self._started}
        return [every[pid] for pid in pids or sorted(every) if pid in every]

    async def terminate(self, pid: int) -> None:
        """Ends one process, not those that it started: asks first. Raises ProcessLookupError where it does not run."""
        if pid not in self.machine.processes() and not (pid in self._started and not self._started[pid].ended):
            raise ProcessLookupError(pid)
        for number, seconds in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 3 * PATIENCE)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                if not processes.alive(pid):
                    return

    def close(self) -> None:
        """Waits for no program any more."""
        for task in self._waiting:
            task.cancel()

    def _forget(self) -> None:
        if self._boot_id != self.machine.boot_id:
            self._boot_id = self.machine.boot_id
            self._started.clear()
        now = datetime.now(UTC)
        for pid, program in list(self._started.items()):
            if program.ended and now - program.ended > REMEMBERED:
                del self._started[pid]


async def _note_end(process: Process, program: Program) -> None:
    code = await process.wait()
    program.exit = code if code >= 0 else -1  # a signal's number is not told
    program.ended = datetime.now(UTC)


def _looked_up(pid: int) -> Program | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    except OSError:  # it has ended meanwhile
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    started = booted + int(rest.split()[19]) / _TICKS
    return Program(pid, name, " ".join(words).strip(), datetime.fromtimestamp(started, UTC))
