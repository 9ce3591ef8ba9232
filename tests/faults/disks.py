"""Touches a disk that is full when a test says so: a small one that is mounted, or a limit on a process's files."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import pytest


class Disk(Protocol):
    """Where a data directory is. `room`: bytes that it still takes, about; None: as many as are wanted."""

    def leave(self, room: int | None) -> None: ...


class SmallDisk:
    """A file system of its own, filled up by a file beside the data directory."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def leave(self, room: int | None) -> None:
        self._ballast.unlink(missing_ok=True)
        if room is None:
            return
        disk = os.statvfs(self._ballast.parent)
        with suppress(OSError), self._ballast.open("wb") as ballast:  # somebody else was faster, and it is full
            ballast.write(bytes(max(0, disk.f_bavail * disk.f_frsize - room)))


class Quota:
    """No file of a process may grow longer than its ledger is, but for the room that is left."""

    def __init__(self, pid: int, ledger: Path) -> None:
        self._pid, self._ledger = pid, ledger

    def leave(self, room: int | None) -> None:
        most = resource.RLIM_INFINITY if room is None else self._ledger.stat().st_size + room
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[SmallDisk]:
    """Mounted on that folder for a while; where this may not be done, the test is skipped."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k,mode=700", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here: a limit on the size of files stands in for it")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
