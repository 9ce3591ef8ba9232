"""Decides what the steps do: the kinds that a package may use, and the union that closes over all kinds."""

import shlex
from typing import Literal, TypeAlias

import msgspec

from plans.actions import Ask, Outcome, Restart
from plans.checks import Check
from plans.machinery import Machinery
from plans.quantities import seconds
from plans.site import OK, Actions, Site, Written


class OnHosts(Written, frozen=True):
    """A step that machines do: it says on which."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on:
            raise ValueError("`on:` is missing: the role of the hosts to run this on")


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


_COPY = """set -eu
put() {
  mkdir -p -- "$(dirname -- "$2")"
  cp -- "$1" "$2.quarterdeck-new"
  a=$(sha256sum < "$1"); b=$(sha256sum < "$2.quarterdeck-new")
  [ "$a" = "$b" ] || { echo "$2: what was written is not what was sent" >&2; exit 1; }
  if [ -x "$1" ]; then chmod +x -- "$2.quarterdeck-new"; fi
  mv -f -- "$2.quarterdeck-new" "$2"
  echo "$2"
}
case $to in /*) ;; *) to="$HOME/$to" ;; esac
if [ -d "$from" ]; then
  mkdir -p -- "$to"
  find "$from" -type f | while IFS= read -r file; do put "$file" "${to%/}/${file#"${from%/}"/}"; done
else
  case $to in */) to="$to${from##*/}" ;; esac
  put "$from" "$to"
fi
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
        if answer.value == "failed":
            return Outcome("failed", reason=answer.reason or "said to have failed")
        return OK


PackageStep: TypeAlias = Run | Script | Copy | Reboot | Manual
"""What a package may be made of. A new kind is a class above and its name here."""

Step: TypeAlias = PackageStep | Check | Machinery
"""Every kind of step there is."""
