"""Watches a ledger as it grows, and knows what must never be on it, whoever decided what in which order."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from doors import FORGIVING, PASSING, Doors

from bot.board import Board
from plans import events as e
from plans import rule_events as r
from plans.phases import Plan, Planned
from plans.records import Run

Begun = tuple[int, int, str]
"""Run, step, host: of one life of the run, which ends where it starts over."""

EFFECTS = (e.RunStarted, e.RunAborting, e.RunDecided, e.PromotionScheduled, e.PromotionUnscheduled, r.PromotionForced)
"""Records of what somebody asked for and got."""

STAGING = ("rehearsal", "check", "restore_test", "reset")


class Witness:
    """Hears every record of a board, over its restarts. `plan_of`: the plan of a run; `harmless`: whether a step may
    be done again without anybody being asked."""

    def __init__(self, doors: Doors, plan_of: Callable[[Run], Plan], harmless: Callable[[Planned], bool]) -> None:
        self.effects = 0
        self._doors = doors
        self._plan_of = plan_of
        self._harmless = harmless
        self._tries: Counter[Begun] = Counter()
        self._allowed: Counter[tuple[int, int]] = Counter()
        self._attempts: set[tuple[int, int, str, int]] = set()
        self._under_way: set[tuple[int, int, str, int]] = set()
        self._names: dict[tuple[int, int], tuple[str, str]] = {}
        self._asked: set[tuple[int, int]] = set()
        self._answered: set[tuple[int, int]] = set()
        self._stopping: set[int] = set()
        self._restarts: Counter[int] = Counter()
        self._looked_at: dict[str, int] = {}
        self._words: set[tuple[str, str, frozenset[str]]] = set()
        self._in_need = False
        self._over: dict[int, Run] = {}
        self._told: set[str] = set()
        self._board: Board

    def watch(self, board: Board) -> None:
        self._board = board
        board.listeners.append(self._hear)

    def lost(self) -> None:
        """The bot was killed: what it had only begun to write down, nobody waits for."""
        self._in_need = False

    def _hear(self, entry: e.Entry) -> None:
        self.effects += isinstance(entry.event, EFFECTS)
        self._hear_of_doors(entry)
        match entry.event:
            case e.RunStarted() as started:
                self._alone(started)
            case e.StepStarted() as started:
                self._once(started)
            case e.StepFinished(run=run, step=step, host=host, attempt=attempt):
                self._under_way.remove((run, step, host or "", attempt))
            case e.RunPaused(run=run, question=question):
                assert (run, question) not in self._asked
                self._asked.add((run, question))
            case e.RunDecided() as decided:
                self._answer(decided, entry.by)
            case e.RunAborting(run=run):
                self._stopping.add(run)
            case e.RunRestarted(run=run):
                self._starts_over(run)
            case r.InspectionOpened(run=run, environment=environment):
                known = self._doors.runs[run]
                assert (known.started.kind, known.verdict) == ("rehearsal", "failed")
                self._looked_at[environment] = run
            case r.InspectionClosed(environment=environment):
                del self._looked_at[environment]
            case e.RunFinished() as finished:
                self._ends(finished)
            case e.MessagePosted(key=key):
                assert key not in self._told, "it was told already"
                self._told.add(key)
        self._doors.hear(entry)
        self._what_is_over_stays()

    def _hear_of_doors(self, entry: e.Entry) -> None:
        """Nothing begins on prod that its gates, or an admin's word in an emergency, do not let through."""
        now = datetime.fromisoformat(entry.at)
        match entry.event:
            case e.PromotionRefused(release=name, gates=gates):
                shut = self._doors.shut(name, entry.by, now)
                assert shut, "it was refused, and nothing was shut"
                assert frozenset(gates) in (shut, shut - PASSING, shut - FORGIVING)
            case r.PromotionForced(release=name, gates=gates):
                assert frozenset(gates) == self._doors.shut(name, entry.by, now)
                assert frozenset(gates) <= FORGIVING
                self._words.add((name, entry.by, frozenset(gates)))
                self._in_need = True
                return
            case e.RunStarted(kind="promotion", release=name, forced=gates):
                shut = self._doors.shut(name or "", entry.by, now)
                assert frozenset(gates) == shut
                assert not shut or (name, entry.by, shut) in self._words
                self._words = {word for word in self._words if word[0] != name}
            case e.RunFinished(reason=reason) if "gave way" in reason:
                return
            case _:
                assert not self._in_need, "an emergency was told of, and nothing came of it"
        self._in_need = False

    def _alone(self, started: e.RunStarted) -> None:
        """The same never goes on twice, and whoever only looks gives way."""
        assert started.run not in self._doors.runs
        going = [known.started for known in self._doors.runs.values() if not known.verdict]
        what = (started.kind, started.environment, started.release)
        assert what not in [(one.kind, one.environment, one.release) for one in going], "the same was started twice"
        for one in going:
            shared = one.environment == started.environment or set(one.machines) & set(started.machines)
            assert one.kind != "lookout" or started.kind == "lookout" or not shared

    def _once(self, started: e.StepStarted) -> None:
        """Nothing is done twice: a step is begun again where a person said so, where it does no harm, or on staging
        after everything was reverted; never where it was done; and never under another name."""
        number, host = started.run, started.host or ""
        attempt = (number, started.step, host, started.attempt)
        run = self._doors.runs[number]
        assert not run.verdict
        assert number not in self._stopping, "it is being stopped"
        assert attempt not in self._attempts
        self._attempts.add(attempt)
        self._under_way.add(attempt)
        named = self._names.setdefault((number, started.step), (started.phase, started.name))
        assert named == (started.phase, started.name), "another step has its number"
        assert run.outcomes.get((started.step, host)) not in ("ok", "skipped", ""), "it was done, or is under way"
        step = next(s for s in self._plan_of(self._board.run(number)).steps if s.number == started.step)
        self._tries[number, started.step, host] += 1
        by_itself = 2 if self._harmless(step) else 0
        allowed = 1 + self._allowed[number, started.step]
        assert self._tries[number, started.step, host] <= allowed * (1 + by_itself)
        assert run.started.environment not in self._looked_at, "somebody may still look at it"
        self._nobody_else_is_there(number)

    def _nobody_else_is_there(self, number: int) -> None:
        here = self._doors.runs[number]
        for other, known in self._doors.runs.items():
            shared = known.started.environment == here.started.environment
            shared = shared or bool(set(known.started.machines) & set(here.started.machines))
            if other != number and shared and known.holds and here.holds:
                assert not known.outcomes, (number, other)
                assert not self._restarts[other], (number, other)

    def _answer(self, decided: e.RunDecided, by: str) -> None:
        """Each question is answered once, by a person."""
        assert by.startswith("U")
        question = (decided.run, decided.question)
        assert question in self._asked - self._answered
        self._answered.add(question)
        if decided.choice in ("retry", "undrain"):
            self._allowed[decided.run, decided.step] += 1

    def _starts_over(self, number: int) -> None:
        assert self._doors.runs[number].started.kind in STAGING
        self._restarts[number] += 1
        assert self._restarts[number] <= 2
        for counted in (self._tries, self._allowed):
            for key in [key for key in counted if key[0] == number]:
                del counted[key]

    def _ends(self, finished: e.RunFinished) -> None:
        number, known = finished.run, self._doors.runs[finished.run]
        assert not known.verdict, "it had ended"
        assert finished.verdict in ("passed", "failed", "errored", "aborted")
        assert finished.clean is not known.tainted
        assert finished.verdict == "passed" or finished.reason, "it does not say why"
        going = {attempt for attempt in self._under_way if attempt[0] == number}
        assert finished.verdict in ("errored", "aborted") or not going, "a step that began has no end"
        self._under_way -= going
        self._over[number] = self._board.run(number)

    def _what_is_over_stays(self) -> None:
        for number, over in self._over.items():
            run = self._board.run(number)
            assert (run.verdict, run.reason, run.finished) == (over.verdict, over.reason, over.finished)
            assert (run.steps, run.unclean, run.open) == (over.steps, over.unclean, ())
