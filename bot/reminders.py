"""Touches the board to call people again to what a run asks: once a day, as they come to the office."""

from datetime import datetime

from bot.board import Board
from bot.config import Settings
from plans.calendars import next_opening, open_at
from plans.records import Run
from plans.rule_events import RunReminded


class Reminder:
    """Knows when people are to be reminded of a run, from what the ledger says of it alone."""

    def __init__(self, board: Board, settings: Settings) -> None:
        self._board = board
        self._settings = settings

    def due(self, number: int) -> datetime | None:
        """When they are reminded of that run next; None where it asks nothing."""
        return self._due(self._board.run(number), self._board.now())

    def remind(self, number: int) -> datetime | None:
        """Reminds them where that is due, and returns when it is next."""
        with self._board.deciding:
            run, now = self._board.run(number), self._board.now()
            if self._due(run, now) == now:
                asked = tuple(question.number for question in run.open)
                self._board.record("quarterdeck", RunReminded(run=number, questions=asked))
        return self.due(number)

    def _due(self, run: Run, now: datetime) -> datetime | None:
        if not run.open or run.aborting:
            return None
        hours, timezone = self._settings.policy.office_hours, self._settings.timezone
        last = datetime.fromisoformat(run.reminded or run.open[0].at)
        return open_at(max(next_opening(last, hours, timezone), now), hours, timezone)
