"""Touches the files of a guest as vSphere's GuestFileManager does: within the VM's disk, by paths as its commands see
them."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pyVmomi import vim, vmodl

from lab.machines import Machine
from lab.vcenter.guest import enter, file_faults
from lab.vcenter.managed import Call, Managed

_Attributes = vim.vm.guest.FileManager.PosixFileAttributes
_PAGE = 50
_TYPES = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


class FileManager(Managed):
    """The files of a guest."""

    kind = vim.vm.guest.FileManager

    def ListFilesInGuest(
        self,
        call: Call,
        vm: Any,
        auth: Any,
        filePath: str,
        index: int | None,
        maxResults: int | None,
        matchPattern: str | None,
    ) -> Any:
        machine = enter(call, vm, auth)
        with _in_guest(machine, filePath) as path:
            if stat.S_ISDIR(path.lstat().st_mode):
                names = [".", "..", *sorted(os.listdir(path))]
                found = [(name, path / name) for name in names if not matchPattern or re.search(matchPattern, name)]
            else:
                found = [(filePath, path)]
            page = found[index or 0 :][: _PAGE if maxResults is None else maxResults]
            files = [_described(name, file) for name, file in page]
        remaining = max(0, len(found) - (index or 0) - len(page))
        return vim.vm.guest.FileManager.ListFileInfo(files=files, remaining=remaining)

    def MakeDirectoryInGuest(
        self, call: Call, vm: Any, auth: Any, directoryPath: str, createParentDirectories: bool
    ) -> None:
        with _in_guest(enter(call, vm, auth), directoryPath) as path:
            path.mkdir(parents=createParentDirectories)

    def MoveFileInGuest(
        self, call: Call, vm: Any, auth: Any, srcFilePath: str, dstFilePath: str, overwrite: bool
    ) -> None:
        machine = enter(call, vm, auth)
        with _in_guest(machine, srcFilePath) as source:
            _require_file(source)
        with _in_guest(machine, dstFilePath) as target:
            if target.is_dir():
                raise IsADirectoryError(target)
            if os.path.lexists(target) and not overwrite:
                raise FileExistsError(target)
            source.replace(target)

    def MoveDirectoryInGuest(
        self, call: Call, vm: Any, auth: Any, srcDirectoryPath: str, dstDirectoryPath: str
    ) -> None:
        machine = enter(call, vm, auth)
        with _in_guest(machine, srcDirectoryPath) as source:
            _require_directory(source)
        with _in_guest(machine, dstDirectoryPath) as target:
            if os.path.lexists(target):
                raise FileExistsError(target)
            source.rename(target)

    def DeleteFileInGuest(self, call: Call, vm: Any, auth: Any, filePath: str) -> None:
        with _in_guest(enter(call, vm, auth), filePath) as path:
            _require_file(path)
            path.unlink()

    def DeleteDirectoryInGuest(self, call: Call, vm: Any, auth: Any, directoryPath: str, recursive: bool) -> None:
        with _in_guest(enter(call, vm, auth), directoryPath) as path:
            _require_directory(path)
            (shutil.rmtree if recursive else Path.rmdir)(path)

    def CreateTemporaryFileInGuest(
        self, call: Call, vm: Any, auth: Any, prefix: str, suffix: str, directoryPath: str | None
    ) -> str:
        path = self._temporary(call, vm, auth, prefix, suffix, directoryPath)
        with file_faults(str(path)):
            path.touch(mode=0o600, exist_ok=False)
        return str(path)

    def CreateTemporaryDirectoryInGuest(
        self, call: Call, vm: Any, auth: Any, prefix: str, suffix: str, directoryPath: str | None
    ) -> str:
        path = self._temporary(call, vm, auth, prefix, suffix, directoryPath)
        with file_faults(str(path)):
            path.mkdir(mode=0o700)
        return str(path)

    def ChangeFileAttributesInGuest(
        self, call: Call, vm: Any, auth: Any, guestFilePath: str, fileAttributes: Any
    ) -> None:
        with _in_guest(enter(call, vm, auth), guestFilePath) as path:
            path.lstat()
            _give(path, fileAttributes)

    def InitiateFileTransferToGuest(
        self,
        call: Call,
        vm: Any,
        auth: Any,
        guestFilePath: str,
        fileAttributes: Any,
        fileSize: int,
        overwrite: bool,
    ) -> str:
        machine = enter(call, vm, auth)
        with _in_guest(machine, guestFilePath) as path:
            if path.is_dir() or path.is_symlink():
                raise IsADirectoryError(path)
            if path.exists() and not overwrite:
                raise FileExistsError(path)
            if not path.parent.is_dir():
                raise FileNotFoundError(path.parent)
        finish = partial(_give, path, fileAttributes)
        return self.state.transfers.offer(machine, path, fileSize, upload=True, finish=finish)

    def InitiateFileTransferFromGuest(self, call: Call, vm: Any, auth: Any, guestFilePath: str) -> Any:
        machine = enter(call, vm, auth)
        with _in_guest(machine, guestFilePath) as path:
            _require_file(path)
            if path.is_symlink():
                raise IsADirectoryError(path)
            size, attributes = path.stat().st_size, _attributes(path)
        url = self.state.transfers.offer(machine, path, size, upload=False)
        return vim.vm.guest.FileManager.FileTransferInformation(attributes=attributes, size=size, url=url)

    def _temporary(self, call: Call, vm: Any, auth: Any, prefix: str, suffix: str, folder: str | None) -> Path:
        machine = enter(call, vm, auth)
        own = machine.disk / "tmp"  # a VM of the lab has nothing outside its disk
        if not folder:
            own.mkdir(exist_ok=True)
        with _in_guest(machine, folder or str(own)) as path:
            _require_directory(path)
        return path / f"{prefix}{secrets.token_hex(6)}{suffix}"


@contextmanager
def _in_guest(machine: Machine, path: str) -> Iterator[Path]:
    """The local path of one in the guest, which is the same: a command on the VM sees its disk where it lies.

    Raises what vSphere does of a path that is not whole, is not on the VM's disk, or that the block fails on.
    """
    if not os.path.isabs(path):
        raise vmodl.fault.InvalidArgument(msg=f"{path} is no complete path", invalidProperty="filePath")
    plain = Path(os.path.normpath(path))
    with file_faults(path):
        if not Path(os.path.realpath(plain.parent)).is_relative_to(machine.disk) and plain != machine.disk:
            raise PermissionError(path)
        try:
            yield plain
        except OSError as problem:
            if problem.errno == errno.ENOTEMPTY:
                raise vim.fault.DirectoryNotEmpty(msg=f"{path} is not empty.", file=path) from None
            if problem.errno == errno.ENOSPC:
                raise vim.fault.NoDiskSpace(msg=f"No room for {path}.", file=path, datastore="") from None
            raise


def _require_file(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        raise IsADirectoryError(path)


def _require_directory(path: Path) -> None:
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(path)


def _described(name: str, path: Path) -> Any:
    status = path.lstat()
    kind = _TYPES.get(stat.S_IFMT(status.st_mode), "file")
    return vim.vm.guest.FileManager.FileInfo(path=name, type=kind, size=status.st_size, attributes=_attributes(path))


def _attributes(path: Path) -> Any:
    status = path.lstat()
    return _Attributes(
        ownerId=status.st_uid,
        groupId=status.st_gid,
        permissions=stat.S_IMODE(status.st_mode),
        modificationTime=datetime.fromtimestamp(status.st_mtime, UTC),
        accessTime=datetime.fromtimestamp(status.st_atime, UTC),
        symlinkTarget=os.readlink(path) if path.is_symlink() else "",
    )


def _give(path: Path, attributes: Any) -> None:
    """Gives a file what is set of these attributes; a file of its own has no other owner here."""
    if getattr(attributes, "permissions", None) is not None:
        path.chmod(attributes.permissions & 0o7777)
    status = path.lstat()
    accessed, modified = attributes.accessTime, attributes.modificationTime
    if accessed or modified:
        times = (
            accessed.timestamp() if accessed else status.st_atime,
            modified.timestamp() if modified else status.st_mtime,
        )
        os.utime(path, times)
