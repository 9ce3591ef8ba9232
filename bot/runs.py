"""Touches everything, in the only loop there is: ask the engine, write it down, perform it, write down how it ended."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from bot.admittance import Admittance
from bot.attempt import pause
from bot.board import Board
from bot.config import Settings
from bot.crew import Crew
from bot.inspections import close_inspections
from bot.line.pace import Pace
from bot.masking import Masker
from bot.material import Materials
from bot.objections import question_meant, refuse_late, refuse_twice
from bot.outlook import answering, unfinished
from bot.roles import Roles
from plans.engine import Ask, Finish, Perform, StartOver, Wait, WaitUntil, next_move
from plans.errors import Refusal
from plans.events import (
    AccessDenied,
    RunAborting,
    RunBegan,
    RunDecided,
    RunFinished,
    RunRestarted,
    StepStarted,
)
from plans.lookout import giving_way
from plans.phases import Plan
from plans.quantities import spell
from plans.records import Run
from vmops.perform import Performer

log = logging.getLogger(__name__)

LATER = frozenset({"roles_unknown", "machine_unknown"})
"""Refusals for want of an answer from somebody who may give it a moment later."""


class Runs:
    """Starts runs, takes answers, and carries each run on in a thread of its own until it must wait or has ended.

    `wake` is told when the clock must enter a run again; `aside` are environments, with their machines' identities,
    that no run may begin on for the moment, because somebody else is at work there. Recovery is `enter_all()`: the
    same loop.
    """

    def __init__(
        self,
        board: Board,
        settings: Settings,
        materials: Materials,
        performer: Performer,
        roles: Roles,
        masker: Masker,
    ) -> None:
        self.board = board
        self.wake: Callable[[int, datetime], None] = lambda number, at: None
        self.aside: dict[str, tuple[str, ...]] = {}
        self._materials = materials
        self._performer = performer
        self._roles = roles
        self._masker = masker
        self._crew = Crew(board, settings, materials, performer, masker)
        self._admittance = Admittance(board, materials, performer, roles)
        self._pace = Pace({}, time.monotonic)
        self._going: dict[int, threading.Thread] = {}
        self._cancels: dict[int, threading.Event] = {}
        self._closing = False

    def start(
        self,
        kind: str,
        *,
        by: str,
        environment: str,
        release: str | None = None,
        still: Callable[[], bool] = lambda: True,
        since: int | None = None,
    ) -> Run:
        """Writes the run down and begins it. Raises Refusal where it may not; looks VMs up, so it takes a while.

        `still` is asked once more when the look-ups are done: false where the run is not wanted any more. `since`: the
        last run that whoever asks can know of, where it is not wanted if it was done after that.
        """
        machines = self.machines(environment)
        with self.board.deciding:
            if not still():
                raise Refusal("not_wanted", f"The {kind} of {environment} is not wanted any more.")
            if since is not None:
                refuse_late(self.board, kind, environment, release, since)
            return self.start_at_once(kind, machines, by=by, environment=environment, release=release)

    def machines(self, environment: str, *, strict: bool = True) -> tuple[str, ...]:
        """The identities of an environment's machines, looked up now. Raises Refusal as Materials.machines."""
        return self._materials.machines(environment, self._performer, strict=strict)

    def start_at_once(
        self,
        kind: str,
        machines: tuple[str, ...],
        *,
        by: str,
        environment: str,
        release: str | None,
        forced: tuple[str, ...] = (),
        first: Callable[[], None] = lambda: None,
        ending: Run | None = None,
    ) -> Run:
        """As `start`, with the machines' identities known: for a decision that is taken under the board's lock.

        `first` is done once nothing can refuse it any more, and `ending`, a watch, put an end to. `forced`: the gates
        that an emergency opens for it.
        """
        refuse_twice(self.board, kind, environment, release)
        started = self._materials.beginning(kind, machines, by, environment, release, forced)
        first()
        if ending is not None:
            self._end(ending, f"<@{by}> began a {kind}")
        for lookout in giving_way(kind, environment, machines, self.board.table(Run)):
            self._end(lookout, f"it gave way to a {kind}")
        self.board.record(by, started)
        close_inspections(self.board, self.board.run(started.run))
        self._admittance.knows(started.run)
        self.enter(started.run)
        return self.board.run(started.run)

    def decide(self, number: int, choice: str, *, by: str, note: str = "", question: int | None = None) -> Run:
        """The answer to one of the run's open questions, once. `question` None means the only one."""
        meant = question_meant(self.board.run(number), question)
        theirs = self._roles.allowed(by, meant.role)
        with self.board.deciding:
            run = self.board.run(number)
            asked = question_meant(run, meant.number)
            if choice not in asked.choices:
                raise Refusal(
                    "bad_choice",
                    f"{choice!r} is not an answer to run {number}'s question.",
                    f"Answer one of: {', '.join(asked.choices)}. {answering(run, asked)}",
                )
            if not theirs:
                self.board.record(by, AccessDenied(command=f"answer {number} {choice}", role=asked.role))
                raise Refusal("not_yours", f"Run {number} asks the {asked.role}.", "Ask one of them to answer.")
            note = self._masker.text(note)
            event = RunDecided(run=number, step=asked.step, choice=choice, note=note, question=asked.number)
            self.board.record(by, event)
        self.enter(number)
        return self.board.run(number)

    def abort(self, number: int, *, by: str, now: bool) -> Run:
        """Stops the run after its present step, or at once with the remote processes that it started."""
        with self.board.deciding:
            run = self.board.run(number)
            if not run.active:
                raise Refusal("already_over", f"Run {number} is over: {run.verdict}.", "There is nothing to stop.")
            if run.aborting and not (now and run.aborting != "now"):
                raise Refusal(
                    "already_aborting", f"<@{run.aborted_by}> is stopping run {number} already.", "Watch its thread."
                )
            self.board.record(by, RunAborting(run=number, now=now))
            if now:
                self._cancels.setdefault(number, threading.Event()).set()
        self.enter(number)
        return self.board.run(number)

    def waits_for(self, run: Run) -> Run | None:
        """The earlier run that holds the environment or one of the machines of a run that has done nothing yet."""
        if run.begun or not run.active:
            return None
        for other in self.board.table(Run):
            shared = other.environment == run.environment or set(other.machines) & set(run.machines)
            if other.number < run.number and other.holds and shared:
                return other
        return None

    def holder(self, environment: str, machines: tuple[str, ...]) -> Run | None:
        """The run that holds an environment or one of these machines now."""
        for run in self.board.table(Run):
            if run.holds and (run.environment == environment or set(run.machines) & set(machines)):
                return run
        return None

    def enter_all(self) -> None:
        """Carries on every run that has not ended: after a start, or when something that they waited for is free."""
        for run in self.board.table(Run):
            if run.active:
                self.enter(run.number)

    def enter(self, number: int) -> None:
        """Lets the loop look at a run again, unless it is in the loop already."""
        with self.board.deciding:
            if self._closing or number in self._going:
                return
            thread = threading.Thread(target=self._carry_on, args=(number,), name=f"run-{number}", daemon=True)
            self._going[number] = thread
            thread.start()

    def _end(self, run: Run, why: str) -> None:
        """A watch or a lookout holds nothing, so it ends at once. The board's lock is held."""
        self.board.record("quarterdeck", RunFinished(run=run.number, verdict="aborted", clean=run.clean, reason=why))
        self._cancels.setdefault(run.number, threading.Event()).set()

    def close(self) -> None:
        """No new step begins from here on; what runs on the hosts goes on there."""
        with self.board.deciding:
            self._closing = True

    def _carry_on(self, number: int) -> None:
        plan: Plan | None = None
        try:
            self._admittance.admit(number)
            while (move := self._next(number, plan)) is not None:
                plan = move[0]
                self._perform(number, move[1])
                self._pace.good(str(number))
        except Refusal as refusal:
            if refusal.code in LATER:
                self._try_again(number, f"is carried on when that is known: {refusal}")
            elif refusal.code != "stopping":
                self._give_up(number, refusal.message)
        except OSError as error:
            self._try_again(number, f"cannot be written down: {error}")
        except Exception as error:
            log.exception("run %d", number)
            self._give_up(number, f"a fault in Quarterdeck itself, {type(error).__name__}: its log has more")
        finally:
            with self.board.deciding:
                if self._going.get(number) is threading.current_thread():
                    del self._going[number]

    def _next(self, number: int, plan: Plan | None) -> tuple[Plan, Perform] | None:
        """The plan and its step to perform now, written down as begun; None when the loop leaves the run.

        Until the first step has begun the plan is made anew each time: what an earlier run left decides it.
        """
        with self.board.deciding:
            run = self.board.run(number)
            if self._closing or not run.active or self._held(run):
                self._leave(number)
                return None
            if not run.begun and not run.began:
                self.board.record("quarterdeck", RunBegan(run=number))
                run = self.board.run(number)
                close_inspections(self.board, run)
            if plan is None or not run.steps:
                plan = self._admittance.plan(run)
            match next_move(run, plan, self.board.now()):
                case Perform() as move:
                    self._begin(run, plan, move)
                    return plan, move
                case Ask(step, why, choices):
                    pause(self.board, run, step.number, why, choices, "admins")
                case StartOver(why):
                    self.board.record("quarterdeck", RunRestarted(run=number, why=self._masker.text(why)))
                    return self._next(number, None)
                case WaitUntil(at):
                    self.wake(number, at)
                case Finish(verdict, reason):
                    self._finish(run, verdict, reason)
                case Wait():
                    pass
            self._leave(number)
            return None

    def _held(self, run: Run) -> bool:
        if run.begun or run.aborting:
            return False
        if any(name == run.environment or set(held) & set(run.machines) for name, held in self.aside.items()):
            return True
        return self.waits_for(run) is not None or self.board.environment(run.environment).locked is not None

    def _leave(self, number: int) -> None:
        self._going.pop(number, None)

    def _begin(self, run: Run, plan: Plan, move: Perform) -> None:
        step = move.step
        for place in move.places:
            if not place.resume:
                self.board.record(
                    "quarterdeck",
                    StepStarted(
                        run=run.number,
                        phase=step.phase,
                        step=step.number,
                        name=step.name,
                        host=place.host or None,
                        attempt=place.attempt,
                        written=step.written,
                        of=len(step.hosts),
                        outline=plan.outline,
                    ),
                )
        if step.phase == "watch" and run.phase != "watch":
            self._enter_others(run.number)

    def _perform(self, number: int, move: Perform) -> None:
        """The step on all its places at once; returns when each has ended or waits for a person."""
        run = self.board.run(number)
        cancel = self._cancels.setdefault(number, threading.Event())
        if run.aborting == "now":
            cancel.set()
        self._crew.perform(run, move, cancel)

    def _finish(self, run: Run, verdict: str, reason: str) -> None:
        self.board.record("quarterdeck", RunFinished(run=run.number, verdict=verdict, clean=run.clean, reason=reason))
        self._cancels.pop(run.number, None)
        self._enter_others(run.number)

    def _enter_others(self, number: int) -> None:
        """What this run held is free: whoever waited for it goes on."""
        for other in self.board.table(Run):
            if other.active and other.number != number:
                self.enter(other.number)

    def _try_again(self, number: int, why: str) -> None:
        """Soon, and the less soon the oftener it came to nothing: what was away for a second is not met again."""
        seconds = self._pace.fail(str(number))
        log.warning("run %d %s; the next try is in %s", number, why, spell(seconds))
        self.wake(number, self.board.now() + timedelta(seconds=seconds))

    def _give_up(self, number: int, why: str) -> None:
        with self.board.deciding:
            run = self.board.run(number)
            if run.active and not self._closing:
                try:
                    self._finish(run, "errored", self._masker.text(why + unfinished(run)))
                except OSError as error:
                    self._try_again(number, f"cannot be written down: {error}")
