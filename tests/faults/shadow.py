"""Knows what a power cut would leave of a folder: what was not fsynced may be there, in part, or not at all."""

import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECTOR = 512


class Killed(BaseException):
    """The process ends here, as `kill -9` ends it: nothing of it runs any further."""


class Shadow:
    """A folder whose fsyncs are noted while `watched`. POSIX promises no more than this: a file's bytes are on disk
    when the file was fsynced, its name when its folder was.

    `moment` is called before each fsync and rename, when the most is at stake; it may raise Killed.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: dict[int, int] = {}
        self._busy = False
        self.moment: Callable[[], None] = lambda: None
        self._folder_synced(top)

    @contextmanager
    def watched(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Whatever this process does through `os` is noted, until the end."""
        with patch.context() as patched:
            for name in ("fsync", "fdatasync"):
                patched.setattr(os, name, self._syncing(getattr(os, name)))
            patched.setattr(os, "replace", self._renaming(os.replace))
            yield
        for file in self._held.values():
            os.close(file)

    def after(self, chance: random.Random | None, into: Path) -> None:
        """What may be there after a power cut now: by chance, or the worst of all."""
        self._folder(self._top.stat().st_ino, self._top, chance, into)

    def _syncing(self, really: Callable[[int], None]) -> Callable[[int], None]:
        def sync(file: int) -> None:
            self._happens()
            really(file)
            if not self._busy:
                self._synced(file)

        return sync

    def _renaming(self, really: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def replace(source: Path, target: Path) -> None:
            self._happens()
            really(source, target)

        return replace

    def _happens(self) -> None:
        """What looks at the moment fsyncs too, which is none of the watched."""
        if not self._busy:
            self._busy = True
            try:
                self.moment()
            finally:
                self._busy = False

    def _synced(self, file: int) -> None:
        path, status = Path(f"/proc/self/fd/{file}"), os.fstat(file)
        if stat.S_ISDIR(status.st_mode):
            return self._folder_synced(path)
        self._hold(status.st_ino, path)
        self._bytes[status.st_ino] = path.read_bytes()

    def _folder_synced(self, folder: Path) -> None:
        inode = folder.stat().st_ino
        self._hold(inode, folder)
        self._names[inode] = {entry.name: entry.inode() for entry in os.scandir(folder)}
        for name, each in self._names[inode].items():
            self._hold(each, folder / name)

    def _hold(self, inode: int, path: Path) -> None:
        """What is on disk stays open, so that its number is not given to another file."""
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_RDONLY)

    def _folder(self, inode: int, live: Path | None, chance: random.Random | None, into: Path) -> None:
        into.mkdir()
        on_disk = self._names.get(inode, {})
        now = {entry.name: entry.inode() for entry in os.scandir(live)} if live else {}
        for name in {**on_disk, **now}:
            new = now.get(name) == on_disk.get(name) or (chance is not None and chance.random() < 0.5)
            found = (now if new else on_disk).get(name)
            if found is not None:
                self._entry(found, live / name if live and now.get(name) == found else None, chance, into / name)

    def _entry(self, inode: int, live: Path | None, chance: random.Random | None, into: Path) -> None:
        if inode in self._names or (live and live.is_dir()):
            return self._folder(inode, live, chance, into)
        old = self._bytes.get(inode, b"")
        into.write_bytes(_mixed(old, live.read_bytes() if live else old, chance))


def _mixed(old: bytes, new: bytes, chance: random.Random | None) -> bytes:
    """Of what was not fsynced each sector arrived or did not; what a file never had reads as zeros."""
    if chance is None or old == new:
        return old
    shorter, longer = sorted((len(old), len(new)))
    size = chance.choice((len(old), len(new), chance.randint(shorter, longer)))
    mixed = bytearray()
    for start in range(0, size, SECTOR):
        source = new if chance.random() < 0.5 else old
        mixed += source[start : start + SECTOR].ljust(SECTOR, b"\0")
    return bytes(mixed[:size])
