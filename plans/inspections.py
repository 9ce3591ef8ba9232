"""Decides how developers are let in to a failed staging by their public keys, and how these are taken off again."""

import base64
import re
import shlex
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from plans.actions import Shell
from plans.calendars import OfficeHours, after
from plans.errors import Refusal
from plans.site import Actions, Own, Site

TIMEOUT = 60.0
"""Seconds for changing one file on a host."""

KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_PERSON = re.compile(r"[UW][A-Z0-9]+")


class OverSsh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose public key is where (`people`: a Slack user's id to a file), and as which user of the hosts they come in.

    Empty is the one that Quarterdeck itself logs in as.
    """

    people: dict[str, str]
    user: str = ""

    def __post_init__(self) -> None:
        if self.user and not _USER.fullmatch(self.user):
            raise ValueError(f"{self.user} is not the name of a user")
        for person in self.people:
            if not _PERSON.fullmatch(person):
                raise ValueError(f"{person} is not the id of a Slack user: one like U01DEV is wanted")


class Inspecting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a failed staging may be looked at from inside."""

    ssh: OverSsh


class TakeKeysOff(Own, frozen=True):
    """No key of an inspection is left on the host, though the revert should have taken them away; `user` as OverSsh."""

    user: str = ""

    def actions(self, site: Site) -> Actions:
        return (yield Shell(at=site.at, command=taking_off(mark(site.ledger), self.user), timeout=TIMEOUT))


def mark(ledger: str) -> str:
    """What every line in an `authorized_keys` has that is this ledger's."""
    return f"quarterdeck-inspection-{ledger}"


def closes(finished: str, length: float, hours: OfficeHours | None, timezone: ZoneInfo) -> datetime:
    """When the look at a staging ends whose rehearsal failed then (ISO 8601): after so many seconds of office hours."""
    return after(datetime.fromisoformat(finished), length, hours, timezone)


def public_key(text: str, person: str) -> str:
    """The kind and the key of a file like id_ed25519.pub, without its comment. Raises Refusal `bad_key`."""
    lines = [line for line in text.splitlines() if line.strip()]
    words = lines[0].split() if len(lines) == 1 else []
    if len(words) < 2 or words[0] not in KINDS or not _is_of_kind(words[1], words[0]):
        raise Refusal(
            "bad_key",
            f"The key of <@{person}> is not one line that begins with {', '.join(KINDS[:3])} or the like, and the key.",
            "Put the public half there, as ssh-keygen writes it: a .pub file, without options.",
        )
    return " ".join(words[:2])


def letting_in(keys: dict[str, str], of: str, run: int, user: str) -> str:
    """The command that puts keys (of `public_key`, by person) in place of those of this mark: at once, and of nothing
    else. They give a terminal and commands, and no tunnel into or out of the isolated network.
    """
    lines = [f"restrict,pty {key} {of}-run-{run}-{person}" for person, key in keys.items()]
    return _as(user, f"mark={shlex.quote(of)} keys={shlex.quote(chr(10).join(lines))}\n{_PUT}")


def taking_off(of: str, user: str) -> str:
    """The command that takes every line of this mark off, and changes nothing where there is none."""
    return _as(user, f"mark={shlex.quote(of)} keys=\n{_PUT}")


def way_in(host: str, address: str, port: int, user: str, gateway: str) -> str:
    """What a developer types to get in to a host; `gateway` as host:port, empty where there is none."""
    command = ["ssh", *(["-J", gateway] if gateway else []), *(["-p", str(port)] if port != 22 else [])]
    return f"{host}: {shlex.join([*command, f'{user}@{address}'])}"


def _is_of_kind(key: str, kind: str) -> bool:
    """Whether a key begins as its kind does: with its name, after the name's length in four bytes."""
    try:
        data = base64.b64decode(key, validate=True)
    except ValueError:
        return False
    return len(data) > len(kind) + 4 and data[: len(kind) + 4] == len(kind).to_bytes(4, "big") + kind.encode()


# sshd reads the file at every login: it is never seen half written, and a link is somebody else's to follow.
_PUT = """set -eu
umask 077
file=$HOME/.ssh/authorized_keys
if [ -z "$keys" ] && ! grep -qsF -- "$mark" "$file"; then exit 0; fi
if [ -L "$file" ]; then echo "$file is a link: keys are managed elsewhere here" >&2; exit 1; fi
mkdir -p -- "$HOME/.ssh"
new=$file.quarterdeck-new
{
  if [ -f "$file" ]; then grep -vF -- "$mark" "$file" || [ $? = 1 ]; fi
  if [ -n "$keys" ]; then printf '%s\\n' "$keys"; fi
} >"$new"
mv -f -- "$new" "$file"
"""


def _as(user: str, script: str) -> str:
    """A script of /bin/sh as another user of the host, through sudo where that is not the one who logs in."""
    if not user:
        return script
    run = f"/bin/sh -c {shlex.quote(script)}"
    return f'if [ "$(id -un)" = {shlex.quote(user)} ]; then {run}; else sudo -n -H -u {shlex.quote(user)} {run}; fi'
