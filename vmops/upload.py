"""Touches files on a machine: each arrives under another name, its digest is checked, and only then it is renamed."""

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from vmops.jobs import PATIENCE, Patience, ask
from vmops.transport import Limit, Lost, Transport, Trouble, Unreachable

T = TypeVar("T")

BESIDE = ".quarterdeck-"
"""What the name of a file that is still on its way has before its last eight characters."""


def upload(transport: Transport, archive: Path, digest: str, to: str, limit: Limit) -> bool:
    """Makes `to` the file with this SHA-256 (hex), unless it is already; whether anything had to be sent.

    The machine itself reads back what it wrote and tells its digest. That holds for all the way into its file system,
    a full disk and a cut included, and not for a power cut there: whoever unpacks an archive checks it again.

    Raises Trouble where the digest or the place is wrong, Unreachable, Refused, Lost, Cancelled, Overdue.
    """
    return _again(lambda: _upload(transport, archive, digest, to, limit), limit)


def download(transport: Transport, source: str, to: Path, limit: Limit) -> str:
    """Makes `to` the file that the machine has at `source`: its SHA-256 (hex), told there and the same here.

    Raises Trouble where it cannot be read or changes meanwhile, Unreachable, Refused, Lost, Cancelled, Overdue.
    """
    return _again(lambda: _download(transport, source, to, limit), limit)


def _again(what: Callable[[], T], limit: Limit) -> T:
    """Does it, and again where the connection breaks."""
    patience = Patience(PATIENCE)
    while True:
        try:
            return what()
        except (Lost, Unreachable) as trouble:
            patience.wait(trouble, limit)


def _upload(transport: Transport, archive: Path, digest: str, to: str, limit: Limit) -> bool:
    beside = f"{to}{BESIDE}{secrets.token_hex(4)}"
    if _do(transport, transport.language.place(to, digest), limit) == "same":
        return False
    transport.put(archive, beside, limit)
    if arrived := _do(transport, transport.language.take(beside, to, digest), limit):
        raise Trouble(f"{to}: what arrived has the SHA-256 {arrived} instead of {digest}; it was removed")
    return True


def _download(transport: Transport, source: str, to: Path, limit: Limit) -> str:
    beside, digest = to.with_name(f"{to.name}{BESIDE}{secrets.token_hex(4)}"), hashlib.sha256()
    try:
        with beside.open("xb") as file:

            def sink(data: bytes) -> None:
                file.write(data)
                digest.update(data)

            transport.get(source, sink, limit)
        said = _do(transport, transport.language.digest(source), limit)
        if said != digest.hexdigest():
            raise Trouble(
                f"{source}: it has the SHA-256 {said} there, and {digest.hexdigest()} here: it changed meanwhile"
            )
        os.replace(beside, to)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
    return said


def _do(transport: Transport, script: str, limit: Limit) -> str:
    code, said = ask(transport, script, limit)
    if code:
        raise Trouble(said or f"exit code {code}")
    return said
