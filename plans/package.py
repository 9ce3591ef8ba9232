"""Decides what a package is: its manifest, its document and its files."""

from typing import Annotated, Literal

import msgspec

from plans.documents import load
from plans.errors import Refusal
from plans.findings import Finding
from plans.steps import PackageStep, Script

MANIFEST = "handoff.yaml"
DOCUMENT = "DEPLOY.md"
MOST_STEPS = 500

SafeName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z", description="webshop or 2.4.1 (letters, digits, . _ + -)"
    ),
]


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change that a release makes. `paths`: files of the package, or folders of them, that belong to it."""

    id: str
    kind: Literal["code", "database", "config", "infrastructure"]
    summary: str
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.id.strip() or not self.summary.strip():
            raise ValueError("a change needs an id and a summary")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """handoff.yaml: what a package is, what it changes, how it is deployed and undone."""

    app: SafeName
    version: SafeName
    summary: str
    changes: tuple[Change, ...]
    deploy: tuple[PackageStep, ...]
    rollback: tuple[PackageStep, ...] = ()

    def __post_init__(self) -> None:
        if not self.summary.strip():
            raise ValueError("a release needs a summary")
        if len(self.steps()) > MOST_STEPS:
            raise ValueError(f"more than {MOST_STEPS} steps")

    def steps(self) -> tuple[PackageStep, ...]:
        return self.deploy + self.rollback


class Member(msgspec.Struct, frozen=True):
    """A file of a package: its path there, its size in bytes, and the hex SHA-256 of what is in it."""

    path: str
    size: int
    executable: bool
    digest: str


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """A package as it was read, not yet understood. `digest` is the archive's, "" for a folder; `bytes` its size.

    `manifest` and `document` are None where the package has no such file. `unsafe`: why it was not read to its end,
    and then the rest is empty; `findings`: what is wrong with what is in its files.
    """

    members: tuple[Member, ...]
    manifest: bytes | None = None
    document: bytes | None = None
    digest: str = ""
    bytes: int = 0
    suffix: str = ""
    unsafe: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose manifest is valid; `document` is the text of DEPLOY.md."""

    manifest: Manifest
    document: str
    members: tuple[Member, ...]
    digest: str
    bytes: int
    suffix: str

    @property
    def executable(self) -> tuple[str, ...]:
        """The scripts that steps name: unpacking makes them executable."""
        return tuple(dict.fromkeys(step.script for step in self.manifest.steps() if isinstance(step, Script)))


def understand(contents: Contents) -> Package:
    """The package in `contents`. Raises Refusal: `no_manifest`, `not_utf8`, `invalid_manifest`."""
    if contents.manifest is None:
        nested = next((m.path for m in contents.members if m.path.endswith("/" + MANIFEST)), None)
        hint = (
            f"It is at {nested}: pack the contents of that folder."
            if nested
            else "Write one; what is in it: quarterdeck schema package."
        )
        raise Refusal("no_manifest", f"There is no {MANIFEST} at the top of the package.", hint)
    try:
        manifest = load(contents.manifest, Manifest, MANIFEST)
    except Refusal as refusal:
        code = "invalid_manifest" if refusal.code == "invalid_document" else refusal.code
        raise Refusal(code, refusal.message, refusal.hint) from None
    return Package(
        manifest=manifest,
        document=(contents.document or b"").decode("utf-8", "replace"),
        members=contents.members,
        digest=contents.digest,
        bytes=contents.bytes,
        suffix=contents.suffix,
    )
