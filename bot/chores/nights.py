"""Touches what is done every night: the look at each prod, the restore tests, and the call when none has passed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from bot.board import Board
from bot.config import Settings
from bot.ledger import stamp
from bot.runs import Runs
from plans import lookout, restore_tests
from plans.calendars import next_time
from plans.errors import Refusal
from plans.events import Entry, EnvironmentUnlocked, RunFinished
from plans.records import EnvironmentState, Loaded, Run
from plans.restore_tests import RestoreTest
from plans.rule_events import RestoreTestMissed, RestoreTestOverdue
from plans.rule_records import Missed, Overdue

AGAIN = timedelta(minutes=1)
"""After which a restore test is tried again that could not be begun for want of an answer."""

OFF = "Quarterdeck was off"

At = Callable[[str, datetime, Callable[[], object]], None]
"""Does something, under a name that is replaced by the next of that name, at that time."""


class Nights:
    """What is due, and whether it was done, is on the board alone; `at` is the clock's."""

    def __init__(self, board: Board, settings: Settings, runs: Runs, at: At) -> None:
        self._board = board
        self._settings = settings
        self._runs = runs
        self._at = at
        self._why: dict[str, str] = {}

    def arm(self) -> None:
        """Everything that is due or will be, as the board says. The board's lock is held."""
        clock = self._settings.policy.lookout
        for prod in dict.fromkeys(app.prod for app in self._settings.apps.values() if app.facts):
            if clock:
                state, runs = self._board.environment(prod), self._board.table(Run)
                due = lookout.due(clock, prod, state, runs, self._settings.timezone, self._board.now())
                self._arm_lookout(prod, due)
        for test in self._settings.config.restore_tests:
            self._arm_test(test)
            self._arm_alarm(test)
            self._at(f"restore-test-{test.environment}-slept", self._board.now(), partial(self._slept, test))

    def heard(self, entry: Entry) -> None:
        """What a restore test waits for may be over. The board's lock is held."""
        if isinstance(entry.event, RunFinished | EnvironmentUnlocked):
            for test in self._settings.config.restore_tests:
                self._arm_test(test)
                self._arm_alarm(test)

    # Lookouts.

    def _arm_lookout(self, prod: str, at: datetime) -> None:
        self._at(f"lookout-{prod}", at, lambda: self._look(prod))

    def _look(self, prod: str) -> None:
        """One that is refused, by a lock say, is not done this night. It needs no vCenter: facts are asked over SSH."""
        tomorrow = next_time(self._settings.policy.lookout, self._board.now(), self._settings.timezone)
        self._arm_lookout(prod, tomorrow)
        machines = self._runs.machines(prod, strict=False)
        self._runs.start_at_once("lookout", machines, by="quarterdeck", environment=prod, release=None)

    # Restore tests.

    def _arm_test(self, test: RestoreTest) -> None:
        """Tonight's, at once where its time has come, with the end of what it may wait; or else the next night's."""
        begins, ends = test.night(self._board.now(), self._settings.timezone)
        if self._seen_to(test, begins):
            begins, ends = test.night(ends, self._settings.timezone)
        self._at(f"restore-test-{test.environment}", max(begins, self._board.now()), lambda: self._test(test))
        self._at(f"restore-test-{test.environment}-over", ends, lambda: self._give_up(test, begins))

    def _test(self, test: RestoreTest) -> None:
        """Begun where nothing is in the way; what is tells by its end when to try again."""
        try:
            machines = self._runs.machines(test.environment)
            with self._board.deciding:
                now = self._board.now()
                begins, _ = test.night(now, self._settings.timezone)
                if begins > now or self._seen_to(test, begins):
                    return
                self._why[test.environment] = self._in_the_way(test, machines)
                if not self._why[test.environment]:
                    self._runs.start_at_once(
                        "restore_test", machines, by="quarterdeck", environment=test.environment, release=None
                    )
                    self._arm_test(test)
        except Refusal as refusal:
            self._why[test.environment] = refusal.message
            self._at(f"restore-test-{test.environment}", self._board.now() + AGAIN, lambda: self._test(test))

    def _give_up(self, test: RestoreTest, begins: datetime) -> None:
        with self._board.deciding:
            if not self._seen_to(test, begins):
                why = self._why.get(test.environment) or self._in_the_way(test, ()) or OFF
                self._board.record("quarterdeck", RestoreTestMissed(environment=test.environment, why=why))
            self._arm_test(test)
            self._arm_alarm(test)

    def _slept(self, test: RestoreTest) -> None:
        """Last night's, where the bot was off until it was over: unless tonight's has begun, which stands for it."""
        with self._board.deciding:
            now, timezone = self._board.now(), self._settings.timezone
            begins, ends = test.night(now - timedelta(days=1), timezone)
            loaded = next(self._board.table(Loaded), None)
            if ends > now or test.night(now, timezone)[0] <= now or loaded is None or not loaded.by(begins):
                return
            if not self._seen_to(test, begins):
                self._board.record("quarterdeck", RestoreTestMissed(environment=test.environment, why=OFF))
                self._arm_alarm(test)

    def _seen_to(self, test: RestoreTest, begins: datetime) -> bool:
        return restore_tests.seen_to(test, begins, self._board.table(Run), self._board.table(Missed))

    def _in_the_way(self, test: RestoreTest, machines: tuple[str, ...]) -> str:
        prods = {app.prod for app in self._settings.apps.values() if app.staging == test.environment}
        states, runs = self._board.table(EnvironmentState), self._board.table(Run)
        return restore_tests.in_the_way(test.environment, prods, machines, states, runs)

    # The call.

    def _due(self, test: RestoreTest) -> datetime | None:
        told = next((o for o in self._board.table(Overdue) if o.environment == test.environment), None)
        longest = self._settings.policy.restore_test_max_age
        return restore_tests.alarm(test, longest, self._board.table(Run), self._board.table(Missed), told)

    def _arm_alarm(self, test: RestoreTest) -> None:
        if (due := self._due(test)) is not None:
            at = max(due, self._board.now())
            self._at(f"restore-test-{test.environment}-overdue", at, lambda: self._call(test))

    def _call(self, test: RestoreTest) -> None:
        with self._board.deciding:
            due = self._due(test)
            if due is not None and due <= self._board.now():
                passed = restore_tests.last_passed(test.environment, self._board.table(Run))
                last = restore_tests.latest(test, self._board.table(Run), self._board.table(Missed))
                since = stamp(datetime.fromisoformat(passed.finished)) if passed else ""
                event = RestoreTestOverdue(environment=test.environment, passed=since, last=last)
                self._board.record("quarterdeck", event)
            self._arm_alarm(test)
