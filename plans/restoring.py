"""Decides what the steps do that put prod's data on staging, and how old what they restored was."""

import re
from typing import TypeAlias

from plans.actions import Outcome, Record
from plans.events import RestoreMeasured
from plans.quantities import Duration, seconds, spell
from plans.site import Actions, OnHosts, Site

ASKING: Duration = "1m"
"""The time that a command has to tell an artifact's age."""

SKEW = 300.0
"""Seconds that an artifact may be in the future: two clocks never agree."""

_SINCE_1970 = re.compile(r"[0-9]{9,11}(\.[0-9]+)?")
_DURATION = re.compile(r"[0-9]{1,6}(ms|s|m|h|d)")


class RestoreRun(OnHosts, frozen=True, tag="run"):
    """A command line that restores; how long it took is written down.

    `artifact_age`: a command that is run there after it, and prints as its last line either when what was restored was
    made, in seconds since 1970 (`date -r FILE +%s`, `stat -c %Y FILE`), or how old it is (`26h`).
    """

    run: str
    artifact_age: str = ""

    def actions(self, site: Site) -> Actions:
        restored = yield site.shell(self.run, self.timeout)
        if not restored.ok:
            return restored
        age = None
        if self.artifact_age:
            told = yield site.shell(self.artifact_age, ASKING)
            age = artifact_age(told)
            if age is None:
                return told if told.result == "aborted" else _untold(told)
        took = round(restored.ended - restored.began, 3)
        event = RestoreMeasured(
            run=site.run, host=site.host or "", name=self.name, artifact_age_seconds=age, seconds=took
        )
        yield Record(event)
        return restored


RestoreStep: TypeAlias = RestoreRun


def artifact_age(told: Outcome) -> float | None:
    """Seconds, from what a command for `artifact_age` printed; None where it told none."""
    lines = told.output.split()
    last = lines[-1] if told.ok and lines else ""
    if _DURATION.fullmatch(last):
        return seconds(last)
    if not _SINCE_1970.fullmatch(last) or float(last) > told.ended + SKEW:
        return None
    return round(max(0.0, told.ended - float(last)), 3)


def _untold(told: Outcome) -> Outcome:
    """Restored, but from what?"""
    said = told.output.strip()
    wanted = "artifact_age must print seconds since 1970, or a duration like 26h"
    if not told.ok:
        why = told.reason
    elif _SINCE_1970.fullmatch(said):
        why = f"it says that its artifact is {spell(float(said) - told.ended)} in the future: compare the clocks"
    else:
        why = f"it printed “{said[-80:]}”" if said else "it printed nothing"
    return Outcome("errored", exit=told.exit, output=told.output, reason=f"restored, but {wanted}: {why}")
