"""Decides what a package is, and which findings its author is told of before anybody else has to care."""

import codecs
import difflib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from plans.documents import load
from plans.errors import Refusal
from plans.quantities import seconds
from plans.steps import Copy, PackageStep, Script

MANIFEST = "handoff.yaml"
DOCUMENT = "DEPLOY.md"
MOST_STEPS = 500
MOST_FINDINGS = 100
LONG_TIMEOUT = 3600.0
LONG_NAME = 150

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


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """handoff.yaml: what a package is, what it changes, how it is deployed and undone."""

    app: SafeName
    version: SafeName
    summary: str
    changes: tuple[Change, ...]
    deploy: tuple[PackageStep, ...]
    rollback: tuple[PackageStep, ...] = ()

    def __post_init__(self) -> None:
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


class Finding(msgspec.Struct, frozen=True):
    """Something about a package that its author should know; with an `error` it is refused."""

    code: str
    level: Literal["error", "warning"]
    place: str
    message: str
    hint: str = ""


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


def lint(package: Package, *, roles: Mapping[str, Collection[str]] | None = None) -> tuple[Finding, ...]:
    """Every finding about a package, in the order in which its author would mend them.

    `roles`: the roles of each environment that the app is deployed to, by the environment's name; None: not known,
    and then no step's role is judged.
    """
    findings: list[Finding] = []
    left = {"error": MOST_FINDINGS, "warning": MOST_FINDINGS}
    for finding in _all(package, roles):
        if left["error"] == 0:
            findings.append(error("more_findings", MANIFEST, "There is more.", "Mend these first."))
            break
        if left[finding.level]:
            left[finding.level] -= 1
            findings.append(finding)
    return tuple(findings)


def _all(package: Package, roles: Mapping[str, Collection[str]] | None) -> Iterator[Finding]:
    manifest, files = package.manifest, {member.path: member for member in package.members}
    yield from _complete(manifest)
    yield from _documented(package)
    yield from _covered(manifest, files)
    yield from _steps("deploy", manifest.deploy, files, roles)
    yield from _steps("rollback", manifest.rollback, files, roles)
    yield from _reversible(manifest)


def _complete(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.changes:
        yield error("no_changes", "changes", "No change is listed.", "List every single change of this release.")
    if not manifest.deploy:
        yield error("no_steps", "deploy", "No step is listed.", "List the steps that deploy this release, in order.")
    for change in _repeated([change.id for change in manifest.changes]):
        yield error("duplicate_change", f"changes: {change}", f"Two changes have the id {change}.", "Rename one.")
    for phase, steps in (("deploy", manifest.deploy), ("rollback", manifest.rollback)):
        for name in _repeated([step.name for step in steps]):
            yield error("duplicate_step", f"{phase}: {name}", f"Two steps are called {name}.", "Rename one.")


def _documented(package: Package) -> Iterator[Finding]:
    if not package.document.strip():
        hint = f"Write {DOCUMENT}: every step of {MANIFEST} by its name, with how to do it by hand."
        yield error("no_document", DOCUMENT, f"There is no {DOCUMENT}, or it is empty.", hint)
        return
    text = _plain(package.document)
    for name in dict.fromkeys(step.name for step in package.manifest.steps()):
        if _plain(name) not in text:
            hint = "Add a section of that name with how to do it by hand."
            yield error("step_not_documented", DOCUMENT, f"{DOCUMENT} does not name the step “{name}”.", hint)


def _covered(manifest: Manifest, files: Mapping[str, Member]) -> Iterator[Finding]:
    there = _named(files)
    claimed = {path for change in manifest.changes for path in change.paths}
    for change in manifest.changes:
        for path in change.paths:
            if path not in there:
                message = f"{path} is not in the package."
                yield error("unknown_path", f"changes: {change.id}", message, _nearest(path, files))
    for path in files:
        if path.startswith(("files/", "scripts/")) and claimed.isdisjoint(_names(path)):
            hint = f"Add it to the paths of the change that it belongs to, in {MANIFEST}; or take it out."
            yield error("uncovered_file", path, "No change says what this file is for.", hint)


def _steps(
    phase: str,
    steps: Iterable[PackageStep],
    files: Mapping[str, Member],
    roles: Mapping[str, Collection[str]] | None,
) -> Iterator[Finding]:
    there = _named(files)
    for step in steps:
        place = f"{phase}: {step.name}"
        yield from _placed(step, place, roles)
        if len(step.name) > LONG_NAME or not step.name.isprintable():
            message = f"A step's name is one line of at most {LONG_NAME} characters."
            yield error("bad_step_name", f"{phase}: {step.name[:LONG_NAME]!r}", message, "Shorten it.")
        if isinstance(step, Script) and step.script not in files:
            message = f"The script {step.script} is not in the package."
            yield error("unknown_script", place, message, _nearest(step.script, files))
        elif isinstance(step, Script) and not files[step.script].executable:
            message = f"{step.script} is not executable here; on the hosts it will be."
            yield warning("not_executable", place, message, f"For who does it by hand: chmod +x {step.script}")
        if isinstance(step, Copy) and step.copy.from_ not in there:
            message = f"{step.copy.from_} is not in the package."
            yield error("unknown_file", place, message, _nearest(step.copy.from_, files))
        if seconds(step.timeout) > LONG_TIMEOUT:
            message = f"It may take {step.timeout} before anybody is told that it hangs."
            yield warning("long_timeout", place, message, "Give it the time that it needs and a little more.")


def _placed(step: PackageStep, place: str, roles: Mapping[str, Collection[str]] | None) -> Iterator[Finding]:
    if step.on == "runner":
        message = "A package's steps never run on the machine that the bot runs on."
        yield error("runner_not_allowed", place, message, "Name a role of the app's environments.")
    elif step.on and roles is not None:
        for environment, known in roles.items():
            if step.on not in known:
                message = f"{environment} has no role {step.on}."
                hint = f"Its roles: {', '.join(sorted(known))}. Or ask an admin to add one."
                yield error("unknown_role", place, message, hint)


def _reversible(manifest: Manifest) -> Iterator[Finding]:
    if manifest.rollback:
        return
    for change in manifest.changes:
        if change.kind == "database":
            hint = "Add the steps that undo it under rollback."
            yield error(
                "database_without_rollback", f"changes: {change.id}", "A database change needs a rollback.", hint
            )
    if all(change.kind != "database" for change in manifest.changes):
        hint = "Add the steps that undo the release under rollback."
        yield warning("no_rollback", "rollback", "Without a rollback the only way back is by hand.", hint)


# What is in the files.

_BLOCK = 1 << 20
_OVERLAP = 1 << 12
_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|^PuTTY-User-Key-File-\d", re.MULTILINE)


def scan(path: str, chunks: Iterable[bytes], forbidden: Iterable[re.Pattern[str]] = ()) -> tuple[Finding, ...]:
    """What a file holds that no package may hold: private keys, and matches of `forbidden`, each told of once.

    Patterns are searched for by lines, in UTF-8; a line of more than a mebibyte is searched in overlapping pieces.
    """
    key = ("private_key", _KEY, "A private key is in this file.", "Take it out, and use another: it is known now.")
    hint = "Take it out: test data must not reach prod."
    rules = [key] + [
        ("forbidden_content", p, f"It matches {p.pattern}, which no package may hold.", hint) for p in forbidden
    ]
    findings: list[Finding] = []
    for line, text in _blocks(chunks):
        if line == 1 and re.match(r"#![^\n]*\r\n", text):
            message = "Its first line ends as on Windows: Unix looks for an interpreter of a strange name."
            findings.append(warning("windows_line_ends", path, message, "Save it with Unix line ends (LF)."))
        for rule in list(rules):
            code, pattern, message, advice = rule
            if found := pattern.search(text):
                place = f"{path}, line {line + text.count(chr(10), 0, found.start())}"
                findings.append(error(code, place, message, advice))
                rules.remove(rule)
    return tuple(findings)


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The text in whole lines, a block at a time, with the number of each block's first line."""
    decode: Callable[..., str] = codecs.getincrementaldecoder("utf-8")("replace").decode
    line, kept = 1, ""
    for chunk in chunks:
        kept += decode(chunk)
        end = kept.rfind("\n") + 1
        if end:
            yield line, kept[:end]
            line += kept.count("\n", 0, end)
            kept = kept[end:]
        elif len(kept) > _BLOCK:
            yield line, kept
            kept = kept[-_OVERLAP:]
    if kept := kept + decode(b"", final=True):
        yield line, kept


def _names(path: str) -> Iterator[str]:
    """What a file may be called by: its path, or a folder that it is in, with or without a slash at the end."""
    yield path
    while path := path.rpartition("/")[0]:
        yield path
        yield path + "/"


def _named(files: Iterable[str]) -> set[str]:
    return {name for path in files for name in _names(path)}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _nearest(path: str, files: Iterable[str]) -> str:
    near = difflib.get_close_matches(path, itertools.islice(files, 500), 1)
    return f"Did you mean {near[0]}?" if near else "Add it to the package, or take it out of the manifest."


def _repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def error(code: str, place: str, message: str, hint: str) -> Finding:
    """A finding for which the package is refused."""
    return Finding(code, "error", place, message, hint)


def warning(code: str, place: str, message: str, hint: str) -> Finding:
    """A finding that its author should know of."""
    return Finding(code, "warning", place, message, hint)
