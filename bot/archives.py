"""Reads what a folder, a zip or a tar.gz holds, member by member, in bounded memory and without unpacking anything."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, NoReturn

from plans.errors import Refusal

CHUNK = 1 << 18


class Entry(NamedTuple):
    """A member as the archive has it: its name as written (what is not UTF-8 as surrogates), kind and bytes.

    `chunks` is to be read to its end before the next entry is asked for. `special`: setuid, setgid or sticky.
    """

    name: str
    kind: Literal["file", "folder", "link", "device"]
    executable: bool
    special: bool
    chunks: Iterator[bytes]


def entries(file: BinaryIO, suffix: str) -> Iterator[Entry]:
    """The members of an archive with that suffix, in order. Raises Refusal `unreadable`."""
    from bot import tarball, zipped

    return zipped.entries(file) if suffix == ".zip" else tarball.entries(file)


def suffix(file: BinaryIO) -> str:
    """`.zip` or `.tar.gz`, from the first bytes whatever the name is; the file is rewound. Raises Refusal."""
    start = file.read(4)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return ".tar.gz"
    if start.startswith(b"PK"):
        return ".zip"
    unreadable("this is neither a zip nor a tar.gz")


def folder(top: Path) -> Iterator[Entry]:
    """The members of a folder, sorted, so that the same folder always reads the same."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        status = os.lstat(top / path)
        kind = kind_of(status.st_mode)
        if path:
            body = _bytes(top / path) if kind == "file" else iter(())
            yield Entry(path, kind, bool(status.st_mode & 0o100), False, body)
        if stat.S_ISDIR(status.st_mode):
            names = sorted(os.listdir(top / path), reverse=True)
            waiting += [f"{path}/{name}" if path else name for name in names]


def unreadable(why: str) -> NoReturn:
    hint = "Pack the folder anew: quarterdeck pack FOLDER -o FILE"
    raise Refusal("unreadable", f"The package cannot be read: {why}.", hint)


def kind_of(mode: int) -> Literal["file", "folder", "link", "device"]:
    """The kind that the upper bits of a Unix mode say."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "device"


def _bytes(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
