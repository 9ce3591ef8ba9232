"""Touches one machine for a moment: asks in one script for its clock, its tools, and what its working directory is."""

import shlex
import time

import msgspec

from bot.examinations.vcenter import ahead
from vmops.jobs import ask
from vmops.transport import Limit, Transport, Trouble

TOOLS = ("setsid", "sha256sum", "tar", "unzip", "python3", "curl", "wget", "mktemp")

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
echo "free $(df -Pk "$at" 2>/dev/null | tail -n 1)"
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a visit showed. `ahead` is its clock's seconds, `at` the working directory or, where it is `absent`, the
    nearest directory above; `unwritable` says why nothing can be written there, `free` is bytes, None where not told.
    """

    ahead: float
    boot: str
    tools: frozenset[str]
    at: str
    absent: bool
    unwritable: str
    runs: bool
    free: int | None


def visit(transport: Transport, workdir: str, limit: Limit) -> Seen:
    """Raises as `Transport.exec`, and Trouble where the shell there does not run a script."""
    script = _VISIT.format(workdir=shlex.quote(workdir), tools=" ".join(TOOLS))
    ask(transport, ":", limit)  # so that the login is not counted as the clock's
    before = time.time()
    code, said = ask(transport, script, limit)
    after = time.time()
    told = [line.partition(" ") for line in said.splitlines()]
    one = {key: value for key, _, value in told}
    if code or "at" not in one:
        raise Trouble(f"its shell does not do what it is asked: exit code {code}: {said[-300:]}")
    return Seen(
        ahead=ahead(float(one["clock"]), before, after) if one.get("clock", "").isdigit() else 0.0,
        boot=one.get("boot", ""),
        tools=frozenset(value for key, _, value in told if key == "tool"),
        at=one["at"],
        absent="absent" in one,
        unwritable=one.get("unwritable", ""),
        runs="runs" in one,
        free=_free(one.get("free", "")),
    )


def _free(line: str) -> int | None:
    """Bytes from a line of `df -Pk`: device, blocks, used, available, per cent, mount."""
    words = line.split()
    return int(words[3]) * 1024 if len(words) > 5 and words[3].isdigit() else None
