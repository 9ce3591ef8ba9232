"""Reads what a package holds, every byte of it once, and stops where reading on would be unsafe."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from bot.archives import files, tarball, zipped
from bot.archives.files import Entry, Unsafe
from bot.archives.searching import Scan, searching
from bot.config import Packages
from plans.content import packed
from plans.errors import Refusal
from plans.findings import Finding, error, warning
from plans.lint import several
from plans.members import MOST_MEMBERS, TOO_MANY, Names, plain, shown
from plans.package import DOCUMENT, MANIFEST, Contents, Member

TEXT_BYTES = 1_000_001
"""How much of the manifest and of DEPLOY.md is kept: a byte more than a document may have."""
HEAD_BYTES = 512
"""How much of any other file is kept, to tell whether it is an archive."""
MOST_UNSAFE = 20
MOST_OF_A_CODE = 20
MODEST_BYTES = 50_000_000
MOST_RATIO = 200
"""An archive that grows beyond both, in bytes and in times its own size, is a bomb."""


def read(path: Path, *, max_bytes: int, rules: Packages) -> Contents:
    """What the package at `path` holds, every byte of it looked at once.

    Raises Refusal: `unreadable`, and what a search raises (`bot.archives.searching`).
    """
    try:
        if path.is_dir():
            return _Reading(files.folder(path), rules, most=max_bytes).contents()
        with files.regular(path) as file:
            return read_archive(file, max_bytes, rules)
    except FileNotFoundError:
        raise Refusal("unreadable", f"{path}: there is no such file or folder.") from None
    except OSError as problem:
        files.unreadable(f"{problem.strerror or problem}")


def read_archive(file: BinaryIO, max_bytes: int, rules: Packages) -> Contents:
    suffix, length, digest = files.suffix(file), os.fstat(file.fileno()).st_size, files.digest(file)
    if length > max_bytes:
        contents = Contents(members=(), unsafe=(_too_large(max_bytes),))
    else:
        read_members = zipped.entries if suffix == ".zip" else tarball.entries
        bomb = max(MODEST_BYTES, MOST_RATIO * length)
        contents = _Reading(read_members(file), rules, most=max_bytes, bomb=bomb).contents()
    return msgspec.structs.replace(contents, digest=digest, bytes=length, suffix=suffix)


class _Reading:
    """One pass over a package's members: names judged, bytes counted, hashed and scanned, two texts kept."""

    def __init__(self, entries: Iterator[Entry], rules: Packages, *, most: int, bomb: int | None = None) -> None:
        self._entries = entries
        self._forbidden = rules.forbidden()
        self._most = most
        self._bomb = bomb
        self._read = 0
        self._names = Names()
        self._unsafe: list[Finding] = []
        self._members: list[Member] = []
        self._findings: list[Finding] = []
        self._texts: dict[str, bytes] = {}
        self._seen: Counter[str] = Counter()
        self._packed: list[str] = []

    def contents(self) -> Contents:
        try:
            with searching(self._forbidden) as scan:
                self._go(scan)
        except Unsafe as reason:
            self._unsafe.append(reason.finding)
        if self._unsafe:
            return Contents(members=(), unsafe=tuple(self._unsafe))
        return Contents(
            members=tuple(self._members),
            manifest=self._texts.get(MANIFEST),
            document=self._texts.get(DOCUMENT),
            findings=(*self._findings, *self._unsearched()),
        )

    def _go(self, scan: Scan) -> None:
        for count, entry in enumerate(self._entries):
            if count == MOST_MEMBERS:
                raise Unsafe(TOO_MANY)
            if finding := self._names.admit(entry.name, folder=entry.kind == "folder") or _kind(entry):
                self._unsafe.append(finding)
                if len(self._unsafe) == MOST_UNSAFE:
                    return
            if entry.kind == "file":
                self._member(entry, scan)

    def _member(self, entry: Entry, scan: Scan) -> None:
        path, hashed, before, kept = plain(entry.name), hashlib.sha256(), self._read, bytearray()

        def chunks() -> Iterator[bytes]:
            for chunk in entry.chunks:
                self._count(len(chunk), path)
                hashed.update(chunk)
                kept.extend(chunk[: most - len(kept)])
                yield chunk

        most = TEXT_BYTES if path in (MANIFEST, DOCUMENT) else HEAD_BYTES
        for finding in scan(shown(path), chunks()):
            self._seen[finding.code] += 1
            if self._seen[finding.code] <= MOST_OF_A_CODE:
                self._findings.append(finding)
        self._members.append(Member(path, self._read - before, entry.executable, hashed.hexdigest()))
        if path in (MANIFEST, DOCUMENT):
            self._texts[path] = bytes(kept)
        elif packed(bytes(kept)):
            self._packed.append(shown(path))

    def _unsearched(self) -> Iterator[Finding]:
        """What is inside of archives in the package nobody looked for."""
        if self._packed:
            count = "One file is" if len(self._packed) == 1 else f"{len(self._packed)} files are"
            message = f"{count} packed or compressed: inside nobody looks for private keys and forbidden content."
            hint = f"Make sure yourself that none is in: {several(self._packed)}."
            yield warning("not_searched", self._packed[0], message, hint)

    def _count(self, length: int, path: str) -> None:
        self._read += length
        if self._read > self._most:
            raise Unsafe(_too_large(self._most, path))
        if self._bomb is not None and self._read > self._bomb:
            message = f"Unpacked it has more than {self._bomb:,} bytes, at least {MOST_RATIO} times its own size."
            raise Unsafe(error("bomb", shown(path), message, "Take out what packs so well: it fills the hosts' disks."))


def _too_large(most: int, path: str = "the archive") -> Finding:
    hint = "Take out what the hosts can fetch themselves, or ask an admin to raise packages.max_bytes."
    return error("too_large", shown(path), f"The package has more than {most:,} bytes, packed or unpacked.", hint)


def _kind(entry: Entry) -> Finding | None:
    name = shown(entry.name)
    if entry.kind == "link":
        return error("link", name, "This is a link: it could lead anywhere.", "Put the file itself there.")
    if entry.kind == "device":
        return error("device", name, "This is neither a file nor a folder.", "Take it out.")
    if entry.special:
        message = "This file would be run with somebody else's rights (setuid, setgid)."
        return error("special_bits", name, message, f"chmod 0755 {name}")
    return None
