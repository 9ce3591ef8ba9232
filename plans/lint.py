"""Decides what the author of a package is told before anybody else has to care: what is wrong, and what is risky."""

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from plans.findings import Finding, error, warning
from plans.package import DOCUMENT, MANIFEST, Manifest, Member, Package
from plans.quantities import seconds
from plans.records import Release
from plans.steps import Copy, Manual, PackageStep, Run, Script
from plans.testplan import TestPlan

MOST_FINDINGS = 100
LONG_TIMEOUT = 3600.0
LONG_NAME = 150
NAMED = 3
"""Files that a finding about several of them names."""


def lint(
    package: Package, *, roles: Mapping[str, Collection[str]] | None = None, tests: TestPlan | None = None
) -> tuple[Finding, ...]:
    """Every finding about a package, in the order in which its author would mend them.

    `roles`: the roles of each environment that the app is deployed to, by the environment's name; `tests`: the app's
    test plan. None: not known, and then no step's role is judged, and nobody asks which check looks at which change.
    """
    findings: list[Finding] = []
    left = {"error": MOST_FINDINGS, "warning": MOST_FINDINGS}
    for finding in _all(package, roles, tests):
        if left["error"] == 0:
            findings.append(error("more_findings", MANIFEST, "There is more.", "Mend these first."))
            break
        if left[finding.level]:
            left[finding.level] -= 1
            findings.append(finding)
    return tuple(findings)


def version_taken(manifest: Manifest, releases: Iterable[Release]) -> Iterator[Finding]:
    """A warning for each of the other releases that has the app and the version of this one."""
    for release in releases:
        if (release.app, release.version) == (manifest.app, manifest.version):
            message = f"{release.id} is {manifest.app} {manifest.version} too, with other bytes."
            hint = "Give each hand-off a version of its own, so that everybody speaks of the same one."
            yield warning("version_taken", f"version: {manifest.version}", message, hint)


def _all(package: Package, roles: Mapping[str, Collection[str]] | None, tests: TestPlan | None) -> Iterator[Finding]:
    manifest, files = package.manifest, {member.path: member for member in package.members}
    yield from _complete(manifest)
    yield from _documented(package)
    yield from _covered(manifest, files)
    yield from _steps("deploy", manifest.deploy, files, roles)
    yield from _steps("rollback", manifest.rollback, files, roles)
    yield from _reversible(manifest)
    yield from _undone(manifest)
    yield from _restarted(manifest, files)
    yield from _tested(manifest, tests)


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
    if "\ufffd" in package.document:
        hint = "Save it as UTF-8: who needs it reads it in a hurry."
        yield warning("not_utf8", DOCUMENT, f"{DOCUMENT} is not UTF-8.", hint)
    text = _plain(package.document)
    for name in dict.fromkeys(step.name for step in package.manifest.steps()):
        if not re.search(rf"(?<!\w){re.escape(_plain(name))}(?!\w)", text):
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
    used = _used(manifest)
    hint = f"Add it to the paths of the change that it belongs to, in {MANIFEST}; or take it out."
    stray = []
    for path in files:
        if not claimed.isdisjoint(_names(path)):
            continue
        if path.startswith(("files/", "scripts/")) or not used.isdisjoint(_names(path)):
            yield error("uncovered_file", path, "No change says what this file is for.", hint)
        elif "/" in path or not path.endswith((".md", ".txt", MANIFEST)):
            stray.append(path)
    if stray:
        message = f"No step and no change names {several(stray)}."
        yield warning("stray_file", stray[0], message, hint)


def _used(manifest: Manifest) -> set[str]:
    """What the steps take out of the package."""
    scripts = {step.script for step in manifest.steps() if isinstance(step, Script)}
    return scripts | {step.copy.from_ for step in manifest.steps() if isinstance(step, Copy)}


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


def _undone(manifest: Manifest) -> Iterator[Finding]:
    """Roles on which the deployment does something and the rollback nothing, each told of at its first step.

    What a step does is not known. A restart changes nothing, and a manual step of the rollback may undo anything.
    """
    if not manifest.rollback or any(isinstance(step, Manual) for step in manifest.rollback):
        return
    undone = {step.on for step in manifest.rollback if isinstance(step, Run | Script | Copy)}
    changing = [step for step in manifest.deploy if isinstance(step, Run | Script | Copy) and step.on not in undone]
    for step in {step.on: step for step in reversed(changing)}.values():
        message = f"Something is done on {step.on} here, and nothing under rollback is."
        hint = "Add the step that undoes it, or a manual one that says how."
        yield warning("step_without_rollback", f"deploy: {step.name}", message, hint)


def _restarted(manifest: Manifest, files: Mapping[str, Member]) -> Iterator[Finding]:
    """Roles whose last copied code nothing can have put to work: no later run, script or reboot there, nor by hand."""
    claimed = {path for change in manifest.changes if change.kind == "code" for path in change.paths}
    code = _named(path for path in files if not claimed.isdisjoint(_names(path)))
    last: dict[str, PackageStep] = {}
    for step in manifest.deploy:
        if isinstance(step, Copy):
            if step.copy.from_ in code:
                last[step.on] = step
        elif isinstance(step, Manual):
            last.clear()
        else:
            last.pop(step.on, None)
    for step in last.values():
        message = f"Code is copied here, and no later step on {step.on} could restart what runs it."
        hint = "Add the step that restarts or reloads it; where the new code is read without one, leave it."
        yield warning("nothing_restarted", f"deploy: {step.name}", message, hint)


def _tested(manifest: Manifest, tests: TestPlan | None) -> Iterator[Finding]:
    covered = {each for check in tests.checks() for each in check.covers} if tests else set()
    for change in manifest.changes if tests else ():
        if change.id not in covered:
            message = f"No check of the test plan names {change.id}."
            hint = f"Tell an admin what to look at; the check then says covers: [{change.id}]."
            yield warning("untested_change", f"changes: {change.id}", message, hint)


def several(paths: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more


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
