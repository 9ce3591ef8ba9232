"""Decides what a machine is asked in the language of its shell: what each language must be able to say, and /bin/sh's.

`vmops.powershell` has the other one.
"""

import shlex
from typing import Protocol

from vmops import login_scripts
from vmops.scripts import BOOT_ID, Spec, asking

# OpenSSL's uses the processor's own instructions, which coreutils' as Debian builds it does not: four times as fast.
_DIGEST = """digest() (
  exec <"$1" || exit
  is=$({ openssl dgst -r -sha256 || sha256sum || shasum -a 256; } 2>/dev/null) ||
    { echo 'neither openssl nor sha256sum nor shasum here to check a file with' >&2; exit 1; }
  echo "${is%% *}"
)
"""

_PLACE = (
    """if [ -f "$to" ] && [ "$(digest "$to")" = "$wanted" ]; then echo same; else mkdir -p "$(dirname "$to")"; fi"""
)

# One that is being run or read stays whole: the name changes hands at once.
_TAKE = """is=$(digest "$beside") || { rm -f "$beside"; exit 1; }
if [ "$is" = "$wanted" ]; then mv -f "$beside" "$to"; else rm "$beside"; echo "$is"; fi"""

_RESTART = (
    BOOT_ID
    + """boot_id && sync || exit
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" = 0 ]; then exec reboot; fi
sudo -n reboot || systemctl reboot
"""
)


class Language(Protocol):
    """Scripts whose answers `vmops.answers` reads, and short commands for `asking`; all paths are taken literally.

    In each, the command `boot_id` prints what no two boots have in common.
    """

    restart: str
    """The command that prints the boot that it ends, and ends it."""

    clock: str
    """The command that prints the seconds since 1970."""

    def follow(self, spec: Spec, token: str, out_at: int, err_at: int) -> str:
        """The script that starts the job unless it has been, and follows both outputs from these offsets."""
        ...

    def stop(self, spec: Spec, token: str) -> str:
        """The script that ends every process of the job; says `ended` or `left PIDS`."""
        ...

    def asking(self, command: str, token: str) -> str:
        """The script that runs a short command, and tells its exit code as the result."""
        ...

    def logins(self, ago: int) -> str:
        """The command that prints who logged in in the last so many seconds (see `vmops.login_scripts`)."""
        ...

    def digest(self, path: str) -> str:
        """The command that prints the file's SHA-256 (hex)."""
        ...

    def place(self, to: str, digest: str) -> str:
        """The command that prints `same` where the file with that SHA-256 is there, or makes a directory for it."""
        ...

    def take(self, beside: str, to: str, digest: str) -> str:
        """The command that renames a file with that SHA-256, or removes another one and prints its own."""
        ...


class Sh:
    """For any /bin/sh on Linux."""

    restart = _RESTART
    clock = "date +%s"

    def follow(self, spec: Spec, token: str, out_at: int, err_at: int) -> str:
        return spec.follow(token, out_at, err_at)

    def stop(self, spec: Spec, token: str) -> str:
        return spec.stop(token)

    def asking(self, command: str, token: str) -> str:
        return asking(command, token)

    def logins(self, ago: int) -> str:
        return f"ago={ago}\n{login_scripts.SH}"

    def digest(self, path: str) -> str:
        return f"{_DIGEST}digest {shlex.quote(plain(path))}"

    def place(self, to: str, digest: str) -> str:
        return f"{_DIGEST}to={shlex.quote(plain(to))} wanted={shlex.quote(digest)}\n{_PLACE}"

    def take(self, beside: str, to: str, digest: str) -> str:
        names = f"to={shlex.quote(plain(to))} beside={shlex.quote(plain(beside))} wanted={shlex.quote(digest)}\n"
        return f"{_DIGEST}{names}{_TAKE}"


def plain(path: str) -> str:
    """A path that no command takes for an option."""
    return path if path.startswith("/") else f"./{path}"


SH = Sh()
