"""Decides what the steps do: the kinds that a package may use, and the union that closes over all kinds."""

import shlex
from typing import Literal, TypeAlias

import msgspec

from plans.actions import Ask, Outcome, Restart
from plans.checks import Check, Healthy
from plans.machinery import Machinery
from plans.quantities import seconds
from plans.restoring import MakeAnew, RestoreRun
from plans.site import OK, Actions, OnHosts, Site, Written


class Run(OnHosts, frozen=True, tag="run"):
    """A command line for the shell."""

    run: str

    def actions(self, site: Site) -> Actions:
        return (yield site.shell(self.run, self.timeout))


class Script(OnHosts, frozen=True, tag="script"):
    """A script of the package, with arguments that reach it as they are."""

    script: str
    args: tuple[str, ...] = ()

    def actions(self, site: Site) -> Actions:
        command = shlex.join([f"./{self.script}", *self.args])
        return (yield site.shell(f"exec {command}", self.timeout))


class FromTo(msgspec.Struct, frozen=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """`from/` puts its contents into the directory `to`; a file goes onto `to`, or into `to/`."""

    from_: str
    to: str

    def __post_init__(self) -> None:
        if not self.from_ or not self.to:
            raise ValueError("both are wanted: from, a file or folder of the package, and to, where it goes")


_PUT = """set -eu
from=$1 to=$2
shift 2
for file do
  target=$to${file#"$from"}
  new=$target.quarterdeck-new
  if [ -d "$target" ]; then echo "$target is a folder: to put a file into it, write $target/" >&2; exit 1; fi
  mkdir -p -- "${target%/*}/"
  rm -f -- "$new"
  cp -- "$file" "$new"
  a=$(sha256sum < "$file"); b=$(sha256sum < "$new")
  [ "$a" = "$b" ] || { echo "$target: what was written is not what was sent" >&2; exit 1; }
  if [ -x "$file" ]; then chmod +x -- "$new"; fi
  mv -f -- "$new" "$target"
  printf '%s\\n' "$target"
done
"""
_COPY = f"""set -eu
case $to in /*) ;; *) to=$HOME/$to ;; esac
if [ -d "$from" ]; then
  from=${{from%/}} to=${{to%/}}
  mkdir -p -- "$to/"
else
  case $to in */) to=$to${{from##*/}} ;; esac
fi
find "$from" -type f -exec /bin/sh -c {shlex.quote(_PUT)} sh "$from" "$to" {{}} +
"""


class Copy(OnHosts, frozen=True, tag="copy"):
    """Files of the package put in place, each written beside, checked and renamed; nothing is deleted."""

    copy: FromTo

    def actions(self, site: Site) -> Actions:
        names = f"from={shlex.quote('./' + self.copy.from_)}\nto={shlex.quote(self.copy.to)}\n"
        return (yield site.shell(names + _COPY, self.timeout))


class Reboot(OnHosts, frozen=True, tag="reboot"):
    """The host restarted from inside; ok when it answers again after a new boot."""

    reboot: Literal[True, "true"]

    def actions(self, site: Site) -> Actions:
        return (yield Restart(site.at, seconds(self.timeout)))


class Manual(Written, frozen=True, tag="manual"):
    """Something a person does; an admin answers for it."""

    manual: str

    def actions(self, site: Site) -> Actions:
        answer = yield Ask(self.manual, ("done", "done_with_help", "failed"), "admins")
        if not answer.ok:
            return answer
        if answer.value == "failed":
            return Outcome("failed", reason=answer.reason or "said to have failed")
        return OK


PackageStep: TypeAlias = Run | Script | Copy | Reboot | Manual
"""What a package may be made of. A new kind is a class above and its name here."""

Step: TypeAlias = PackageStep | RestoreRun | MakeAnew | Check | Healthy | Machinery
"""Every kind of step there is."""
