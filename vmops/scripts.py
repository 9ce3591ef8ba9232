"""Decides what a machine is told in order to start, follow and stop a job, and how its answer is read.

A job is a directory, `<base>/jobs/<name>`: `pid` (its session, and the claim that makes it start only once), `boot`
(the boot id it started under), `run` (the command), `out`, `err`, `exit` (a line with its exit code), and `stopped`
where somebody ended it. The scripts are for any /bin/sh (dash, busybox, bash) on Linux and need setsid.
"""

import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmops.transport import Refused, Sink

MAX_COMMAND = 128_000
"""Linux takes no single argument longer than 128 KiB, and `sh -c` takes the command as one."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

BOOT_ID = """boot_id() {
  (PATH=$PATH:/usr/sbin:/sbin; sysctl -n kernel.random.boot_id) 2>/dev/null ||
    cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown
}
"""

# Runs in a session of its own. The claim is a file that only one process can create, so that a start whose answer was
# lost can be sent again. The traps let it outlive a signal to its process group, as a shutdown sends it, and write down
# how the command ended, and that it was not by itself.
_SUPERVISE = """exec >/dev/null 2>&1
set -C; { echo $$ >"$1/pid"; } || exit; set +C
hit=
trap 'hit=" signalled"' HUP INT TERM
printf '%s\\n' "$2" >"$1/run"
if [ -n "$3" ] && ! cd "$3" 2>>"$1/err"; then
  code=nowhere
else
  /bin/sh -c "$2" >>"$1/out" 2>>"$1/err"
  code=$?
  [ "$code" -gt 128 ] || hit=
fi
echo "$code$hit" >"$1/exit"
"""

_HERE = """case $base in /*) ;; *) base=$PWD/$base ;; esac
d=$base/jobs/$job
carried=QUARTERDECK_JOB=$mark
p= end=
ended() { [ -s "$d/exit" ] && read -r end <"$d/exit"; }
claimed() { [ -s "$d/pid" ] && read -r p <"$d/pid"; }
nap() { sleep "$1" 2>/dev/null || sleep 1; }
rebooted() { was=$b; { read -r was <"$d/boot"; } 2>/dev/null; [ "$was" != "$b" ]; }
marked() { tr '\\0' '\\n' <"/proc/$1/environ" | grep -qF "$carried"; } 2>/dev/null
lay_out() { mkdir -m 700 -p "$base/jobs" "$d" && [ -O "$d" ] && : >>"$d/out" && : >>"$d/err"; }
"""

_START = """starter=
if ! claimed; then
  lay_out || exit 1
  setsid=/usr/bin/setsid
  [ -x "$setsid" ] || setsid=$(command -v setsid) || { echo 'setsid (util-linux, busybox) is missing' >&2; exit 1; }
  (
    export QUARTERDECK_JOB="$mark"
EXPORTS
    exec "$setsid" /bin/sh -c "$supervise" sh "$d" "$command" "$cwd"
  ) </dev/null &
  starter=$!
fi
b=$(boot_id)
[ -z "$starter" ] || [ -s "$d/boot" ] || echo "$b" >"$d/boot"
"""

# `cat <&3` goes on where the last one stopped, because they share the open file: no offset is counted on the machine.
_FOLLOW = """exec 3<"$d/out" 4<"$d/err" || exit 1
printf %s "$token"; printf %s "$token" >&2
# From here on standard error is the job's alone: what this script's own tools may complain of is not output.
exec 5>&2 2>/dev/null
[ "$out_at" = 0 ] || tail -c "+$((out_at + 1))" <&3 || exit 1
[ "$err_at" = 0 ] || tail -c "+$((err_at + 1))" <&4 >&5 || exit 1
alive() {
  if [ -n "$p" ] || claimed; then kill -0 "$p"; else [ -n "$starter" ] && kill -0 "$starter"; fi
}
# Whether the pid is by now another's, where the job was found started.
stale() {
  [ -z "$starter" ] && { rebooted || { [ -r "/proc/$p/environ" ] && ! marked "$p"; }; }
}
looked= n=0
while :; do
  if ! ended; then
    if ! alive || { [ -z "$looked" ] && stale; }; then
      ended || if [ -z "$p" ]; then end=unstarted; elif rebooted; then end=rebooted; else end=gone; fi
    fi
    looked=1
  fi
  [ ! -s "$d/out" ] || cat <&3 || exit 1
  [ ! -s "$d/err" ] || cat <&4 >&5 || exit 1
  [ -z "$end" ] || break
  n=$((n + 1))
  case $n in [123]) nap 0.001 ;; [456]) nap 0.01 ;; [789]) nap 0.05 ;; *) nap 0.2 ;; esac
done
case $end in *signalled) ! rebooted || end=rebooted ;; esac
[ ! -e "$d/stopped" ] || end="$end stopped"
printf '%s%s\\n' "$token" "$end" >&5
"""

# The job's session, and what left it with setsid but still carries the mark. A process shows an empty environment for
# a moment while it executes another program, so that one look that finds nothing proves nothing.
_STOP = """printf %s "$token"; printf %s "$token" >&2
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
if ! claimed; then
  lay_out || exit 1
  # Claimed from here, it can never start: not even if its start is under way.
  set -C
  if { echo 0 >"$d/pid"; } 2>/dev/null; then : >"$d/stopped"; echo unstarted >"$d/exit"; finish ended; fi
  set +C
  until claimed; do nap 0.02; done
fi
if ended; then finish ended; fi
b=$(boot_id)
if rebooted; then finish ended; fi
: >"$d/stopped"
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

    def _names(self, token: str) -> str:
        values = {"base": self.base, "job": self.name, "mark": f"{self.namespace}/{self.name}/", "token": token}
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + BOOT_ID + _HERE

    def follow(self, token: str, out_at: int, err_at: int) -> str:
        """The script that starts the job unless it has been, and follows both outputs from these offsets."""
        # An absolute or a dotted path is never taken for an option, for `-`, or looked up in CDPATH.
        cwd = "" if self.cwd is None else self.cwd if self.cwd.startswith("/") else f"./{self.cwd}"
        told = {"supervise": _SUPERVISE, "command": self.command, "cwd": cwd}
        exports = "\n".join(f"    export {name}={shlex.quote(value)}" for name, value in self.env.items())
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in told.items()]
        lines.append(f"out_at={out_at} err_at={err_at}\n")
        return whole(self._names(token) + "".join(lines) + _START.replace("EXPORTS", exports) + _FOLLOW)

    def stop(self, token: str) -> str:
        """The script that ends every process of the job: TERM, after 5 s KILL; says `ended` or `left PIDS`."""
        return whole(self._names(token) + _STOP)


def whole(body: str) -> str:
    """The script that runs only if all of it arrived: a shell that reads from a broken connection runs what it got."""
    return f"main() {{\n{body}}}\nmain\n"


def asking(command: str, token: str) -> str:
    """The script that runs `command` and frames what it prints as `Answer` wants it, its exit code as the result."""
    return whole(
        f'{BOOT_ID}token={token}\nprintf %s "$token"; printf %s "$token" >&2\n'
        f'( {command}\n)\nprintf \'%s%s\\n\' "$token" "$?" >&2\n'
    )


class Answer:
    """Reads the two streams of a script's answer: what comes before the token is noise of the login shell's.

    After the token come the bytes themselves, which go to `out` and `err`; the token again, on standard error, and the
    result end them. The token is new and random for each call, so that no output can be taken for it.
    """

    def __init__(self, out: Sink, err: Sink) -> None:
        self.token = secrets.token_hex(16)
        self.out = _Stream(self.token.encode(), out, tokens=1)
        self.err = _Stream(self.token.encode(), err, tokens=2)

    @property
    def begun(self) -> bool:
        """Whether the script was reached at all."""
        return self.err.begun

    @property
    def result(self) -> str | None:
        """What the script came to, or None while, or because, it did not tell."""
        return self.err.rest.decode().strip() if self.err.rest.endswith(b"\n") else None

    @property
    def noise(self) -> str:
        """The end of what was said on standard error before the answer began: why it never did."""
        return "" if self.begun else (self.err.noise + self.err.held).decode(errors="replace").strip()


class _Stream:
    """One stream, cut at its tokens: noise, what goes to the sink, and on standard error the rest."""

    def __init__(self, token: bytes, sink: Sink, *, tokens: int) -> None:
        self._token, self._sink, self._tokens = token, sink, tokens
        self._seen = 0
        self.held = b""
        self.noise = b""
        self.rest = b""

    @property
    def begun(self) -> bool:
        return self._seen > 0

    def __call__(self, data: bytes) -> None:
        while self._seen < self._tokens:
            before, found, data = (self.held + data).partition(self._token)
            # What may be the beginning of the token is held back until more has come.
            keep = 0 if found else _overlap(before, self._token)
            self.held = before[len(before) - keep :]
            self._take(before[: len(before) - keep])
            if not found:
                return
            self._seen += 1
        self._take(data)

    def _take(self, data: bytes) -> None:
        if not self._seen:
            self.noise = (self.noise + data)[-1000:]
        elif self._seen == 2:
            self.rest += data
        elif data:
            self._sink(data)


def _overlap(data: bytes, token: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of the token."""
    return next((n for n in range(min(len(token) - 1, len(data)), 0, -1) if token.startswith(data[-n:])), 0)
