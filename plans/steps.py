"""Decides what the steps do: the kinds that a package may use, and the union that closes over all kinds."""

from typing import Literal, TypeAlias

import msgspec

from plans.actions import Ask, Outcome, Restart
from plans.checks import Check, Healthy
from plans.comparing import Comparing
from plans.escapes import Covering, PayBack
from plans.hands import LookForHands
from plans.hooks import Hooked
from plans.inspections import TakeKeysOff
from plans.machinery import Machinery
from plans.neighbours import StartEmulator, StopEmulator
from plans.quantities import seconds
from plans.restoring import MakeAnew, RestoreRun
from plans.seeking import SearchChanged
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
        return (yield site.shell(site.language.script(self.script, self.args), self.timeout))


class FromTo(msgspec.Struct, frozen=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """`from/` puts its contents into the directory `to`; a file goes onto `to`, or into `to/`."""

    from_: str
    to: str

    def __post_init__(self) -> None:
        if not self.from_ or not self.to:
            raise ValueError("both are wanted: from, a file or folder of the package, and to, where it goes")


class Copy(OnHosts, frozen=True, tag="copy"):
    """Files of the package put in place, each written beside, checked and renamed; nothing is deleted."""

    copy: FromTo

    def actions(self, site: Site) -> Actions:
        return (yield site.shell(site.language.copy(self.copy.from_, self.copy.to), self.timeout))


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

Step: TypeAlias = (
    PackageStep | RestoreRun | MakeAnew | Check | Healthy | Covering | PayBack | SearchChanged | Comparing
    | LookForHands | StartEmulator | StopEmulator | TakeKeysOff | Machinery | Hooked
)  # fmt: skip
"""Every kind of step there is."""
