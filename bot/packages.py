"""Touches packages on this machine: lints them, packs folders, and keeps archives by their digest."""

import gzip
import re
import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from bot import durable
from bot.archives import files
from bot.archives.contents import read, read_archive
from bot.config import Packages, Settings
from plans.errors import Refusal
from plans.findings import Finding, error
from plans.lint import lint
from plans.package import MANIFEST, Member, Package, understand
from plans.quantities import size

SUFFIXES = (".zip", ".tar.gz")
_TIME = 315_532_800
"""1980-01-01, the first day that a zip can tell: every packed member's time, in seconds since 1970."""


def inspect(path: Path, settings: Settings | None = None) -> tuple[Package | None, tuple[Finding, ...]]:
    """The package at `path` (folder, zip or tar.gz) and all that is wrong with it; None where it cannot be understood.

    Without `settings`, what needs them is left out: roles, forbidden content, what the test plan covers, another limit
    than the default. Raises Refusal as `bot.archives.contents.read`.
    """
    rules = settings.config.packages if settings else Packages()
    contents = read(path, max_bytes=size(rules.max_bytes), rules=rules)
    if contents.unsafe:
        return None, contents.unsafe
    try:
        package = understand(contents)
    except Refusal as refusal:
        return None, (*contents.findings, error(refusal.code, MANIFEST, refusal.message, refusal.hint))
    app = package.manifest.app
    if settings and app not in settings.apps:
        known = f"There are: {', '.join(settings.apps)}."
        strange = error("unknown_app", MANIFEST, f"The configuration has no app {app}.", known)
        return package, (*contents.findings, strange, *lint(package))
    if not settings:
        return package, (*contents.findings, *lint(package))
    return package, (*contents.findings, *lint(package, roles=_roles(settings, app), tests=settings.tests[app]))


def _roles(settings: Settings, app: str) -> Mapping[str, Collection[str]]:
    names = (settings.apps[app].staging, settings.apps[app].prod)
    return {name: tuple(settings.environments[name].hosts) for name in names}


class PackageRefused(Refusal):
    """A folder that is no acceptable package; `findings` say why."""

    def __init__(self, folder: Path, findings: tuple[Finding, ...]) -> None:
        super().__init__("package_refused", f"{folder} is not a package that could be handed off.")
        self.findings = findings


def pack(folder: Path, out: Path) -> str:
    """Packs a folder into `out`, by its suffix a .zip or a .tar.gz: the digest (hex) of the archive.

    The same folder gives the same bytes: members sorted, with one time, nobody's name, and one of two modes. Raises
    Refusal: `wrong_suffix`, `inside_itself`, `unreadable`; PackageRefused where `check` finds an error.
    """
    if not folder.is_dir():
        raise Refusal("unreadable", f"{folder}: there is no such folder.")
    if not out.parent.is_dir():
        raise Refusal("unreadable", f"{out.parent}: there is no such folder to put {out.name} into.")
    if not out.name.endswith(SUFFIXES):
        raise Refusal("wrong_suffix", f"{out}: a name that ends in {' or '.join(SUFFIXES)} is wanted.")
    if folder.resolve() in out.resolve().parents:
        raise Refusal("inside_itself", f"{out} is in the folder that is packed.", "Name a place outside it.")
    package, findings = inspect(folder)
    if package is None or any(finding.level == "error" for finding in findings):
        raise PackageRefused(folder, findings)
    members = sorted(package.members, key=lambda member: member.path)
    write = _zip if out.name.endswith(".zip") else _tarball
    with files.beside(out.parent) as (file, new):
        write(file, folder, members)
        if list(read_archive(file, sys.maxsize, Packages()).members) != members:
            raise Refusal("unreadable", f"{folder} changed while it was packed.", "Pack it again.")
        digest = files.digest(file)
        files.settle(file, new, out, mode=0o644)
    return digest


def _tarball(file: BinaryIO, folder: Path, members: Iterable[Member]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in members:
            head = tarfile.TarInfo(member.path)
            head.size, head.mtime, head.mode = member.size, _TIME, _mode(member)
            with (folder / member.path).open("rb") as source:
                tar.addfile(head, source)


def _zip(file: BinaryIO, folder: Path, members: Iterable[Member]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in members:
            head = zipfile.ZipInfo(member.path, (1980, 1, 1, 0, 0, 0))
            head.create_system, head.external_attr = 3, (stat.S_IFREG | _mode(member)) << 16
            head.compress_type = zipfile.ZIP_DEFLATED
            with (folder / member.path).open("rb") as source, packed.open(head, "w") as target:
                shutil.copyfileobj(source, target)


def _mode(member: Member) -> int:
    return 0o755 if member.executable else 0o644


class Store:
    """The archives that were handed off, each under its digest: `packages/<digest>.zip` or `.tar.gz`."""

    def __init__(self, data_dir: Path, max_bytes: int) -> None:
        self._folder = data_dir / "packages"
        durable.folder(self._folder)
        files.tidy(self._folder)
        self._max_bytes = max_bytes

    def add(self, path: Path) -> str:
        """Keeps a copy of the archive at `path`: its digest (hex). It is on disk when this returns.

        Raises Refusal: `unreadable`, `too_large`.
        """
        with files.regular(path) as source, files.beside(self._folder) as (target, new):
            suffix = files.suffix(source)
            files.copy(source, target, most=self._max_bytes)
            digest = files.digest(target)
            files.settle(target, new, self._folder / f"{digest}{suffix}", mode=0o600)
        return digest

    def path(self, digest: str) -> Path:
        """Where the archive with this digest (hex) is. Raises Refusal `unknown_package`."""
        found = [self._folder / f"{digest}{suffix}" for suffix in SUFFIXES if re.fullmatch("[0-9a-f]{64}", digest)]
        for path in found:
            if path.is_file():
                return path
        raise Refusal("unknown_package", f"The archive {digest[:12]} is not in {self._folder}.", "Hand it off again.")

    def verify(self, digest: str) -> Path:
        """Where the archive is, its bytes hashed anew. Raises Refusal `unknown_package`, `package_changed`."""
        path = self.path(digest)
        with files.regular(path) as file:
            if files.digest(file) != digest:
                message = f"The bytes of {path.name} are no longer those that were handed off."
                raise Refusal("package_changed", message, "Hand the package off again.")
        return path

    def package(self, digest: str) -> Package:
        """What is in the archive. Raises Refusal: as `verify`, and what `understand` raises."""
        return understand(read(self.verify(digest), max_bytes=self._max_bytes, rules=Packages()))
