"""Keeps its own small books of what was said and done, to know by itself which of prod's gates are shut."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from plans import events as e
from plans import rule_events as r
from plans.environment import Policy

PROD = "prod"
FORGIVING = frozenset({"frozen", "rehearsal_too_old", "approvals_missing"})
PASSING = frozenset({"approvals_missing", "frozen", "locked", "busy"})


@dataclass
class Known:
    """What was heard of a run. `outcomes`: the latest of each host, by step; `tainted`: it cannot be clean any more."""

    started: e.RunStarted
    at: datetime
    by: str
    phase: str = ""
    touched: bool = False
    tainted: bool = False
    verdict: str = ""
    finished: datetime | None = None
    prod: dict[str, str] = field(default_factory=dict)
    outcomes: dict[tuple[int, str], str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.verdict and self.phase != "watch" and self.started.kind != "lookout"


class Doors:
    """Hears every record. `plans`: the digest of what a rehearsal would be made of now; `calendar`: from when until
    when promotions are frozen by it."""

    def __init__(self, policy: Policy, plans: Callable[[], str], calendar: tuple[datetime, datetime]) -> None:
        self.runs: dict[int, Known] = {}
        self._policy, self._plans, self._calendar = policy, plans, calendar
        self._handed_off: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._withdrawn: set[str] = set()
        self._defective: set[str] = set()
        self._locked: set[str] = set()
        self._frozen: e.FreezeSet | None = None
        self._said: dict[str, tuple[str, str]] = {}
        self._yes: dict[str, dict[str, datetime]] = {}
        self._no: set[str] = set()
        self._open: dict[int, set[str]] = {}
        self._escaped: dict[str, dict[str, str]] = {}
        self._by_hand = datetime.min.replace(tzinfo=UTC)
        self._seen: tuple[int, dict[str, str]] | None = None
        self._deployed: list[str] = []

    def shut(self, name: str, by: str, now: datetime) -> frozenset[str]:
        """The codes of the gates that are shut for that release and person now."""
        found = {
            "withdrawn": name in self._withdrawn,
            "defective": name in self._defective,
            "not_rehearsed": name not in self._counts,
            "older_than_prod": bool(self._deployed[-1:]) and _number(self._deployed[-1]) > _number(name),
            "escape_open": any(tried.get(name) != "ok" for tried in self._escaped.values()),
            "same_person": by == self._handed_off[name],
            "approvals_missing": self._missing(name, by, now),
            "frozen": self._is_frozen(now),
            "locked": PROD in self._locked,
            "busy": any(run.holds and run.started.environment == PROD for run in self.runs.values()),
            **(self._of_rehearsal(name, self._counts[name], now) if name in self._counts else {}),
        }
        return frozenset(code for code, holds in found.items() if holds)

    def _of_rehearsal(self, name: str, number: int, now: datetime) -> dict[str, bool]:
        run = self.runs[number]
        assert run.finished is not None
        return {
            "rehearsal_failed": run.verdict == "failed",
            "rehearsal_not_clean": run.tainted,
            "rehearsal_too_old": now - run.finished > timedelta(days=7),
            "differences_open": bool(self._open.get(number)),
            "plans_changed_since": run.started.plans != self._plans(),
            "prod_changed_since": self._by_hand > run.at or self._has_moved(name, run),
        }

    def _has_moved(self, name: str, rehearsal: Known) -> bool:
        """Whether prod, as it was last seen by another run, is not what that rehearsal saw."""
        if self._seen is None or self._seen[0] == rehearsal.started.run or self._tried_before(name):
            return False
        return any(self._seen[1].get(fact, then) != then for fact, then in rehearsal.prod.items())

    def _tried_before(self, name: str) -> bool:
        """Whether prod is as a promotion of this very release has left it."""
        for run in reversed(self.runs.values()):
            if run.touched and run.started.environment == PROD:
                back = run.started.kind != "promotion" and run.verdict == "passed"
                if run.started.release != name or back:
                    return False
                if run.started.kind == "promotion" and run.verdict:
                    return True
        return False

    def _missing(self, name: str, by: str, now: datetime) -> bool:
        lasts, count = timedelta(days=1), 0
        if self._said.get(name) == (_DIGEST, self._plans() if name in self._counts else ""):
            young = {who for who, at in self._yes[name].items() if now - at < lasts}
            count = len(young - {by, self._handed_off[name]})
        return bool(self._policy.approvals) and (name in self._no or count < self._policy.approvals)

    def _is_frozen(self, now: datetime) -> bool:
        begins, ends = self._calendar
        until = self._frozen.until if self._frozen else None
        by_word = self._frozen is not None and (until is None or now < datetime.fromisoformat(until))
        return by_word or begins <= now < ends

    def hear(self, entry: e.Entry) -> None:
        at = datetime.fromisoformat(entry.at)
        self._hear_of_runs(entry, at)
        self._hear_of_release(entry)
        match entry.event:
            case e.EnvironmentLocked(environment=name):
                self._locked.add(name)
            case e.EnvironmentUnlocked(environment=name):
                self._locked.discard(name)
            case e.FreezeSet() as frozen:
                self._frozen = frozen
            case e.FreezeLifted():
                self._frozen = None
            case r.EscapeRecorded(escape=name):
                self._escaped[name] = {}
            case r.EscapeTried(escape=name, release=release, outcome=outcome) if name in self._escaped:
                self._escaped[name][release] = outcome
            case r.EscapeClosed(escape=name):
                self._escaped.pop(name, None)
            case r.ChangeOutside():
                self._by_hand = at
            case e.ApprovalGiven() | r.ApprovalAsked() | r.ApprovalRefused():
                self._hear_a_word(entry, at)

    def _hear_of_release(self, entry: e.Entry) -> None:
        match entry.event:
            case e.PackageHandedOff(release=name):
                self._handed_off[name] = entry.by
            case e.ReleaseWithdrawn(release=name):
                self._withdrawn.add(name)
            case e.ReleaseDefective(release=name):
                self._defective.add(name)
            case r.DifferenceFound(run=number, key=key):
                self._open.setdefault(number, set()).add(key)
            case r.DifferenceDisposed(run=number, key=key):
                self._open[number].discard(key)

    def _hear_a_word(self, entry: e.Entry, at: datetime) -> None:
        """A yes is of certain bytes and plans; one of others, or a no, leaves nothing of those before."""
        said = entry.event
        if isinstance(said, r.ApprovalRefused):
            self._yes[said.release] = {}
            self._no.add(said.release)
            return
        assert isinstance(said, e.ApprovalGiven | r.ApprovalAsked)
        if self._said.get(said.release) != (said.digest, said.plans):
            self._yes[said.release] = {}
        self._no.discard(said.release)
        self._said[said.release] = (said.digest, said.plans)
        if isinstance(said, e.ApprovalGiven):
            self._yes[said.release][entry.by] = at

    def _hear_of_runs(self, entry: e.Entry, at: datetime) -> None:
        match entry.event:
            case e.RunStarted(run=number) as started:
                self.runs[number] = Known(started, at, entry.by)
            case e.StepStarted(run=number, step=step, host=host, phase=phase):
                run = self.runs[number]
                run.outcomes[step, host or ""] = ""
                if run.started.kind == "promotion" and run.phase == "deploy" != phase:
                    self._is_on_prod(run)
                run.phase, run.touched = phase, run.touched or phase in ("deploy", "rollback", "revert")
            case e.StepFinished(run=number, step=step, host=host, outcome=outcome):
                self.runs[number].outcomes[step, host or ""] = outcome
            case e.RunDecided(run=number, step=step, choice=choice):
                self._hear_an_answer(self.runs[number], step, choice)
            case r.HandSeen(run=number):
                self.runs[number].tainted = True
            case e.RunRestarted(run=number):
                self.runs[number].outcomes.clear()
            case e.FactsCollected(run=number, environment="prod", digests=digests):
                run = self.runs[number]
                run.prod |= digests if run.phase == "confirm" else {}
                self._seen = (number, digests)
            case e.RunFinished(run=number, verdict=verdict):
                run = self.runs[number]
                run.verdict, run.finished = verdict, at
                if run.started.kind == "rehearsal" and verdict in ("passed", "failed"):
                    self._counts[run.started.release or ""] = number
                if run.started.kind in ("promotion", "rollback", "revert") and verdict == "passed":
                    self._is_on_prod(run)

    def _hear_an_answer(self, run: Known, step: int, choice: str) -> None:
        theirs = {key: outcome for key, outcome in run.outcomes.items() if key[0] == step}
        if choice == "skip" or (choice == "retry" and "failed" in theirs.values()) or choice == "done_with_help":
            run.tainted |= bool(theirs)
        if choice == "skip":
            bad = {key: "skipped" for key, outcome in theirs.items() if outcome != "ok"}
            run.outcomes |= bad

    def _is_on_prod(self, run: Known) -> None:
        name = run.started.release or ""
        self._deployed = [one for one in self._deployed if one != name]
        if run.started.kind == "promotion":
            self._deployed.append(name)


_DIGEST = "d" * 64


def _number(release: str) -> int:
    return int(release.removeprefix("R-"))
