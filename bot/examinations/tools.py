"""Decides what a host lacks for what it is to do: to run steps, to unpack packages, to ask over HTTP."""

from collections.abc import Iterator

from bot.examinations import Finding, bad, good, warning
from bot.examinations.visit import Seen


def tools(subject: str, seen: Seen, *, unpacks: bool, asked: bool) -> Iterator[Finding]:
    """`unpacks`: whether a package ever comes here; `asked`: whether checks are asked over HTTP from here."""
    need = _windows(seen, unpacks) if seen.shell == "powershell" else _posix(seen, unpacks, asked)
    lacking = [bad("tools", subject, f"{what}: {why}", f"Install {how} there.") for what, why, how in need]
    yield from lacking
    packed = _packed(seen) if unpacks else None
    if packed:
        kind, without, mend = packed
        yield warning("tools", subject, f"{without}, so a {kind} cannot be unpacked", mend)
    elif not lacking:
        yield good("tools", subject, f"has {', '.join(sorted(seen.tools))}")


Need = tuple[str, str, str]
"""What is missing, what it is for, and what to install."""


def _posix(seen: Seen, unpacks: bool, asked: bool) -> Iterator[Need]:
    if "setsid" not in seen.tools:
        yield "no setsid", "no step can be started", "util-linux (or busybox)"
    if not seen.boot or seen.boot == "unknown":
        yield "no boot id", "a restart cannot be told", "procps (sysctl), or mount /proc"
    if unpacks and "sha256sum" not in seen.tools:
        yield "no sha256sum", "an archive's digest cannot be checked", "coreutils"
    if unpacks and "tar" not in seen.tools:
        yield "no tar", "no tar.gz can be unpacked", "tar"
    if asked and not seen.tools & {"curl", "python3", "wget"}:
        yield "no curl, python3 or wget", "checks are asked over HTTP from here", "curl"
    if asked and "mktemp" not in seen.tools:
        yield "no mktemp", "checks are asked over HTTP from here", "coreutils"


def _windows(seen: Seen, unpacks: bool) -> Iterator[Need]:
    newer = "Windows PowerShell 5.1 (Windows Management Framework)"
    if unpacks and "Get-FileHash" not in seen.tools:
        yield "no Get-FileHash", "an archive's digest cannot be checked", newer
    if unpacks and "Expand-Archive" not in seen.tools:
        yield "no Expand-Archive", "no zip can be unpacked", newer


def _packed(seen: Seen) -> tuple[str, str, str] | None:
    """The kind of archive that cannot be unpacked there though another can, what is missing for it, and the mend."""
    if seen.shell == "powershell" and "tar.exe" not in seen.tools:
        return "tar.gz", "no tar.exe, which Windows has since 10 and Server 2019", "Hand off zips only."
    if seen.shell == "sh" and not seen.tools & {"unzip", "python3"}:
        mend = "Install unzip or python3 there, or hand off tar.gz archives only."
        return "zip", "neither unzip nor python3", mend
    return None
