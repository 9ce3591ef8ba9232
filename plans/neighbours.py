"""Decides how an emulator is started on staging, known to be up, and stopped: it stands for what cannot come along."""

import msgspec

from plans.actions import Note, Outcome
from plans.checks import Check, Healthy, ManualCheck
from plans.quantities import Duration
from plans.site import OK, Actions, Own, Site


class Emulator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands for a neighbour on staging's hosts of the role `on`. `start` returns once it is begun."""

    name: str
    stands_for: str
    on: str
    start: str
    stop: str
    health: tuple[Check, ...]
    timeout: Duration = "1m"

    def __post_init__(self) -> None:
        if not self.health:
            raise ValueError("health is missing: how the emulator is known to be up")
        if any(isinstance(check, ManualCheck) or check.on != self.on for check in self.health):
            raise ValueError(f"health of an emulator is asked by itself where it runs: on: {self.on}")


class StartEmulator(Own, frozen=True):
    """Up on this host, and known to be: started unless it is up already."""

    emulator: Emulator

    def actions(self, site: Site) -> Actions:
        up = yield from self._asked(site, patient=False)
        if up.result == "aborted":
            return up
        if up.ok:
            yield Note(f"{self.emulator.name} is up already\n")
            return OK
        started = yield site.shell(self.emulator.start, self.emulator.timeout)
        return (yield from self._asked(site, patient=True)) if started.ok else started

    def _asked(self, site: Site, *, patient: bool) -> Actions:
        for check in self.emulator.health:
            outcome = yield from (Healthy(check) if patient else check).actions(site)
            if not outcome.ok:
                return msgspec.structs.replace(outcome, reason=f"{self.emulator.name} is not up: {outcome.reason}")
        return OK


class StopEmulator(Own, frozen=True):
    """Stopped on this host. One that does not stop spoils no verdict: it is said, and the next run's revert ends it."""

    emulator: Emulator

    def actions(self, site: Site) -> Actions:
        stopped = yield site.shell(self.emulator.stop, self.emulator.timeout)
        if stopped.ok or stopped.result == "aborted":
            return stopped
        why = stopped.reason or f"exit {stopped.exit}"
        yield Note(f"{self.emulator.name} did not stop: {why}\n")
        return Outcome("skipped", reason=f"{self.emulator.name} did not stop: {why}")
