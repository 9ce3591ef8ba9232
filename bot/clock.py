"""Touches the clock: enters runs whose time has come, and starts what is due; armed from the board, never stored."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bot.board import Board
from bot.chores.nights import Nights
from bot.chores.reminders import Reminders
from bot.chores.sweeps import Sweeper
from bot.chores.weekly import Weekly
from bot.config import Settings
from bot.inspections import inspection, mend_inspections, open_inspection
from bot.promotions import Promotions
from bot.runs import Runs
from plans.errors import Refusal
from plans.events import Entry, EnvironmentUnlocked, PromotionScheduled, RunFinished, SnapshotTaken
from plans.quantities import spell
from plans.records import EnvironmentState, Release
from plans.rule_events import ChangeOutside, InspectionClosed, InspectionOpened, PromotionForced

AGAIN = timedelta(minutes=1)
"""When a job is tried again that the disk did not let write down."""

LOOK = 30.0
"""Seconds after which the clock is read again: somebody may have set it."""

SET = 60.0
"""Seconds by which a clock must have been set for a word in the log; less is a correction."""

log = logging.getLogger(__name__)


class Clock:
    """APScheduler with nothing in it that the board does not say: a restart arms it again from there."""

    def __init__(self, board: Board, settings: Settings, runs: Runs, promotions: Promotions, sweeper: Sweeper) -> None:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._board = board
        self._settings = settings
        self._runs = runs
        self._promotions = promotions
        self._sweeper = sweeper
        self._scheduler: Any = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"misfire_grace_time": None, "coalesce": True},
            timezone="UTC",
        )
        self._stopping = threading.Event()
        self._nights = Nights(board, settings, runs, self._at)
        self._reminders = Reminders(board, settings, self._at)
        self._weekly = Weekly(board, settings)
        runs.wake = self.wake

    def start(self) -> None:
        self._board.listeners.append(self._heard)
        self._scheduler.start()
        threading.Thread(target=self._look, name="clock", daemon=True).start()
        self._at("inspections", self._board.now(), lambda: mend_inspections(self._board, self._settings))
        with self._board.deciding:
            for release in self._board.table(Release):
                if release.scheduled is not None:
                    self._arm_promotion(release.id, release.scheduled)
            for state in self._board.table(EnvironmentState):
                if state.inspection is not None and inspection(self._board, state.name):
                    self._arm_inspection(state.inspection)
                self._arm_sweep(state.name)
            self._nights.arm()
            self._reminders.arm()
        self._at("week", self._board.now(), lambda: self._week(at_start=True))
        self._at("reviews", self._board.now(), self._remind)

    def _week(self, *, at_start: bool = False) -> None:
        """Each week is told of when it is over."""
        self._weekly.tell(at_start=at_start)
        if (coming := self._weekly.next_digest()) is not None:
            self._at("week", coming, self._week)

    def _remind(self) -> None:
        """What was done past the rules is asked about until somebody has reviewed it."""
        self._weekly.remind()
        if (coming := self._weekly.next_reminder()) is not None:
            self._at("reviews", coming, self._remind)

    def _look(self) -> None:
        """APScheduler sleeps until the next time should have come, by the clock as it was when it fell asleep."""
        now, since = self._board.now(), time.monotonic()
        while not self._stopping.wait(LOOK):
            self._scheduler.wakeup()
            was, before = now, since
            now, since = self._board.now(), time.monotonic()
            self._say_where_it_was_set((now - was).total_seconds() - (since - before))

    def _say_where_it_was_set(self, by: float) -> None:
        """`by`: seconds that it went on more, or less, than time did."""
        if by > SET:
            log.warning(
                "the clock was put forward by %s, or this machine stood still: what is due now begins", spell(by)
            )
        elif by < -SET:
            log.warning("the clock was put back by %s: what is due waits until it shows the time", spell(-by))

    def stop(self) -> None:
        self._stopping.set()
        self._sweeper.stop()
        if self._scheduler.running:
            self._scheduler.remove_all_jobs()  # its thread dies of a job that it is just at when it is shut down
            self._scheduler.shutdown(wait=False)

    def wake(self, number: int, at: datetime) -> None:
        """Enter that run again at that time."""
        self._at(f"run-{number}", at, lambda: self._runs.enter(number))

    def _heard(self, entry: Entry) -> None:
        self._nights.heard(entry)
        self._reminders.heard(entry)
        match entry.event:
            case PromotionScheduled(release=release, at=at):
                self._arm_promotion(release, at)
            case InspectionOpened(run=number) | InspectionClosed(run=number):
                self._arm_inspection(number)
            case RunFinished(run=number):
                self._open_inspection(number)
                for state in self._board.table(EnvironmentState):
                    self._arm_sweep(state.name)
            case SnapshotTaken(environment=name):
                self._arm_sweep(name)
            case EnvironmentUnlocked(environment=name):
                self._arm_sweep(name)
                if (inspected := self._board.environment(name).inspection) is not None:
                    self._arm_inspection(inspected)
            case ChangeOutside() | PromotionForced():
                self._at("reviews", self._board.now(), self._remind)

    def _arm_promotion(self, release: str, at: str) -> None:
        self._at(f"promote-{release}", datetime.fromisoformat(at), lambda: self._promote(release))

    def _promote(self, name: str) -> None:
        self._promotions.due(name)
        if (at := self._board.release(name).scheduled) is not None:
            self._arm_promotion(name, at)  # the machine's clock was put back, or another time was set meanwhile

    def _open_inspection(self, number: int) -> None:
        """Once its rehearsal has failed; by a thread that may write that down."""
        if self._board.environment(self._board.run(number).environment).inspection == number:
            self._at(f"look-{number}", self._board.now(), lambda: open_inspection(self._board, self._settings, number))

    def _arm_inspection(self, number: int) -> None:
        """A failed staging may be looked at for a while; then it goes back to its snapshot by itself.

        At once where a run on another environment has one of its machines: it may not be looked at any more.
        """
        run = self._board.run(number)
        if self._board.environment(run.environment).inspection == number:
            opened = inspection(self._board, run.environment)
            at = datetime.fromisoformat(opened.until) if opened else self._board.now()
            self._at(f"inspection-{run.environment}", at, lambda: self._end_inspection(run.environment, number))

    def _end_inspection(self, environment: str, number: int) -> None:
        def over() -> bool:
            return self._board.environment(environment).inspection == number

        if over():
            self._runs.start("reset", by="quarterdeck", environment=environment, still=over)

    def _arm_sweep(self, environment: str) -> None:
        """Snapshots of ours do not grow old: neither prod's, nor staging's last rehearsal's."""
        if (at := self._sweeper.due(environment)) is not None:
            self._at(f"sweep-{environment}", at, lambda: self._sweep(environment))

    def _sweep(self, environment: str) -> None:
        if (again := self._sweeper.sweep(environment)) is not None:
            self._at(f"sweep-{environment}", again, lambda: self._sweep(environment))

    def _at(self, name: str, at: datetime, work: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                work()
            except Refusal as refusal:
                log.warning("%s: %s", name, refusal)
            except OSError as error:
                log.error("%s cannot be written down (%s): it is tried again in a minute", name, error)
                self._at(name, self._board.now() + AGAIN, work)
            except Exception:
                log.exception("%s", name)

        self._scheduler.add_job(guarded, "date", run_date=at, id=name, replace_existing=True)
