"""Decides what a machine is told in order to start, follow and stop a job.

A job is three files, `<base>/jobs/<run>/<name>.*`, where the run is what its name begins with: `out`, `err`, and `job`,
whose first line is the claim that makes it start only once (its session, when that began, the boot id it started under)
and whose second is its exit code. `stopped` is there where somebody ended it. The scripts are for any /bin/sh (dash,
busybox, bash) on Linux and need setsid and /proc.

Another process costs more than all else that a step needs, another file next to that. So none makes a directory for
each job, the job's supervisor is kept in reserve where the shell stays open, and none passes the time: the shell that
follows reads its own standard input, a pipe, where the transport says now and then that time has passed, and the job
that it has ended.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmops.transport import Refused

MAX_COMMAND = 128_000
"""Linux takes no single argument longer than 128 KiB, and `sh -c` takes the command as one."""

LOOKS = 50
"""Times that the script which follows a job looks for news before it ends and is to be sent again."""

USED = 3
"""The exit code of a script that went well and needed the supervisor in reserve."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Whether a process lives, and when it began, which tells it from a later one of the same number.
_BEGAN = """began() {
  began=
  { read -r stat <"/proc/${1:-none}/stat"; } 2>/dev/null || return
  set -- ${stat##*) }
  [ "$1" != Z ] && began=${20}
}
"""

# Runs in a session of its own. The claim is a file that only one process can create, so that a start whose answer was
# lost can be sent again. The traps let it outlive a signal to its process group, as a shutdown sends it, and write down
# how the command ended, and that it was not by itself. Descriptor 7 wakes whoever follows.
_SUPERVISE = f"""exec >/dev/null 2>&1
{_BEGAN}began $$
set -C; {{ echo "$$ $began $2" >"$1.job"; }} || exit; set +C
_hit=
trap '_hit=" signalled"' HUP INT TERM
if [ -n "$4" ] && ! cd "$4" 2>>"$1.err"; then
  _code=nowhere
else
  /bin/sh -c "$3" >>"$1.out" 2>>"$1.err" 7>&-
  _code=$?
  [ "$_code" -gt 128 ] || _hit=
fi
echo "$_code$_hit" >>"$1.job"
echo ': over' >&7
"""

# Becomes the supervisor of the job that it is told; nobody has to wait for it to start. Where nobody is left who could
# tell it of one, it ends.
_RESERVE = """exec >/dev/null 2>&1
IFS= read -r _d && read -r _b && read -r _lines || exit
_told=
while [ "$_lines" -gt 0 ]; do
  IFS= read -r _line || exit
  _told="$_told$_line
" _lines=$((_lines - 1))
done
exec </dev/null
set -- "$1" "$_d" "$_b"
eval "$_told"
eval "shift; $1"
"""

BOOT_ID = """boot_id() {
  (PATH=$PATH:/usr/sbin:/sbin; sysctl -n kernel.random.boot_id) 2>/dev/null ||
    cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown
}
"""

_PARTS = """boot= piece= reserve=
setsid=/usr/bin/setsid
[ -x "$setsid" ] || setsid=$(command -v setsid)
newline='
'
enter() {
  case $base in /*) ;; *) base=$PWD/$base ;; esac
  d=$base/jobs/$run/$job
  carried=QUARTERDECK_JOB=$mark
  p= since= was= end= starter= used=0
  b=${boot:-$(boot_id)}
}
claimed() { [ -s "$d.job" ] && read -r p since was <"$d.job"; }
ended() { [ -s "$d.job" ] && { read -r p since was && read -r end; } <"$d.job"; }
rebooted() { [ -n "$was" ] && [ "$was" != "$b" ]; }
marked() { tr '\\0' '\\n' <"/proc/$1/environ" | grep -qF "$carried"; } 2>/dev/null
lay_out() {
  own=${d%/*}
  { [ -O "$own" ] || mkdir -m 700 -p "$base/jobs" "$own"; } && [ -O "$own" ] && : >>"$d.out" && : >>"$d.err"
}
"""

# `cat <&3` goes on where the last one stopped, because they share the open file: no offset is counted on the machine.
_FOLLOW = """keep_reserve() {
  if [ "$1" = {USED} ] || ! began "$reserve"; then
    "$setsid" /bin/sh -c "$become" sh "$supervise" 7>/proc/self/fd/8 </proc/self/fd/9 >/dev/null 2>&1 8<&- 9>&- &
    reserve=$!
  fi
}
start() {
  [ -n "$setsid" ] || { echo 'setsid (util-linux, busybox) is missing' >&2; exit 1; }
  lay_out || exit 1
  case $d in *"$newline"*) reserve= ;; esac
  if [ "${#told}" -lt 4000 ] && began "$reserve" && printf '%s\\n%s\\n%s\\n%s' "$d" "$b" "$lines" "$told" >&9; then
    starter=$reserve used={USED}
  else
    {
      set -- "$setsid" /bin/sh -c "$supervise" sh "$d" "$b"
      eval "$told"
      exec "$@" 8<&- 9>&-
    } </dev/null &
    starter=$!
  fi
}
hear() {
  n=$((n + 1))
  read -r said && case $said in :*) return ;; esac
  echo exit >&7
  exit 1
}
alive() {
  if [ -n "$p" ] || claimed; then began "$p" && [ "$began" = "$since" ]; else began "$starter"; fi
}
# For whom an answer comes whole: this ends soon after there is anything, with a piece of each output.
news() { [ "$(wc -c <"$d.out")" -gt "$1" ] || [ "$(wc -c <"$d.err")" -gt "$2" ]; }
bring() {
  if [ -n "$end" ]; then
    tail -c "+$((out_at + 1))" <&3 | head -c "$piece" || exit 1
    tail -c "+$((err_at + 1))" <&4 | head -c "$piece" >&5 || exit 1
    if news "$((out_at + piece))" "$((err_at + piece))"; then end=on; fi
  elif [ "$looks" -gt "$((n + 1))" ] && news "$out_at" "$err_at"; then
    looks=$((n + 1))
  fi
}
follow() {
  exec 7>/proc/self/fd/0
  trap : PIPE  # it is told by a failed write, and goes on
  n=0 looked= said=
  enter
  claimed || {
    [ -z "$known" ] || { printf %s "$token"; printf %s "$token" >&2; finish lost; }
    start
  }
  exec 3<"$d.out" 4<"$d.err" || exit 1
  printf %s "$token"; printf %s "$token" >&2
  # From here on standard error is the job's alone: what this script's own tools may complain of is not output.
  exec 5>&2 2>/dev/null
  if [ -z "$piece" ]; then
    [ "$out_at" = 0 ] || tail -c "+$((out_at + 1))" <&3 || exit 1
    [ "$err_at" = 0 ] || tail -c "+$((err_at + 1))" <&4 >&5 || exit 1
  fi
  while :; do
    if ! ended; then
      if ! alive || { [ -z "$looked$starter" ] && rebooted; }; then
        ended || if [ -z "$p" ]; then end=unstarted; elif rebooted; then end=rebooted; else end=gone; fi
      elif [ "$n" -ge "$looks" ]; then
        end=on
      fi
      looked=1
    fi
    if [ -n "$piece" ]; then
      bring
    else
      [ ! -s "$d.out" ] || cat <&3 || exit 1
      [ ! -s "$d.err" ] || cat <&4 >&5 || exit 1
    fi
    [ -z "$end" ] || break
    hear
  done
  case $end in *signalled) ! rebooted || end=rebooted ;; esac
  [ "$end" = on ] || [ ! -e "$d.stopped" ] || end="$end stopped"
  printf '%s%s\\n' "$token" "$end" >&5
  # Whoever writes to the pipe while the shell reads its next script would spoil that: the last word is waited for.
  [ "$end" != on ] || exit 1
  while [ -n "$starter" ] && [ "$said" != ': over' ] && began "$starter"; do hear; done
  exit "$used"
}
"""

# The job's session, and what left it with setsid but still carries the mark. A process shows an empty environment for
# a moment while it executes another program, so that one look that finds nothing proves nothing.
_STOP = """nap() { sleep "$1" 2>/dev/null || sleep 1; }
finish() { printf '%s%s\\n' "$token" "$1" >&2; exit 0; }
members() {
  for f in /proc/[0-9]*/stat; do
    { read -r line <"$f"; } 2>/dev/null || continue
    id=${f#/proc/} id=${id%/stat}
    set -- ${line##*) }
    [ "$4" != "$p" ] || [ "$1" = Z ] || echo "$id"
  done
  # All at once where grep looks beyond a zero byte; busybox's does not.
  if printf 'a\\0b' | grep -qF b; then
    grep -lsF "$carried" /proc/[0-9]*/environ | while IFS=/ read -r _ _ id _; do echo "$id"; done
  else
    for f in /proc/[0-9]*; do if marked "${f#/proc/}"; then echo "${f#/proc/}"; fi; done
  fi
}
stop() {
  printf %s "$token"; printf %s "$token" >&2
  enter
  if ! claimed; then
    lay_out || exit 1
    # Claimed from here, it can never start: not even if its start is under way.
    set -C
    if { printf '0 0 %s\\nunstarted stopped\\n' "$b" >"$d.job"; } 2>/dev/null; then finish ended; fi
    set +C
    until claimed; do nap 0.02; done
  fi
  if ended || rebooted; then finish ended; fi
  : >"$d.stopped"
  n=0 quiet=0
  while [ "$quiet" -lt 2 ]; do
    found=$(members | sort -un)
    if [ -z "$found" ]; then
      quiet=$((quiet + 1))
    else
      quiet=0
      if [ "$n" = 0 ]; then kill -TERM $found; elif [ "$n" -ge 50 ]; then kill -KILL $found; fi 2>/dev/null
      [ "$n" -lt 150 ] || finish "left $(echo $found)"
    fi
    n=$((n + 1))
    nap 0.1
  done
  finish ended
}
"""

LIBRARY = (
    f"{BOOT_ID}{_BEGAN}{_PARTS}looks={LOOKS}\nsupervise={shlex.quote(_SUPERVISE)}\nbecome={shlex.quote(_RESERVE)}\n"
    + _FOLLOW.replace("{USED}", str(USED))
    + _STOP
)
"""The functions that every script calls: a machine's shell is given them first, once where it stays open.

`boot` may then be set to the machine's boot id, which a shell that stays open need not look up again. Such a shell may
run `keep_reserve` after each script, with that one's exit code, where descriptor 8 is its standard input and 9 the only
way into a pipe that nobody reads. `piece` is for where answers come only when they are whole: a job's outputs come in
pieces of at most so many bytes then, each soon after there is anything, and `on` after all but the last.
"""


@dataclass(frozen=True)
class Spec:
    """One job: `base` and `name` say where it lives, `namespace` which ledger it is for; `cwd` None: login directory.

    `known`: it has begun on the machine, and does not begin again where nothing of it is there any more.
    Raises Refused for what cannot be handed to a shell.
    """

    base: str
    namespace: str
    name: str
    command: str
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    known: bool = False

    def __post_init__(self) -> None:
        for name in self.env:
            if not _VARIABLE.fullmatch(name):
                raise Refused(f"{name!r} cannot be the name of an environment variable: letters, digits and _ only")
        if any("\0" in text for text in (self.command, self.cwd or "", *self.env.values())):
            raise Refused("a command, its directory and its environment cannot hold a zero byte")
        if len(self.command.encode()) > MAX_COMMAND:
            raise Refused(f"the command is longer than {MAX_COMMAND} bytes: put it into a script of the package")

    def _names(self, token: str) -> dict[str, str]:
        return {"base": self.base, "run": run_of(self.name), "job": self.name, "mark": self._mark, "token": token}

    @property
    def _mark(self) -> str:
        return f"{self.namespace}/{self.name}/"

    def follow(self, token: str, out_at: int, err_at: int) -> str:
        """The script that starts the job unless it has been, and follows both outputs from these offsets.

        It says how the job ended, or `on` after it has looked a few times: it is to be sent again then.
        """
        # An absolute or a dotted path is never taken for an option, for `-`, or looked up in CDPATH.
        cwd = "" if self.cwd is None else self.cwd if self.cwd.startswith("/") else f"./{self.cwd}"
        env = {"QUARTERDECK_JOB": self._mark, **self.env}
        told = f'set -- "$@" {shlex.quote(self.command)} {shlex.quote(cwd)}\n'
        told += "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
        more = {"told": told, "lines": str(told.count("\n")), "out_at": str(out_at), "err_at": str(err_at)}
        more["known"] = "known" if self.known else ""
        return whole(f"{_assigned({**self._names(token), **more})}follow\n")

    def stop(self, token: str) -> str:
        """The script that ends every process of the job: TERM, after 5 s KILL; says `ended` or `left PIDS`."""
        return whole(f"{_assigned(self._names(token))}stop </dev/null\n")


def run_of(job: str) -> str:
    """The run that a job's name begins with."""
    return job.partition("-")[0]


def whole(body: str) -> str:
    """The script that runs only if all of it arrived, as the shell that reads it ends a broken connection's.

    It changes nothing in that shell.
    """
    return f"(\n{body})\n"


def asking(command: str, token: str) -> str:
    """The script that runs `command` and frames what it prints as `Answer` wants it, its exit code as the result."""
    return whole(
        f'token={shlex.quote(token)}\nprintf %s "$token"; printf %s "$token" >&2\n'
        f'( {command}\n) </dev/null\nprintf \'%s%s\\n\' "$token" "$?" >&2\n'
    )


def _assigned(names: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in names.items())
