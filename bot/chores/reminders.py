"""Touches the board to call people again to what a run asks: once a day, as they come to the office."""

from collections.abc import Callable
from datetime import datetime

from bot.board import Board
from bot.config import Settings
from plans.calendars import next_opening, open_at
from plans.events import Entry, RunPaused
from plans.records import Run
from plans.rule_events import RunReminded


class Reminders:
    """What the ledger says of a run is all there is to it: a restart arms them again. `at`: does work then, by name."""

    def __init__(
        self, board: Board, settings: Settings, at: Callable[[str, datetime, Callable[[], object]], None]
    ) -> None:
        self._board = board
        self._settings = settings
        self._at = at

    def arm(self) -> None:
        for run in self._board.table(Run):
            self._arm(run)

    def heard(self, entry: Entry) -> None:
        match entry.event:
            case RunPaused(run=number):
                self._arm(self._board.run(number))

    def _arm(self, run: Run) -> None:
        if (due := self._due(run, self._board.now())) is not None:
            self._at(f"remind-{run.number}", due, lambda: self._remind(run.number))

    def _remind(self, number: int) -> None:
        """Where it is due by now: it may have been answered meanwhile, or the clock was set."""
        with self._board.deciding:
            run, now = self._board.run(number), self._board.now()
            if self._due(run, now) == now:
                asked = tuple(question.number for question in run.open)
                self._board.record("quarterdeck", RunReminded(run=number, questions=asked))
            self._arm(self._board.run(number))

    def _due(self, run: Run, now: datetime) -> datetime | None:
        """When they are reminded next; None where the run asks nothing."""
        if not run.open or run.aborting:
            return None
        hours, timezone = self._settings.policy.office_hours, self._settings.timezone
        last = datetime.fromisoformat(run.reminded or run.open[0].at)
        return open_at(max(next_opening(last, hours, timezone), now), hours, timezone)
