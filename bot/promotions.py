"""Touches prod's door: gathers what the gates look at, and starts, schedules or rolls back what they let through."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from bot.board import Board
from bot.config import Settings
from bot.ledger import stamp
from bot.material import Materials
from bot.objections import refuse_late
from bot.runs import Runs
from plans.calendars import frozen
from plans.errors import Refusal
from plans.events import PromotionRefused, PromotionScheduled, PromotionUnscheduled
from plans.gates import EMERGENCY_OPENS, Case, Gate, Moved, gates, moved
from plans.quantities import seconds, spell
from plans.records import CHANGE_PROD, WAYS_BACK, EnvironmentState, Freeze, Release, Run
from plans.reverting import no_snapshot, price
from plans.rule_events import ApprovalAsked, PromotionForced, PromotionLeft
from plans.rule_folds import forced
from plans.rule_records import Approval, Difference, Escape, Outside, Review
from vmops.perform import Performer

TIME_OPENS = frozenset({"approvals_missing", "frozen", "locked", "busy"})
"""Gates that may open by themselves before a later promotion is due; they do not forbid to schedule it."""

WINDOW = 900.0
"""Seconds by which a later promotion may be late, because the bot was off, and still be started."""


class Promotions:
    def __init__(
        self, board: Board, settings: Settings, materials: Materials, performer: Performer, runs: Runs
    ) -> None:
        self._board = board
        self._settings = settings
        self._materials = materials
        self._performer = performer
        self._runs = runs

    def gates(self, name: str, *, by: str, machines: tuple[str, ...] = ()) -> tuple[Gate, ...]:
        """Every gate of a release for a promotion by that user, judged by what is recorded; no host is touched."""
        with self._board.deciding:
            release = self._board.release(name)
            prod = self.prod(release)
            rehearsal = self._board.run(release.rehearsal) if release.rehearsal else None
            state = self._board.environment(prod)
            deployed = state.deployed.get(release.app, ())
            later = [other for other in deployed[-1:] if self._board.release(other).number > release.number]
            case = Case(
                release=release,
                rehearsal=rehearsal,
                prod=state,
                policy=self._settings.policy,
                plans=self.plans(name),
                by=by,
                now=self._board.now(),
                freeze=next(self._board.table(Freeze), None),
                busy=self._runs.holder(prod, machines),
                later=later[0] if later else None,
                calendar=self._calendar(),
                moved=self._moved(release, state),
                outside=next((o for o in self._board.table(Outside) if o.environment == prod), None),
                differences=self._differences(rehearsal),
                approval=next((a for a in self._board.table(Approval) if a.release == name), None),
                escapes=tuple(e for e in self._board.table(Escape) if e.app == release.app and not e.paid(release.id)),
            )
            return gates(case)

    def plans(self, name: str) -> str:
        """The digest of what the release's rehearsal was made of, as it is now; empty where it was not rehearsed."""
        number = self._board.release(name).rehearsal
        return self._materials.digest(self._board.run(number)) if number else ""

    def _calendar(self) -> tuple[str, datetime] | None:
        found = frozen(self._settings.policy.freezes, self._board.now(), self._settings.timezone)
        return (found[0].reason, found[1]) if found else None

    def _moved(self, release: Release, prod: EnvironmentState) -> Moved | None:
        number = self._materials.baseline(release.id, prod.name)
        if number is None:
            return None
        facts = self._settings.apps[release.app].facts
        warn = {fact.name for fact in facts if fact.change == "warn"}
        return moved(self._board.run(number), prod, release.app, warn)

    def _differences(self, rehearsal: Run | None) -> tuple[Difference, ...]:
        """What the rehearsal pointed out and somebody must dispose of."""
        found = self._board.table(Difference)
        return tuple(d for d in found if rehearsal is not None and d.run == rehearsal.number)

    def prod(self, release: Release) -> str:
        """The environment that a release is promoted to. Raises Refusal where its app is not configured any more."""
        app = self._settings.apps.get(release.app)
        if app is None:
            raise Refusal(
                "unknown_app",
                f"{release.id} is of {release.app}, which the configuration does not have.",
                "An admin adds it under apps: in the configuration.",
            )
        return app.prod

    def promote(self, name: str, *, by: str, emergency: str = "", since: int | None = None, scheduled: str = "") -> Run:
        """Starts the promotion, or writes down which gates are shut and raises the first of them as a Refusal.

        `emergency`: the reason to go past those that an emergency opens, which is told to everybody and reviewed.
        `since` as `Runs.start`'s. `scheduled`: the time at which it is due, where it is wanted for that alone.
        """
        prod = self.prod(self._board.release(name))
        machines = self._materials.machines(prod, self._performer)
        with self._board.deciding:
            if scheduled and self._board.release(name).scheduled != scheduled:
                raise Refusal("not_wanted", f"{name} was taken off the schedule, or put on it for another time.")
            self._refuse_late("promotion", name, prod, since)
            shut = [gate for gate in self.gates(name, by=by, machines=machines) if gate.shut]
            opened = [gate.code for gate in shut if emergency and gate.code in EMERGENCY_OPENS]
            self._refuse_shut(name, [gate for gate in shut if gate.code not in opened], by)
            event = PromotionForced(release=name, gates=tuple(opened), reason=emergency)
            return self._runs.start_at_once(
                "promotion",
                machines,
                by=by,
                environment=prod,
                release=name,
                forced=event.gates,
                first=partial(self._tell_of, event, by),
            )

    def _tell_of(self, event: PromotionForced, by: str) -> None:
        """Written down, unless they said just that before, and the bot ended before the promotion began."""
        review = next((r for r in self._board.table(Review) if r.subject == event.release), None)
        promotions = (r for r in self._board.table(Run) if (r.kind, r.release) == ("promotion", event.release))
        same = review is not None and (review.by, review.what) == (by, forced(event))
        if event.gates and not (same and review and all(run.at < review.at for run in promotions)):
            self._board.record(by, event)

    def schedule(self, name: str, at: datetime, *, by: str) -> Release:
        """A promotion for later; what only a rehearsal or another package can open refuses it now."""
        with self._board.deciding:
            if at <= self._board.now():
                raise Refusal("in_the_past", f"{stamp(at)} is over.", f"Promote it now: /promote {name}")
            release = self._board.release(name)
            if release.scheduled == stamp(at):
                message = f"{name} is to be promoted then already: <@{release.scheduled_by}> scheduled it."
                raise Refusal("already_scheduled", message, f"Not after all: /promote abort {name}")
            for run in self._board.table(Run):
                if run.active and (run.kind, run.release) == ("promotion", name):
                    message = f"Run {run.number}, started by <@{run.by}>, is the promotion of {name}, and goes on."
                    raise Refusal("already_running", message, "Wait for its end.")
            shut = [gate for gate in self.gates(name, by=by) if gate.shut and gate.code not in TIME_OPENS]
            self._refuse_shut(name, shut, by)
            self._board.record(by, PromotionScheduled(release=name, at=stamp(at)))
            return self._board.release(name)

    def unschedule(self, name: str, *, by: str, reason: str, asked: str = "") -> Release:
        """Takes it off the schedule; `asked` is who must see to it now, where nobody wanted that."""
        with self._board.deciding:
            release = self._board.release(name)
            if release.scheduled is None:
                raise Refusal("not_scheduled", f"{name} is not scheduled.", "See: /promote status")
            self._board.record(by, PromotionUnscheduled(release=name, at=release.scheduled, reason=reason, asked=asked))
            return self._board.release(name)

    def due(self, name: str) -> None:
        """The clock's call when a later promotion is due: the gates again, and nothing where it came too late."""
        release = self._board.release(name)
        if release.scheduled is None:
            return
        late = (self._board.now() - datetime.fromisoformat(release.scheduled)).total_seconds()
        try:
            if late < 0:
                return
            if late > WINDOW:
                why = "Quarterdeck was off when it was due, or its clock was wrong"
                raise Refusal("missed", f"It was missed by {spell(late)}: {why}.")
            self.promote(name, by=release.scheduled_by, scheduled=release.scheduled)
        except Refusal as refusal:
            with self._board.deciding:
                if self._board.release(name).scheduled == release.scheduled:
                    self.unschedule(name, by="quarterdeck", reason=str(refusal), asked=release.scheduled_by)

    def rollback(self, name: str, *, by: str, since: int | None = None) -> Run:
        """The package's own way back on prod; a watch of that promotion ends first. Needs no vCenter."""
        return self._back("rollback", name, by, since, lambda release, prod: None)

    def revert(self, name: str, word: str, *, by: str, since: int | None = None) -> Run:
        """Prod back at the snapshots of before the release, where `word` says that this is meant.

        Raises Refusal `no_snapshot`, `overtaken`, or `not_confirmed` with what would be lost and the line to type.
        """
        prod = self.prod(self._board.release(name))
        self._refuse_late("revert", name, prod, since)
        self._refuse_unsure(self._board.release(name), prod, word)
        return self._back("revert", name, by, since, lambda release, prod: self._refuse_unsure(release, prod, word))

    def _back(self, kind: str, name: str, by: str, since: int | None, refuse: Callable[[Release, str], None]) -> Run:
        prod = self.prod(self._board.release(name))
        machines = self._materials.machines(prod, self._performer, strict=kind == "revert")
        with self._board.deciding:
            self._refuse_late(kind, name, prod, since)
            release = self._board.release(name)
            self._refuse_strange(release, prod)
            refuse(release, prod)
            holder = self._runs.holder(prod, machines)
            if holder is not None:
                raise Refusal(
                    "busy",
                    f"Run {holder.number} ({holder.kind}) holds {prod}.",
                    f"Wait for its end, or stop it: /promote abort {holder.number}",
                )
            watches = (
                r for r in self._board.table(Run) if r.active and r.kind == "promotion" and r.environment == prod
            )
            return self._runs.start_at_once(
                kind,
                machines,
                by=by,
                environment=prod,
                release=name,
                ending=next((run for run in watches if run.app == release.app), None),
            )

    def leave(self, name: str, reason: str, *, by: str, since: int | None = None) -> None:
        """Writes down that prod stays as the release's last run there left it, which did not pass."""
        prod = self.prod(self._board.release(name))
        with self._board.deciding:
            self._refuse_late("promotion", name, prod, since, f"/promote leave {name}")
            self._refuse_overtaken(self._board.release(name), prod)
            there = [r for r in self._board.table(Run) if (r.environment, r.release) == (prod, name) and r.touched]
            last = max(there, key=lambda run: run.number, default=None)
            if last is None or last.active or last.verdict == "passed":
                message = f"No run of {name} has ended on {prod} that did not pass."
                raise Refusal("nothing_to_leave", message, "See what is on prod: /promote status")
            if last.left_by:
                message = f"<@{last.left_by}> left {prod} as it is after run {last.number} already."
                raise Refusal("already_left", message, "There is nothing more to do.")
            self._board.record(by, PromotionLeft(release=name, run=last.number, reason=reason))

    def _refuse_late(self, kind: str, name: str, prod: str, since: int | None, again: str = "") -> None:
        if since is not None:
            refuse_late(self._board, kind, prod, name, since, again)

    def _refuse_unsure(self, release: Release, prod: str, word: str) -> None:
        self._refuse_strange(release, prod)
        self._refuse_overtaken(release, prod)
        back = self._materials.ways(release.id, prod)
        if not back.kept:
            raise no_snapshot(release.id, prod, rollback=back.rollback)
        if word.casefold() not in (prod.casefold(), release.version.casefold()):
            oldest = min(datetime.fromisoformat(kept.at) for kept in back.kept.values())
            said = price(prod, back, max(0.0, (self._board.now() - oldest).total_seconds()))
            raise Refusal("not_confirmed", said, f"If that is what you want, type: /promote revert {release.id} {prod}")

    def _refuse_overtaken(self, release: Release, prod: str) -> None:
        """What has been on prod after a release would be undone with it."""
        there = [run for run in self._board.table(Run) if run.environment == prod and run.kind in CHANGE_PROD]
        last = max((run for run in there if run.touched), key=lambda run: run.number, default=None)
        if last is not None and last.release != release.id:
            message = f"Run {last.number}, a {last.kind} of {last.release}, has been on {prod} since {release.id}."
            raise Refusal("overtaken", message, "See what is on prod: /promote status")

    def _refuse_shut(self, name: str, shut: list[Gate], by: str) -> None:
        if not shut:
            return
        self._board.record(by, PromotionRefused(release=name, gates=tuple(gate.code for gate in shut)))
        if {gate.code for gate in shut} <= TIME_OPENS and "approvals_missing" in {gate.code for gate in shut}:
            self._ask_to_approve(name, by)
        first, *others = shut
        also = f" Also shut: {', '.join(gate.code for gate in others)} (/promote check {name})." if others else ""
        raise Refusal(first.code, f"{name} may not be promoted: {first.detail}.", first.hint + also)

    def _ask_to_approve(self, name: str, by: str) -> None:
        """Everything else is in order: further admins are asked, unless they were asked just that already."""
        now, plans, release = self._board.now(), self.plans(name), self._board.release(name)
        asked = next((a for a in self._board.table(Approval) if a.release == name), None)
        same = asked is not None and not asked.refused and (asked.digest, asked.plans) == (release.digest, plans)
        if asked is not None and same and asked.until and datetime.fromisoformat(asked.until) > now:
            return
        until = stamp(now + timedelta(seconds=seconds(self._settings.policy.approvals_expire)))
        self._board.record(by, ApprovalAsked(release=name, digest=release.digest, plans=plans, until=until))

    def _refuse_strange(self, release: Release, prod: str) -> None:
        """Only what was last put on prod, or was being put there, can be rolled back."""
        deployed = self._board.environment(prod).deployed.get(release.app, ())
        if deployed[-1:] and deployed[-1] != release.id and self._board.release(deployed[-1]).number > release.number:
            raise Refusal(
                "older_than_prod",
                f"{deployed[-1]} is on {prod}, after {release.id}.",
                f"Roll that back first: /promote rollback {deployed[-1]}",
            )
        done = [r for r in self._board.table(Run) if r.release == release.id and r.kind in CHANGE_PROD]
        last = max(done, key=lambda run: run.number, default=None)
        if last is not None and last.kind in WAYS_BACK and last.verdict == "passed":
            message = f"Run {last.number}, a {last.kind} started by <@{last.by}>, has taken {release.id} back."
            raise Refusal("already_rolled_back", message, "See what is on prod: /promote status")
        if release.promotion is None:
            raise Refusal("not_on_prod", f"{release.id} was never promoted.", "See what was: /promote history")
