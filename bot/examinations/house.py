"""Looks at the bot's own machine: where it keeps its data, where packages come from, which checks it has."""

import fcntl
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO

from bot.config import Settings
from bot.examinations import Examination, Finding, bad, gigabytes, good, warning
from plans.checks import ManualCheck

LITTLE = 100_000_000
"""Bytes below which a run may end for want of room for its logs."""

SILENCE = 15.0
"""Seconds that a server of packages may say nothing."""


def examinations(settings: Settings) -> Iterator[Examination]:
    """The data directory, each source of packages, each app's test plan."""
    yield Examination("data_dir", str(settings.data_dir), partial(_data_dir, settings))
    for source in settings.config.packages.sources:
        look = _address if "://" in source else _folder
        yield Examination("package_source", source, partial(look, source))
    for app in settings.apps:
        yield Examination("test_plan", app, partial(_plan, settings, app))


def _data_dir(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".quarterdeck-doctor-"):
            pass
    except OSError as error:
        mend = f"Let the user that runs Quarterdeck (uid {os.getuid()}) write there, or name another data_dir."
        yield bad("data_dir", str(folder), f"{there} cannot be written to: {error.strerror}", mend)
        return
    said = "writable" if there == folder else f"not there yet; the bot makes it in {there}, which is writable"
    free = shutil.disk_usage(there).free
    yield space("data_dir", str(folder), f"{said}; {_holder(folder)}", free, settings.max_bytes)


def space(check: str, subject: str, said: str, free: int, package: int) -> Finding:
    """What it means that so many bytes are free where packages of up to `package` bytes go, packed and unpacked."""
    said = f"{said}; {gigabytes(free)} are free"
    if free < LITTLE:
        return bad(check, subject, said, f"Make room there: below {gigabytes(LITTLE)} a run cannot count on its logs.")
    if free < 2 * package:
        most = f"A package may have {gigabytes(package)}, and as much again unpacked"
        return warning(check, subject, said, f"{most}: make room, or lower packages.max_bytes.")
    return good(check, subject, said)


def _holder(folder: Path) -> str:
    """Which bot holds the data directory; looked at without taking it for longer than a moment."""
    try:
        file = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "no bot holds it"
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return "no bot holds it"
    except OSError:
        return f"a running bot holds it, process {os.pread(file, 100, 0).decode(errors='replace').strip()}"
    finally:
        os.close(file)


def _folder(source: str) -> Iterator[Finding]:
    folder = Path(source)
    if not folder.is_dir():
        mend = "Make or mount the folder, or take it out of packages.sources."
        yield bad("package_source", source, "there is no such folder", mend)
    elif not os.access(folder, os.R_OK | os.X_OK):
        mend = f"Let the user that runs Quarterdeck (uid {os.getuid()}) read it."
        yield bad("package_source", source, "the folder cannot be read", mend)
    else:
        yield good("package_source", source, "a folder that can be read")


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _address(source: str) -> Iterator[Finding]:
    asking = urllib.request.Request(source, method="HEAD")  # noqa: S310 - the configuration takes http and https only
    try:
        with urllib.request.build_opener(_Stay).open(asking, timeout=SILENCE) as answer:
            status = answer.status
    except urllib.error.HTTPError as refused:
        status = refused.code
        refused.close()
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", None) or error
        mend = "See from this machine whether its name, port and certificate are right: curl -I " + source
        yield bad("package_source", source, f"cannot be reached: {cause}", mend)
        return
    if status >= 500:
        yield bad("package_source", source, f"answers {status}", "See what its server's log says.")
    else:
        yield good("package_source", source, f"answers ({status}; what is under it decides whether a package is there)")


def _plan(settings: Settings, app: str) -> Iterator[Finding]:
    plan = settings.tests[app]
    said = f"{len(plan.critical)} critical and {len(plan.deep)} deep checks"
    if not plan.checks():
        mend = f"Write checks into {settings.apps[app].tests}, critical ones first: without any, each rehearsal passes."
        yield warning("test_plan", app, "loads, but has no check", mend)
        return
    yield good("test_plan", app, said)
    roles = settings.config.roles
    for role in sorted({check.by for check in plan.checks() if isinstance(check, ManualCheck)}):
        if not getattr(roles, role):
            mend = f"List who they are under roles.{role}."
            yield bad("test_plan", app, f"a check waits for one of the {role}, and nobody is one", mend)
