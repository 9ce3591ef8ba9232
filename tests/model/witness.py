"""Watches a ledger as it grows, and knows what must never be on it, whoever decided what in which order."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from bot.board import Board
from plans import events as e
from plans.engine import RESTARTS, STAGING, TRIES
from plans.environment import Policy
from plans.phases import Plan, Planned
from plans.records import Freeze, Run
from plans.rule_records import Approval

Attempt = tuple[int, int, str | None, int]
"""Run, step, host, attempt."""

EFFECTS = (e.RunStarted, e.RunAborting, e.RunDecided, e.PromotionScheduled, e.PromotionUnscheduled)
"""Records of what somebody asked for and got."""


class Witness:
    """Hears every record of a board, over its restarts. `plan_of`: the plan of a run; `harmless`: whether a step may
    be done again without anybody being asked."""

    def __init__(self, policy: Policy, plan_of: Callable[[Run], Plan], harmless: Callable[[Planned], bool]) -> None:
        self.effects = 0
        self._policy = policy
        self._plan_of = plan_of
        self._harmless = harmless
        self._begun: set[Attempt] = set()
        self._ended: set[Attempt] = set()
        self._retried: Counter[tuple[int, int]] = Counter()
        self._over: dict[int, Run] = {}
        self._unclean: dict[int, tuple[str, ...]] = {}
        self._told: set[str] = set()
        self._board: Board

    def watch(self, board: Board) -> None:
        self._board = board
        board.listeners.append(self._hear)

    def _hear(self, entry: e.Entry) -> None:
        self.effects += isinstance(entry.event, EFFECTS)
        match entry.event:
            case e.RunStarted() as started:
                self._alone(started)
                if started.kind == "promotion":
                    self._gates_were_open(started, entry)
            case e.StepStarted() as started:
                self._once(started)
            case e.StepFinished(run=run, step=step, host=host, attempt=attempt):
                assert (run, step, host, attempt) in self._begun - self._ended
                self._ended.add((run, step, host, attempt))
            case e.RunDecided(run=run, step=step, choice="retry"):
                self._retried[run, step] += 1
            case e.RunRestarted(run=run):
                assert self._board.run(run).kind in STAGING
                assert len(self._board.run(run).restarts) <= RESTARTS
            case e.RunFinished(run=run, verdict=verdict, clean=clean):
                assert run not in self._over, "it had ended"
                assert verdict in ("passed", "failed", "errored", "aborted")
                assert clean == self._board.run(run).clean
                self._over[run] = self._board.run(run)
            case e.MessagePosted(key=key):
                assert key not in self._told, "it was told already"
                self._told.add(key)
        self._what_is_over_stays()

    def _alone(self, started: e.RunStarted) -> None:
        same = [
            run
            for run in self._board.table(Run)
            if run.active
            and (run.kind, run.environment, run.release) == (started.kind, started.environment, started.release)
        ]
        assert len(same) == 1, "the same was started twice"

    def _gates_were_open(self, started: e.RunStarted, entry: e.Entry) -> None:
        board, now = self._board, datetime.fromisoformat(entry.at)
        release = board.release(started.release or "")
        assert release.rehearsal is not None
        rehearsal = board.run(release.rehearsal)
        assert (rehearsal.kind, rehearsal.release) == ("rehearsal", release.id)
        assert (rehearsal.verdict, rehearsal.clean, rehearsal.plans) == ("passed", True, started.plans)
        assert now - datetime.fromisoformat(rehearsal.finished) <= timedelta(days=7)
        assert (release.withdrawn, release.defective) == (None, None)
        assert board.environment(started.environment).locked is None
        assert entry.by != release.by
        for freeze in board.table(Freeze):
            assert freeze.until is not None
            assert datetime.fromisoformat(freeze.until) <= now
        of = (a for a in board.table(Approval) if a.release == release.id and a.digest == release.digest)
        approved = {who for approval in of if approval.plans == started.plans for who in approval.given}
        assert len(approved - {entry.by, release.by}) >= self._policy.approvals
        others = [run for run in board.table(Run) if run.holds and run.environment == started.environment]
        assert [run.number for run in others] == [started.run]
        on_prod = board.environment(started.environment).deployed.get("webshop", ())[-1:]
        assert all(board.release(name).number <= release.number for name in on_prod)

    def _once(self, started: e.StepStarted) -> None:
        """Nothing is done twice: a step is begun again where somebody said so, where it does no harm, or on staging
        after everything was reverted."""
        run = self._board.run(started.run)
        attempt = (run.number, started.step, started.host, started.attempt)
        assert run.active
        assert attempt not in self._begun
        self._begun.add(attempt)
        step = next(step for step in self._plan_of(run).steps if step.number == started.step)
        by_itself = TRIES - 1 if self._harmless(step) else 0
        tries = (1 + len(run.restarts)) * (1 + by_itself + self._retried[run.number, started.step])
        assert started.attempt <= tries
        for other in self._board.table(Run):
            shared = other.environment == run.environment or set(other.machines) & set(run.machines)
            if other.number != run.number and shared and other.holds and run.holds:
                assert not other.begun, (run.number, other.number)

    def _what_is_over_stays(self) -> None:
        for run in self._board.table(Run):
            before = self._unclean.get(run.number, ())
            assert run.unclean[: len(before)] == before, "clean again"
            self._unclean[run.number] = run.unclean
            if over := self._over.get(run.number):
                assert (run.verdict, run.reason, run.finished) == (over.verdict, over.reason, over.finished)
                assert (run.steps, run.unclean, run.open) == (over.steps, over.unclean, ())
