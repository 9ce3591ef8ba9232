"""Touches the package store and the ledger: what was handed in becomes a release, or is refused with its findings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.archives.sources import fetch
from bot.board import Board
from bot.config import Settings
from bot.masking import Masker
from bot.packages import Store, inspect
from plans.errors import Refusal
from plans.events import PackageHandedOff, PackageRefused
from plans.findings import Finding
from plans.lint import version_taken
from plans.package import Package
from plans.quantities import size
from plans.records import Release

_BLAMED = frozenset({"digest_differs", "too_large", "unreadable"})
"""Codes that speak of bytes which were there: the ledger keeps that they were refused."""


class Intake:
    """The one way in. Packages are fetched, judged and kept outside the board's lock, and numbered under it."""

    def __init__(self, board: Board, settings: Settings, store: Store) -> None:
        self._board = board
        self._settings = settings
        self._store = store
        self._masker = Masker(settings.secrets)

    def hand_off(
        self, source: str, *, by: str, digest: str | None = None, notes: str = "", fetched: Path | None = None
    ) -> tuple[Release, bool]:
        """The release that the package at `source` is from now on, and whether it is a new one.

        `digest` (hex SHA-256) must match where it is given; `fetched` is the archive where it is on this machine
        already, and `source` then only says where it came from. Raises Refusal: `package_refused` with every finding,
        `withdrawn` for the bytes of a release that was withdrawn, and what `bot.archives.sources.fetch` and
        `bot.packages.inspect` raise.
        """
        try:
            with self._archive(source, digest, fetched) as path:
                package, findings = inspect(path, self._settings)
                bad = [finding for finding in findings if finding.level == "error"]
                if package is None or bad:
                    raise self._refused(source, by, bad)
                if (known := self._known(package.digest)) is None:
                    self._store.add(path)
        except Refusal as refusal:
            if refusal.code in _BLAMED:
                self._board.record(by, PackageRefused(source=self._masker.text(source), findings=(refusal.code,)))
            raise
        return (known, False) if known else self._numbered(package, findings, source, by, notes)

    @contextmanager
    def _archive(self, source: str, digest: str | None, fetched: Path | None) -> Iterator[Path]:
        if fetched is not None:
            yield fetched
            return
        rules = self._settings.config.packages
        into = self._settings.data_dir / "packages"
        with fetch(source, rules.sources, into=into, most=size(rules.max_bytes), digest=digest) as path:
            yield path

    def _known(self, digest: str) -> Release | None:
        """The release that these bytes already are. Raises Refusal where it was withdrawn."""
        for release in self._board.table(Release):
            if release.digest == digest and release.withdrawn is not None:
                raise Refusal(
                    "withdrawn",
                    f"These bytes are {release.id}, which was withdrawn: {release.withdrawn or 'no reason was given'}.",
                    "Change what was wrong, pack it again and hand that off.",
                )
            if release.digest == digest:
                return release
        return None

    def _numbered(
        self, package: Package, findings: tuple[Finding, ...], source: str, by: str, notes: str
    ) -> tuple[Release, bool]:
        mask, manifest = self._masker.text, package.manifest
        with self._board.deciding:
            if known := self._known(package.digest):
                return known, False
            earlier = list(self._board.table(Release))
            number = 1 + max((release.number for release in earlier), default=0)
            told = [*findings, *version_taken(manifest, earlier)]
            event = PackageHandedOff(
                release=f"R-{number}",
                app=manifest.app,
                version=manifest.version,
                digest=package.digest,
                bytes=package.bytes,
                source=mask(source),
                summary=mask(manifest.summary),
                changes=tuple(mask(f"{c.id} {c.summary} ({c.kind})") for c in manifest.changes),
                warnings=tuple(mask(f"{finding.place}: {finding.message}") for finding in told),
                notes=mask(notes),
            )
            self._board.record(by, event)
            return self._board.release(event.release), True

    def _refused(self, source: str, by: str, bad: list[Finding]) -> Refusal:
        source = self._masker.text(source)
        codes = tuple(dict.fromkeys(finding.code for finding in bad))
        self._board.record(by, PackageRefused(source=source, findings=codes))
        rows = [f"• {finding.code}: {finding.place}: {finding.message} {finding.hint}".rstrip() for finding in bad]
        count = "one thing is" if len(bad) == 1 else f"{len(bad)} things are"
        return Refusal(
            "package_refused",
            f"{source} is no package that can be rehearsed: {count} to be mended.",
            "Mend each, pack it again and hand that off; quarterdeck check PATH says the same.\n" + "\n".join(rows),
        )
