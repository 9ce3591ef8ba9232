"""Makes packages, good and bad, for the tests of all that reads them."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

from bot.packages import inspect
from plans.errors import Refusal

MANIFEST = b"""\
app: webshop
version: 2.4.1
summary: Order history
changes:
  - {id: SHOP-1, kind: code, summary: The page, paths: [files/, scripts/]}
deploy:
  - {name: Install, on: web, copy: {from: files/, to: /srv/}}
  - {name: Migrate, on: web, script: scripts/go.sh}
rollback:
  - {name: Undo, on: web, run: ./undo}
"""
FILES = {
    "handoff.yaml": MANIFEST,
    "DEPLOY.md": b"Install, Migrate, Undo",
    "files/a/b.txt": b"hello\n" * 1000,
    "scripts/go.sh": b"#!/bin/sh\necho go\n",
}
MEGABYTE = 1_000_000


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=out) as tar:
        for name, data in files.items():
            tar.addfile(header(name, len(data)), io.BytesIO(data))
    return out.getvalue()


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode = size, kind, mode
    return info


def tar_with(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=out) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 11, 1, 0, 0, 0))
            info.compress_type, info.external_attr = method, (stat.S_IFREG | 0o755) << 16
            made.writestr(info, data)
    return out.getvalue()


def zip_with(name: str, mode: int = stat.S_IFREG | 0o644, *, system: int = 3) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("x")
        info.filename, info.create_system, info.external_attr = name, system, mode << 16
        made.writestr(info, b"data")
    return out.getvalue()


def codes(path: Path, data: bytes | None = None) -> list[str]:
    """The codes of all findings about an archive, or the code with which reading it is refused."""
    if data is not None:
        path.write_bytes(data)
    try:
        _, findings = inspect(path)
    except Refusal as refusal:
        return [refusal.code]
    return [finding.code for finding in findings]
