"""Decides how an escaped defect is paid back: by a check that names it, and that passes on the next release."""

import re

import msgspec

from plans.actions import Record
from plans.checks import Check
from plans.rule_events import EscapeClosed, EscapeTried
from plans.site import OK, Actions, Own, Site

_NAMED = re.compile(r"E-[0-9]{1,9}")


def escapes_of(check: Check) -> tuple[str, ...]:
    """The escaped defects that a check names (`covers: [E-1]`)."""
    return tuple(name for name in check.covers if _NAMED.fullmatch(name))


class Covering(msgspec.Struct, frozen=True):
    """A check that names escaped defects, in a rehearsal: what it says of this release is written down for each."""

    check: Check

    def actions(self, site: Site) -> Actions:
        outcome = yield from self.check.actions(site)
        if outcome.result in ("ok", "failed"):
            for name in escapes_of(self.check):
                said = EscapeTried(
                    escape=name, run=site.run, release=site.release, check=self.check.name, outcome=outcome.result
                )
                yield Record(said)
        return outcome


class PayBack(Own, frozen=True):
    """The release that a promotion has brought to prod passed the checks that name these: they are closed."""

    escapes: tuple[tuple[str, str], ...]

    def actions(self, site: Site) -> Actions:
        for name, check in self.escapes:
            yield Record(EscapeClosed(escape=name, how="check", release=site.release, check=check, reason=""))
        return OK
