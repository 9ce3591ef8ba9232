"""Touches one machine for a moment: asks in one script for its clock, its tools, and what its working directory is.

The script for PowerShell was never run: its test reads it.
"""

import shlex
import time

import msgspec

from plans.windows import quote
from vmops.clocks import ahead
from vmops.jobs import ask
from vmops.transport import Limit, Transport, Trouble

TOOLS = ("setsid", "sha256sum", "tar", "unzip", "python3", "curl", "wget", "mktemp")
WINDOWS_TOOLS = ("Get-FileHash", "Expand-Archive", "tar.exe")

# A file is made and run where a run would, because a mount may be read-only, full or noexec; it is removed at once.
_VISIT = """workdir={workdir}
LC_ALL=C; export LC_ALL
echo "clock $(date +%s)"
echo "boot $(boot_id)"
for tool in {tools}; do if command -v "$tool" >/dev/null 2>&1; then echo "tool $tool"; fi; done
case $workdir in /*) at=$workdir ;; *) at=$PWD/$workdir ;; esac
[ -e "$at" ] || echo "absent yes"
while [ ! -e "$at" ]; do at=${{at%/*}}; at=${{at:-/}}; done
echo "at $at"
probe=${{at%/}}/.quarterdeck-doctor.$$
if why=$( (set -C; printf '#!/bin/sh\\nexit 0\\n' >"$probe") 2>&1 ); then
  chmod 700 "$probe"
  if "$probe" 2>/dev/null; then echo "runs yes"; fi
  rm -f "$probe"
else
  echo "unwritable ${{why##*: }}"
fi
set -- $(df -Pk "$at" 2>/dev/null | tail -n 1)
case ${{6:+$4}} in *[!0-9]*|'') ;; *) echo "free $(($4 * 1024))" ;; esac
"""

_VISIT_WINDOWS = """$workdir = {workdir}
"clock $([DateTimeOffset]::UtcNow.ToUnixTimeSeconds())"
"boot $(boot_id)"
$env:Path = "$([Environment]::SystemDirectory);$env:Path"
foreach ($tool in {tools}) {{ if (Get-Command $tool -ErrorAction SilentlyContinue) {{ "tool $tool" }} }}
$at = [IO.Path]::GetFullPath((Resolve-Full $workdir))
if (-not [IO.Directory]::Exists($at)) {{ 'absent yes' }}
while ($at -and -not [IO.Directory]::Exists($at)) {{ $at = [IO.Path]::GetDirectoryName($at) }}
"at $at"
$probe = [IO.Path]::Combine($at, ".quarterdeck-doctor.$PID.ps1")
try {{
  [IO.File]::WriteAllText($probe, 'exit 0')
  try {{
    $null | & powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File $probe
    if ($LASTEXITCODE -eq 0) {{ 'runs yes' }}
  }} finally {{ [IO.File]::Delete($probe) }}
}} catch {{ "unwritable $($_.Exception.GetBaseException().Message)" }}
try {{ "free $((New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($at))).AvailableFreeSpace)" }} catch {{ }}
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a visit showed, asked in `shell`. `ahead` is its clock's seconds, `at` the working directory or, where it is
    `absent`, the nearest directory above; `unwritable` says why nothing can be written there, `free` is bytes, None
    where not told.
    """

    shell: str = "sh"
    ahead: float
    boot: str
    tools: frozenset[str]
    at: str
    absent: bool
    unwritable: str
    runs: bool
    free: int | None


def visit(transport: Transport, shell: str, workdir: str, limit: Limit) -> Seen:
    """`shell`: sh or powershell. Raises as `Transport.exec`, and Trouble where it does not run a script there."""
    script = asking(shell, workdir)
    ask(transport, "boot_id", limit)  # so that the login is not counted as the clock's
    before = time.time()
    code, said = ask(transport, script, limit)
    after = time.time()
    told = [line.partition(" ") for line in said.splitlines()]
    one = {key: value for key, _, value in told}
    if code or "at" not in one:
        raise Trouble(f"its shell does not do what it is asked: exit code {code}: {said[-300:]}")
    return Seen(
        shell=shell,
        ahead=ahead(float(one["clock"]), before, after) if one.get("clock", "").isdecimal() else 0.0,
        boot=one.get("boot", ""),
        tools=frozenset(value for key, _, value in told if key == "tool"),
        at=one["at"],
        absent="absent" in one,
        unwritable=one.get("unwritable", ""),
        runs="runs" in one,
        free=int(one["free"]) if one.get("free", "").isdecimal() else None,
    )


def asking(shell: str, workdir: str) -> str:
    """The script of a visit."""
    if shell == "powershell":
        return _VISIT_WINDOWS.format(workdir=quote(workdir), tools=", ".join(map(quote, WINDOWS_TOOLS)))
    return _VISIT.format(workdir=shlex.quote(workdir), tools=" ".join(TOOLS))
