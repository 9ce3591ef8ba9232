"""Touches folders and files that may be anything: what a member of a package is, and files written whole or not."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, NoReturn, Protocol

from bot import durable
from plans.errors import Refusal
from plans.findings import Finding

CHUNK = 1 << 18
BESIDE = ".quarterdeck-"
"""How the names begin of files that are not yet what they will be."""


class Entry(NamedTuple):
    """A member as the archive has it: its name as written (what is not UTF-8 as surrogates), kind and bytes.

    `chunks` is to be read to its end before the next entry is asked for. `special`: setuid, setgid or sticky.
    """

    name: str
    kind: Literal["file", "folder", "link", "device"]
    executable: bool
    special: bool
    chunks: Iterator[bytes]


def suffix(file: BinaryIO) -> str:
    """`.zip` or `.tar.gz`, from the first bytes whatever the name is; the file is rewound. Raises Refusal."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return ".tar.gz"
    if start.startswith(b"PK"):
        return ".zip"
    unreadable("this is neither a zip nor a tar.gz")


class Unsafe(Exception):
    """A reason to read no further, as a finding."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class Readable(Protocol):
    """What can be read in pieces: a file, or an answer from the network."""

    def read(self, size: int, /) -> bytes: ...


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


@contextmanager
def regular(path: Path) -> Iterator[BinaryIO]:
    """The regular file at `path`, open for reading; anything else (a pipe, say) is refused before it can block."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        unreadable("it is not a regular file")
    with os.fdopen(handle, "rb") as file:
        yield file


@contextmanager
def beside(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in that folder, for its owner alone, and its path; gone afterwards unless it was settled."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=BESIDE)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Removes what killed processes began there; for the only one who writes into that folder."""
    for left in folder.glob(f"{BESIDE}*"):
        left.unlink()


def settle(file: BinaryIO, new: Path, path: Path, *, mode: int) -> None:
    """Gives the file at `new` its name, whole and on disk, in place of what had that name."""
    file.flush()
    os.fchmod(file.fileno(), mode)
    os.fsync(file.fileno())
    os.replace(new, path)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy(source: Readable, target: BinaryIO, *, most: int) -> None:
    """Raises Refusal: `too_large` where the source has more than `most` bytes, `not_written`."""
    length = 0
    while chunk := source.read(CHUNK):
        length += len(chunk)
        if length > most:
            raise Refusal(
                "too_large", f"The package has more than {most:,} bytes.", "Ask an admin: packages.max_bytes."
            )
        _write(target, chunk)


def _write(target: BinaryIO, chunk: bytes) -> None:
    """What goes wrong with the copy must not be taken for a fault of the source."""
    try:
        target.write(chunk)
        target.flush()
    except OSError as error:
        raise durable.refused(error) from None


def digest(file: BinaryIO) -> str:
    """The hex SHA-256 of the file's bytes, from the first on; the file is rewound."""
    hashed = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        hashed.update(chunk)
    file.seek(0)
    return hashed.hexdigest()


def digest_of(path: Path) -> str | None:
    """The digest of the archive at `path`; a folder has none."""
    if path.is_dir():
        return None
    with regular(path) as file:
        return digest(file)


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
