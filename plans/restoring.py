"""Decides what the steps do that put prod's data on staging, and how old what they restored was."""

import re
from typing import Any, Literal, TypeAlias

import msgspec

from plans.actions import At, Cloned, EndFormer, Outcome, PutClone, Record, TakeCloneBack
from plans.events import MachineReplaced, RestoreMeasured, SnapshotRemoved
from plans.isolation import Isolation
from plans.machinery import Answer, PowerOn, ProveIsolation
from plans.quantities import Duration, seconds, spell
from plans.records import Attested
from plans.site import OK, Actions, OnHosts, Site

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


class CloneFrom(msgspec.Struct, frozen=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """`from`: a host of the app's prod, or a VM's name, path or instance UUID in the same vCenter.

    `snapshot`: `fresh` is taken for the clone and removed after it; `latest` is whichever stands there.
    """

    from_: str
    snapshot: Literal["fresh", "latest"] = "fresh"


class RestoreClone(OnHosts, frozen=True, kw_only=True, tag="clone"):
    """The VM made anew from another one's snapshot."""

    clone: CloneFrom
    timeout: Duration = "4h"


RestoreStep: TypeAlias = RestoreRun | RestoreClone
"""What the configuration may say under `restore:`."""


class MakeAnew(msgspec.Struct, frozen=True, kw_only=True):
    """A host's VM replaced by a clone of its source; the VM before it is destroyed when the clone answers, not earlier.

    The clone is proved isolated before it is powered on. Where anything goes wrong, the VM before it is put back.
    `sources`: by host; `older`: our snapshots of the VMs, which go with them. A run that starts over (`restarts`)
    makes its clone another time.
    """

    name: str
    sources: dict[str, At | str]
    snapshot: Literal["fresh", "latest"]
    timeout: Duration
    isolation: Isolation
    attested: Attested | None
    older: dict[str, tuple[str, ...]]
    restarts: int = 0

    def actions(self, site: Site) -> Actions:
        host = site.host or ""
        again = f".{self.restarts}" if self.restarts else ""
        token = f"quarterdeck-{site.ledger}-run-{site.run}{again}-{host.replace('/', '-')}"
        put = yield PutClone(site.at, self.sources[host], self.snapshot, token, seconds(self.timeout))
        if not put.ok:
            return (yield from self._back(site, token, put))
        clone: Cloned = put.value
        where: dict[str, Any] = {"run": site.run, "environment": site.environment, "host": host}
        yield Record(MachineReplaced(**where, old=clone.before, new=clone.identity))
        proof = ProveIsolation(hosts=(host,), isolation=self.isolation, attested=self.attested)
        for step in (proof, PowerOn(), Answer()):
            ended = yield from step.actions(site)
            if not ended.ok:
                return (yield from self._back(site, token, ended))
        gone = yield EndFormer(site.at, token)
        for reference in self.older.get(host, ()):  # the VM of that name has none of them any more
            yield Record(SnapshotRemoved(**where, snapshot=reference))
        if not gone.ok:
            why = f"the clone is in place and answers, but the VM before it, {token}-before, is left: {gone.reason}"
            return Outcome(gone.result, reason=why)
        age, took = max(0.0, round(put.ended - clone.as_of, 3)), round(gone.ended - gone.began, 3)
        yield Record(RestoreMeasured(run=site.run, host=host, name=self.name, artifact_age_seconds=age, seconds=took))
        return OK

    def _back(self, site: Site, token: str, ended: Outcome) -> Actions:
        back = yield TakeCloneBack(site.at, self.sources[site.host or ""], token)
        left = "the VM before it is in its place again" if back.ok else f"it could not be taken back: {back.reason}"
        return Outcome(ended.result, reason=f"{ended.reason}; {left}")


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
