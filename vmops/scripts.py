"""Decides what a machine is told in order to start, follow and stop a job.

A job is a few files, `<base>/jobs/<run>/<name>.*`, where the run is what its name begins with: `pid` (its session, and
the claim that makes it start only once), `boot` (the boot id it started under), `run` (the command), `out`, `err`,
`exit` (a line with its exit code), and `stopped` where somebody ended it. The scripts are for any /bin/sh (dash,
busybox, bash) on Linux and need setsid and /proc.

Another process costs more than all else that a step needs. So none makes a directory for each job, and none passes the
time: the shell that follows reads its own standard input, a pipe, where the transport says now and then that time has
passed, and the job that it has ended.
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

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Runs in a session of its own. The claim is a file that only one process can create, so that a start whose answer was
# lost can be sent again. The traps let it outlive a signal to its process group, as a shutdown sends it, and write down
# how the command ended, and that it was not by itself. Descriptor 7 wakes whoever follows.
_SUPERVISE = """exec >/dev/null 2>&1
set -C; { echo $$ >"$1.pid"; } || exit; set +C
echo "$4" >"$1.boot"
hit=
trap 'hit=" signalled"' HUP INT TERM
printf '%s\\n' "$2" >"$1.run"
if [ -n "$3" ] && ! cd "$3" 2>>"$1.err"; then
  code=nowhere
else
  /bin/sh -c "$2" >>"$1.out" 2>>"$1.err" 7>&-
  code=$?
  [ "$code" -gt 128 ] || hit=
fi
echo "$code$hit" >"$1.exit"
echo : >&7
"""

BOOT_ID = """boot_id() {
  (PATH=$PATH:/usr/sbin:/sbin; sysctl -n kernel.random.boot_id) 2>/dev/null ||
    cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown
}
"""

_PARTS = """boot= piece=
enter() {
  case $base in /*) ;; *) base=$PWD/$base ;; esac
  d=$base/jobs/$run/$job
  carried=QUARTERDECK_JOB=$mark
  p= end= starter=
  b=${boot:-$(boot_id)}
}
ended() { [ -s "$d.exit" ] && read -r end <"$d.exit"; }
claimed() { [ -s "$d.pid" ] && read -r p <"$d.pid"; }
rebooted() { was=$b; { read -r was <"$d.boot"; } 2>/dev/null; [ "$was" != "$b" ]; }
marked() { tr '\\0' '\\n' <"/proc/$1/environ" | grep -qF "$carried"; } 2>/dev/null
lay_out() {
  own=${d%/*}
  { [ -O "$own" ] || mkdir -m 700 -p "$base/jobs" "$own"; } && [ -O "$own" ] && : >>"$d.out" && : >>"$d.err"
}
"""

# `cat <&3` goes on where the last one stopped, because they share the open file: no offset is counted on the machine.
# Through descriptor 7, a pipe that it reads and all others write, come how many fifths of a second have passed.
_FOLLOW = """start() {
  setsid=/usr/bin/setsid
  [ -x "$setsid" ] || setsid=$(command -v setsid) || { echo 'setsid (util-linux, busybox) is missing' >&2; exit 1; }
  lay_out || exit 1
  {
    export QUARTERDECK_JOB="$mark"
    exports
    exec "$setsid" /bin/sh -c "$supervise" sh "$d" "$command" "$cwd" "$b"
  } </dev/null &
  starter=$!
}
hear() {
  n=$((n + 1))
  read -r said && [ "$said" = : ] && return
  echo exit >&7
  exit 1
}
alive() {
  jobs >/dev/null  # dash lets a child that has ended stand as a zombie, which kill takes for alive
  if [ -n "$p" ] || claimed; then kill -0 "$p"; else [ -n "$starter" ] && kill -0 "$starter"; fi
}
# Whether the pid is by now another's, where the job was found started.
stale() {
  [ -z "$starter" ] && { rebooted || { [ -r "/proc/$p/environ" ] && ! marked "$p"; }; }
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
  n=0 looked=
  enter
  claimed || start
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
      if ! alive || { [ -z "$looked" ] && stale; }; then
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
  # Whoever writes to the pipe while the shell reads its next script would spoil that.
  [ "$end" != on ] || exit 1
  wait
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
    if { echo 0 >"$d.pid"; } 2>/dev/null; then : >"$d.stopped"; echo unstarted >"$d.exit"; finish ended; fi
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

LIBRARY = f"{BOOT_ID}{_PARTS}supervise={shlex.quote(_SUPERVISE)}\nlooks={LOOKS}\n{_FOLLOW}{_STOP}"
"""The functions that every script calls: a machine's shell is given them first, once where it stays open.

Then `boot` may be set to the machine's boot id, which a shell that stays open need not look up again; and `piece` where
answers come through only when they are whole: then a job's outputs come in pieces of at most so many bytes, each soon
after there is anything, and `on` after all but the last.
"""


@dataclass(frozen=True)
class Spec:
    """One job: `base` and `name` say where it lives, `namespace` which ledger it is for; `cwd` None: login directory.

    Raises Refused for what cannot be handed to a shell.
    """

    base: str
    namespace: str
    name: str
    command: str
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.env:
            if not _VARIABLE.fullmatch(name):
                raise Refused(f"{name!r} cannot be the name of an environment variable: letters, digits and _ only")
        if any("\0" in text for text in (self.command, self.cwd or "", *self.env.values())):
            raise Refused("a command, its directory and its environment cannot hold a zero byte")
        if len(self.command.encode()) > MAX_COMMAND:
            raise Refused(f"the command is longer than {MAX_COMMAND} bytes: put it into a script of the package")

    def _names(self, token: str) -> dict[str, str]:
        mark = f"{self.namespace}/{self.name}/"
        return {"base": self.base, "run": run_of(self.name), "job": self.name, "mark": mark, "token": token}

    def follow(self, token: str, out_at: int, err_at: int) -> str:
        """The script that starts the job unless it has been, and follows both outputs from these offsets.

        It says how the job ended, or `on` after it has looked a few times: it is to be sent again then.
        """
        # An absolute or a dotted path is never taken for an option, for `-`, or looked up in CDPATH.
        cwd = "" if self.cwd is None else self.cwd if self.cwd.startswith("/") else f"./{self.cwd}"
        told = {**self._names(token), "command": self.command, "cwd": cwd, "out_at": str(out_at), "err_at": str(err_at)}
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items())
        return whole(f"{_assigned(told)}exports() {{\n:\n{exports}}}\nfollow\n")

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
