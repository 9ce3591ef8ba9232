"""Reads a tar.gz as a stream, strictly: where two tools could see different members in it, it is refused."""

import gzip
import re
import stat
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal

from bot.archives.files import CHUNK, Entry, unreadable

BLOCK = 512
LONGEST_NOTE = 1 << 16
"""The most that a header of headers (a long name, a pax header) may hold, in bytes."""
LONGEST_END = 1 << 20

_KINDS: dict[bytes, Literal["file", "folder", "link", "device"]] = {
    b"0": "file",
    b"\0": "file",
    b"1": "link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "folder",
    b"6": "device",
}


def entries(file: BinaryIO) -> Iterator[Entry]:
    """The members in order. Raises Refusal `unreadable`: cut off, damaged, or with something behind its end."""
    return _Tar(gzip.GzipFile(fileobj=file)).entries()


class _Tar:
    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream

    def entries(self) -> Iterator[Entry]:
        notes: dict[str, bytes] = {}
        while any(header := self._exactly(BLOCK)):
            _check(header)
            kind, size = header[156:157], _number(header[124:136])
            if kind in b"xgLK":
                notes |= self._note(kind, size)
                continue
            name = notes.get("path") or _name(header)
            size = _decimal(notes["size"]) if "size" in notes else size
            yield self._entry(name, kind, size, _number(header[100:108]))
            notes = {}
        if notes:
            unreadable("it ends with a long name that belongs to nothing")
        self._end()

    def _entry(self, name: bytes, kind: bytes, size: int, mode: int) -> Entry:
        if kind not in _KINDS:
            unreadable(f"it has a member of the unusual kind {kind!r}")
        if size and _KINDS[kind] != "file":
            unreadable("a member that is no file has bytes")
        special = bool(mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)) and _KINDS[kind] == "file"
        shown = name.decode("utf-8", "surrogateescape")
        return Entry(shown, _KINDS[kind], bool(mode & 0o100), special, self._body(size))

    def _body(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self._read(min(left, CHUNK))
            left -= len(chunk)
            yield chunk
        self._exactly(-size % BLOCK)

    def _note(self, kind: bytes, size: int) -> dict[str, bytes]:
        """What a header says that stands before the one that it belongs to."""
        if size > LONGEST_NOTE:
            unreadable("a header in it is longer than any name")
        data = self._exactly(size + -size % BLOCK)[:size]
        if kind == b"L":
            return {"path": data.rstrip(b"\0")}
        if kind == b"K":
            return {}
        records = _records(data)
        if kind == b"g" and records.keys() - {"comment"}:
            unreadable("it has a header for all members at once, which tools read differently")
        if any(key.startswith(("GNU.sparse", "hdrcharset")) for key in records):
            unreadable("it has a sparse file or names in a character set of its own")
        return {key: records[key] for key in ("path", "size") if key in records}

    def _end(self) -> None:
        left = LONGEST_END
        while chunk := self._some(CHUNK):
            left -= len(chunk)
            if any(chunk) or left < 0:
                unreadable("something stands behind its end")

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(self._read(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        """Between one byte and `size` bytes."""
        return self._some(size) or unreadable("it is cut off")

    def _some(self, size: int) -> bytes:
        try:
            return self._stream.read1(size)[:size]
        except (EOFError, zlib.error, gzip.BadGzipFile):
            unreadable("it is cut off or damaged")


def _check(header: bytes) -> None:
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != _number(header[148:156]):
        unreadable("a header in it is damaged")


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or big-endian with the first bit set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if found := re.fullmatch(rb" *([0-7]*)[ \0]*", field):
        return int(found[1] or b"0", 8)
    unreadable("a header in it is damaged")


def _decimal(text: bytes) -> int:
    if re.fullmatch(rb"[0-9]{1,18}", text):
        return int(text)
    unreadable("a header in it is damaged")


def _name(header: bytes) -> bytes:
    """The name of a header without notes: of POSIX's with its prefix, of GNU's and older ones without."""
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _records(data: bytes) -> dict[str, bytes]:
    """The records of a pax header: `<length> <key>=<value>` and a line end, the length that of the whole record."""
    records = {}
    while data:
        head = re.match(rb"([1-9][0-9]{0,5}) ([^=\n]+)=", data)
        end = int(head[1]) if head else 0
        if not head or end <= head.end() - 1 or data[end - 1 : end] != b"\n":
            unreadable("a header in it is damaged")
        records[head[2].decode("utf-8", "replace")] = data[head.end() : end - 1]
        data = data[end:]
    return records
