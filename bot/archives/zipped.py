"""Reads a zip, strictly: its directory and its members say the same, and nothing stands between them."""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from bot.archives.files import CHUNK, Entry, Unsafe, kind_of, unreadable
from plans.members import MOST_MEMBERS, TOO_MANY

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_BIG = 0xFFFFFFFF
_DESCRIPTOR_FOLLOWS, _UTF8 = 0x0008, 0x0800
_KNOWN_FLAGS = 0x0006 | _DESCRIPTOR_FOLLOWS | _UTF8
_STORED, _DEFLATED = 0, 8


class _Record(NamedTuple):
    """A member as the directory has it."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int


def entries(file: BinaryIO) -> Iterator[Entry]:
    """The members in order. Raises Refusal `unreadable` (cut off, encrypted, with two views of itself), and Unsafe."""
    return _Zip(file).entries()


class _Zip:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data_end = 0

    def entries(self) -> Iterator[Entry]:
        start, count, end = self._directory()
        at = start
        for _ in range(count):
            record, at = self._record(at)
            if record.offset != self._data_end:
                unreadable("its members overlap, or something stands between them")
            body = self._body(record, self._local(record))
            mode = record.attributes >> 16
            kind = kind_of(mode) if mode >> 12 else "folder" if record.name.endswith(b"/") else "file"
            if kind == "folder" and record.size:
                unreadable("a folder in it has bytes")
            charset = "utf-8" if record.flags & _UTF8 else "ascii"
            name = record.name.decode(charset, "surrogateescape")
            yield Entry(name, kind, bool(mode & 0o100), bool(mode & 0o7000), body)
        if at != end or self._data_end != start:
            unreadable("its directory does not list what is in it")

    def _directory(self) -> tuple[int, int, int]:
        """Where the directory starts, how many members it has, where it ends."""
        size = self._file.seek(0, os.SEEK_END)
        tail_at = max(0, size - _END.size - 0xFFFF)
        tail = self._read(tail_at, size - tail_at)
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < _END.size:
            unreadable("it is cut off")
        _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, found)
        end = tail_at + found
        if disk or first_disk or here != count or found + _END.size + comment != len(tail):
            unreadable("its end is damaged")
        if count > MOST_MEMBERS:
            raise Unsafe(TOO_MANY)
        if _BIG in (length, start) or tail[max(0, found - 20) : found].startswith(b"PK\6\7"):
            unreadable("it is a zip of the kind for more than 4 GB; pack it as a tar.gz")
        if start + length != end:
            unreadable("its directory is not where its end says")
        return start, count, end

    def _record(self, at: int) -> tuple[_Record, int]:
        fields = _CENTRAL.unpack(self._read(at, _CENTRAL.size))
        signature, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, disk, _, attributes, offset = (
            fields
        )
        if signature != b"PK\1\2" or disk:
            unreadable("its directory is damaged")
        if flags & 1:
            unreadable("it is encrypted")
        if flags & ~_KNOWN_FLAGS or method not in (_STORED, _DEFLATED) or _BIG in (packed, size, offset):
            unreadable("it is packed in a way that not every tool reads")
        rest = self._read(at + _CENTRAL.size, name + extra)
        _check_extra(rest[name:], rest[:name])
        record = _Record(rest[:name], flags, method, crc, packed, size, attributes, offset)
        return record, at + _CENTRAL.size + name + extra + comment

    def _local(self, record: _Record) -> int:
        """Where the member's bytes start, once its own header says what the directory says."""
        fields = _LOCAL.unpack(self._read(record.offset, _LOCAL.size))
        signature, _, flags, method, _, _, crc, packed, size, name, extra = fields
        rest = self._read(record.offset + _LOCAL.size, name + extra)
        same = (crc, packed, size) == (record.crc, record.packed, record.size)
        later = flags & _DESCRIPTOR_FOLLOWS and (crc, packed, size) == (0, 0, 0)
        head = (signature, flags, method, rest[:name])
        if head != (b"PK\3\4", record.flags, record.method, record.name) or not (same or later):
            unreadable("a member's own header and the directory differ")
        _check_extra(rest[name:], record.name)
        begin: int = record.offset + _LOCAL.size + name + extra
        self._data_end = begin + record.packed + self._descriptor(record, begin + record.packed)
        return begin

    def _descriptor(self, record: _Record, at: int) -> int:
        """The length of what stands behind a member's bytes when its header was written before they were known."""
        if not record.flags & _DESCRIPTOR_FOLLOWS:
            return 0
        wanted = struct.pack("<3L", record.crc, record.packed, record.size)
        for signature in (b"PK\7\x08", b""):
            if self._read(at, len(signature) + 12) == signature + wanted:
                return len(signature) + 12
        unreadable("a member's own sizes and the directory's differ")

    def _body(self, record: _Record, at: int) -> Iterator[bytes]:
        left, crc = record.size, 0
        for chunk in self._inflated(record, at):
            left, crc = left - len(chunk), zlib.crc32(chunk, crc)
            if left < 0:
                break
            yield chunk
        if left or crc != record.crc:
            unreadable("a member is not what its checksum says")

    def _inflated(self, record: _Record, at: int) -> Iterator[bytes]:
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        end = at + record.packed
        while at < end:
            packed = self._read(at, min(CHUNK, end - at))
            at += len(packed)
            if record.method == _STORED:
                yield packed
                continue
            while packed:
                try:
                    chunk = engine.decompress(packed, CHUNK)
                except zlib.error:
                    unreadable("a member is damaged")
                packed = engine.unconsumed_tail
                if engine.unused_data or not (chunk or packed or at < end or engine.eof):
                    unreadable("a member is damaged")
                yield chunk
        if record.method == _DEFLATED and not engine.eof:
            unreadable("a member is cut off")

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        data = self._file.read(size)
        if len(data) != size:
            unreadable("it is cut off")
        return data


def _check_extra(extra: bytes, name: bytes) -> None:
    """An extra field may give a member another name, which some tools prefer (Info-ZIP, 0x7075)."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == 0x7075 and extra[9 : 4 + size] != name:
            unreadable("a member has two names")
        extra = extra[4 + size :]
