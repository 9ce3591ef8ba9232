"""Decides how what a deployment changed on a host is searched for what no package may hold, and what was found."""

import re
import shlex
from collections.abc import Iterable

from plans.content import KEYS
from plans.findings import Finding, error

# What grep -P takes is as good as Python's expressions here, and it gives up one that does not come to its end. What is
# found is told by place alone: the text itself may be somebody's data.
_SEARCH = r"""set -eu
LC_ALL=C; export LC_ALL
complain() { echo "$1"; echo "$1" >&2; exit 69; }
[ "$(echo ab | grep -cP '(?<=a)b' 2>/dev/null)" = 1 ] || complain "grep -P is not here to search the files with"
[ -e "$since" ] || complain "there is no $since to tell by what has changed"
number=0
for pattern do
  for path in %(paths)s; do
    [ -e "$path" ] || continue
    files=$(find -H "$path" -xdev -type f -cnewer "$since" -exec /bin/sh -c '
      pattern=$1; shift
      grep -l -a -P -e "$pattern" -- "$@" || [ $? = 1 ]
    ' sh "$pattern" {} +) || complain "the search of $path for $pattern did not come to its end"
    printf '%%s\n' "$files" | sed '/^$/d' | while IFS= read -r file; do
      printf '%%s:%%s:%%s\n' "$number" "$file" "$(grep -a -P -n -m 1 -e "$pattern" -- "$file" | sed -n '1s/:.*//p')"
    done
  done
  number=$((number + 1))
done
"""


def command(paths: Iterable[str], since: str, forbidden: Iterable[str]) -> str:
    """For sh: searches the files below `paths` (absolute, or relative to where it runs) that changed after `since` did.

    `since` is a file: anything that is younger than it counts, an old file that was put there lately too. `forbidden`:
    regular expressions, as packages.forbidden_content has them. Private keys are always looked for.
    """
    patterns = shlex.join([*KEYS.values(), *forbidden])
    search = _SEARCH % {"paths": " ".join(shlex.quote(path) for path in paths)}
    return f"set -- {patterns}\nsince={shlex.quote(since)}\n{search}"


def findings(output: str, forbidden: Iterable[str]) -> tuple[Finding, ...]:
    """What the command printed, each file once for each thing that is in it."""
    patterns = tuple(forbidden)
    found = []
    for number, path, line in re.findall(r"^([0-9]{1,4}):(.*):([0-9]{1,12})$", output, re.MULTILINE):
        place = f"{path}, line {line}"
        which = int(number) - len(KEYS)
        if which >= len(patterns):
            continue  # a file's name with the end of a line in it
        if which < 0:
            found.append(error("private_key", place, "A private key is in this file.", "Take it away."))
        else:
            message = f"It matches {patterns[which]}, which no package may put there."
            found.append(error("forbidden_content", place, message, "Test data must not reach prod."))
    return tuple(found)
