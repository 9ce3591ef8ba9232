"""Touches the ledger's file: append-only, hash-chained, on disk before anybody is told."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from bot import durable
from plans.errors import Refusal
from plans.events import AnyEvent, Entry

GENESIS = "0" * 64
_MISSING = (
    "it is missing: there were {} when board.json was written (delete that where the ledger is meant to end here)"
)
SECTOR = 512
"""Bytes that reach a disk together or not at all."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_SORTED = msgspec.json.Encoder(order="sorted")
"""Five times as fast, and the same but for some floats (1e16 for 1e+16)."""
_KEYS = {"seq", "at", "type", "by", "data", "prev", "hash"}
_HASH_BYTES = len(f',"hash":"{GENESIS}"\n')
"""What a line has besides what its hash is of: readers differ in which they believe of a key that stands twice."""


class Damaged(Refusal):
    """A line of the ledger that is not what was written; `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(
            "ledger_damaged",
            f"ledger.jsonl, line {line}: {why}.",
            "Nothing was changed. Bring the file back from its backup before the bot is started again.",
        )
        self.line = line


def digest(record: dict[str, Any]) -> str:
    """SHA-256 in hex of a record without its `hash`, as CONTRACT.md section 7 writes it."""
    return hashlib.sha256(_hashed(record)).hexdigest()


def _hashed(record: dict[str, Any]) -> bytes:
    bare = {key: value for key, value in record.items() if key != "hash"}
    return _CANONICAL.encode(bare).encode()


def digest_up_to(path: Path, offset: int) -> str:
    """SHA-256 in hex of a file's first `offset` bytes, or of all where it is shorter."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while offset > 0 and (chunk := file.read(min(offset, 1 << 20))):
            whole.update(chunk)
            offset -= len(chunk)
    return whole.hexdigest()


def stamp(now: datetime) -> str:
    """UTC, ISO 8601, milliseconds: `2026-11-23T21:04:05.678Z`."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Tail(msgspec.Struct, frozen=True):
    """Where a reader of the ledger has got to: the last record's number and hash, and the byte after its line."""

    seq: int = 0
    hash: str = GENESIS
    offset: int = 0


def read(path: Path, tail: Tail | None = None) -> Iterator[tuple[dict[str, Any], int]]:
    """Each whole line after `tail` as a record, verified against the chain, with the offset after it.

    A torn last line is not a record (nobody was told of it) and is left out. Raises Damaged.
    """
    tail = tail or Tail()
    seq, prev, offset = tail.seq, tail.hash, tail.offset
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                _refuse_spoiled_end(line, seq + 1)
                return
            if b"\0" in line and _holed(line, offset) and not file.read(1):
                return
            record = _record(line, seq + 1, prev)
            seq, prev, offset = seq + 1, record["hash"], offset + len(line)
            yield record, offset


def _holed(line: bytes, offset: int) -> bool:
    """Whether whole sectors of a line never reached the disk, though its end did: they read as zeros."""
    holes = [(found.start(), offset + found.start(), offset + found.end()) for found in re.finditer(rb"\0+", line)]
    return all((not at or start % SECTOR == 0) and end % SECTOR == 0 for at, start, end in holes)


def _refuse_spoiled_end(line: bytes, seq: int) -> None:
    """A last line without its end is torn, unless something else stands where the end of a whole one was."""
    text = line.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return
    if text[end:].strip("\0"):
        raise Damaged(seq, "it does not end as it was written")


def _record(line: bytes, seq: int, prev: str) -> dict[str, Any]:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Damaged(seq, "not JSON") from None
    if not isinstance(record, dict) or set(record) != _KEYS:
        raise Damaged(seq, "not a record")
    if not line.endswith(b"}\n"):
        raise Damaged(seq, "it does not end as it was written")
    if record["seq"] != seq:
        raise Damaged(seq, f"seq is {record['seq']}, {seq} was to follow")
    if record["prev"] != prev:
        raise Damaged(seq, "it does not follow from the line before (prev)")
    said = record.pop("hash")
    hashed = _SORTED.encode(record)
    if said != hashlib.sha256(hashed).hexdigest():
        hashed = _hashed(record)
        if said != hashlib.sha256(hashed).hexdigest():
            raise Damaged(seq, "its content does not match its hash")
    record["hash"] = said
    if len(line) != len(hashed) + _HASH_BYTES:
        raise Damaged(seq, "it says something twice, or otherwise than it was written")
    return record


def entry(record: dict[str, Any]) -> Entry:
    """A record as an event. Raises Damaged for data that no version of Quarterdeck wrote."""
    try:
        return msgspec.convert(
            {
                "seq": record["seq"],
                "at": record["at"],
                "by": record["by"],
                "prev": record["prev"],
                "hash": record["hash"],
                "event": {**record["data"], "type": record["type"]},
            },
            Entry,
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise Damaged(record["seq"], f"{record['type']}: {error}") from None


def chained(tail: Tail, by: str, event: AnyEvent, now: datetime) -> tuple[dict[str, Any], bytes]:
    """The record that follows the one at `tail`, and its line. Half a character becomes a question mark."""
    text = json.dumps(msgspec.to_builtins(event), ensure_ascii=False, allow_nan=False)
    data = json.loads(text.encode(errors="replace"))
    kind = data.pop("type")
    record = {"seq": tail.seq + 1, "at": stamp(now), "type": kind, "by": by, "data": data, "prev": tail.hash}
    record["hash"] = digest(record)
    return record, json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Ledger:
    """The one writer of a data directory. Not safe for threads by itself: the board's lock is its lock."""

    def __init__(self, data_dir: Path, tail: Tail, file: int) -> None:
        self.path = data_dir / "ledger.jsonl"
        self.tail = tail
        self.cut = 0
        self._file = file
        self._read = False

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        """Opens or begins the ledger of `data_dir`. Nothing is written before `entries` has been read to its end."""
        durable.folder(data_dir)
        file = os.open(data_dir / "ledger.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        durable.names(data_dir)
        return cls(data_dir, Tail(), file)

    @property
    def name(self) -> str:
        """A short name that no other ledger has: from the hash of the first line, which must be there."""
        with self.path.open("rb") as file:
            first: str = msgspec.json.decode(file.readline())["hash"]
        return first[:12]

    def entries(self, tail: Tail, least: int = 0) -> Iterator[Entry]:
        """Every record after `tail`, verified; afterwards `self.tail` is where appending goes on.

        A power cut in the middle of an append leaves a torn last line. Nobody was told of it, so it goes, when all
        before it is in order; `cut` tells how many bytes that were. Raises Damaged, also where `tail` is of another
        ledger, and where more than the last of the `least` records that are known to have been there is missing.
        """
        if tail.seq and not self._has(tail):
            raise Damaged(tail.seq, "not the record that was read there before")
        self.tail, self._read = tail, False
        for record, offset in read(self.path, tail):
            self.tail = Tail(record["seq"], record["hash"], offset)
            yield entry(record)
        if self.tail.seq + 1 < least:
            raise Damaged(self.tail.seq + 1, _MISSING.format(least))
        self.cut = self._trim()
        os.fsync(self._file)  # a process that was killed may have written what it had no time to put on disk
        self._read = True

    def append(self, by: str, event: AnyEvent, now: datetime) -> Entry:
        """Writes one record and returns when it is on disk, with the event as it stands there.

        Half a character, which no UTF-8 can hold, is written as a question mark. On a failed write the file is as it
        was: OSError.
        """
        if not self._read:
            raise RuntimeError("a ledger is read to its end before it is written to")
        self._trim()
        record, line = chained(self.tail, by, event, now)
        try:
            _write(self._file, line)
            os.fdatasync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                self._trim()
            raise
        self.tail = Tail(record["seq"], record["hash"], self.tail.offset + len(line))
        return entry(record)

    def close(self) -> None:
        os.close(self._file)

    def _trim(self) -> int:
        """Cuts off what is behind the last record, which nobody was told of; the number of bytes that were there."""
        beyond = os.fstat(self._file).st_size - self.tail.offset
        if beyond > 0:
            os.ftruncate(self._file, self.tail.offset)
            os.fsync(self._file)
        return beyond

    def _has(self, tail: Tail) -> bool:
        """Whether the line that ends where `tail` says is the record that it says."""
        if tail.offset > os.fstat(self._file).st_size:
            return False
        start, line = tail.offset, b""
        while start > 0 and b"\n" not in line[:-1]:
            size = min(start, 65536)
            start -= size
            line = os.pread(self._file, size, start) + line
        last = line[line[:-1].rfind(b"\n") + 1 :]
        try:
            record = msgspec.json.decode(last)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        known = isinstance(record, dict) and (record.get("seq"), record.get("hash")) == (tail.seq, tail.hash)
        return known and last.endswith(b"\n")


class Held(Refusal):
    """Another bot holds the data directory."""


def hold(data_dir: Path) -> int:
    """Takes the data directory for this process, until it ends. Raises Held with who has it."""
    durable.folder(data_dir)
    guard = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)  # for a moment: nobody reads who holds it before that is written
        return _hold(data_dir)
    finally:
        os.close(guard)


def _hold(data_dir: Path) -> int:
    file = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(file, 400, 0).decode(errors="replace").strip() or "unknown"
        os.close(file)
        raise Held(
            "data_dir_held",
            f"{data_dir} is held by another Quarterdeck, process {holder}.",
            "Stop that one first, or give this one a data_dir of its own.",
        ) from None
    with contextlib.suppress(OSError):  # a full disk takes no name, but the lock holds
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()} on {socket.gethostname()} since {stamp(datetime.now(UTC))}".encode(), 0)
    return file


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
