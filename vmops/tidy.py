"""Touches what former runs left on a host in this ledger's own directory: old jobs' files, cut uploads."""

import logging
import shlex

from vmops.jobs import ask
from vmops.languages import SH
from vmops.scripts import run_of
from vmops.transport import Limit, Transport, Trouble
from vmops.upload import BESIDE

RUNS = 20
DAYS = 14
"""Jobs of the last so many runs are kept for so many days."""

SECONDS = 30.0

log = logging.getLogger(__name__)

# `jobs` holds a directory a run. One whose job is still running stays, however old.
_TIDY = """case $base in /*) ;; *) base=./$base ;; esac
cd "$base" 2>/dev/null && [ -O . ] || exit 0
for d in jobs/*; do
  [ -d "$d" ] && [ ! -L "$d" ] || continue
  case ${d#jobs/} in
    "$run") continue ;;
    *[!0-9]*) old= ;;
    *) [ "${d#jobs/}" -lt "$oldest" ] && old=1 || old= ;;
  esac
  [ -n "$old" ] || [ -n "$(find "$d" -prune -mtime "+$days")" ] || continue
  for f in "$d"/*.job; do
    { read -r p _ && ! read -r _; } <"$f" && kill -0 "$p" && continue 2
  done 2>/dev/null
  rm -rf "./$d"
done
find . -maxdepth 1 -type f -name "*$beside????????" -mtime +0 -exec rm -f {} +
"""


def tidy(transport: Transport, base: str, job: str) -> None:
    """Removes what is older than the last runs or days from `base`, which is one ledger's own; `job` is one of now.

    A host that does not let it is left as it is, and the log says so; one with PowerShell is left as it is.
    """
    if transport.language is not SH:
        return
    run = run_of(job)
    oldest = str(int(run) - RUNS) if run.isdecimal() else "0"
    told = {"base": base, "run": run, "oldest": oldest, "days": str(DAYS), "beside": BESIDE}
    names = "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items())
    try:
        code, said = ask(transport, names + _TIDY, Limit.of(SECONDS))
    except Trouble as trouble:
        said = str(trouble)
    else:
        if not code:
            return
    log.warning("%s: what former runs left was not tidied up: %s", base, said)
