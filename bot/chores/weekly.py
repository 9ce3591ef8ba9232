"""Touches the ledger when a week is over and when a review is overdue: what the channel is then told of."""

from datetime import datetime, timedelta

from bot.board import Board
from bot.config import Settings
from bot.ledger import stamp
from plans.calendars import next_weekly, open_at
from plans.records import Loaded
from plans.rule_events import ReviewReminded, WeekOver
from plans.rule_records import Review, Week

WEEK, DAY = timedelta(weeks=1), timedelta(days=1)


class Weekly:
    """What is due, and when, is on the board and in the configuration alone: a restart asks again."""

    def __init__(self, board: Board, settings: Settings) -> None:
        self._board = board
        self._settings = settings

    def next_digest(self) -> datetime | None:
        """When the present week is to be told of; None where the configuration wants no digest."""
        when = self._settings.policy.digest
        return next_weekly(when, self._board.now(), self._settings.timezone) if when else None

    def tell(self, *, at_start: bool = False) -> None:
        """The week that is over, once. `at_start`: it was due while the bot was off; a bot that is new has none."""
        with self._board.deciding:
            coming = self.next_digest()
            if coming is None:
                return
            until = coming - WEEK
            last, loaded = next(self._board.table(Week), None), next(self._board.table(Loaded), None)
            if at_start and last is None and (loaded is None or not loaded.by(until)):
                return
            if last is None or datetime.fromisoformat(last.until) < until:
                self._board.record("quarterdeck", WeekOver(since=stamp(until - WEEK), until=stamp(until)))

    def next_reminder(self) -> datetime | None:
        """When somebody is to be reminded of a review that was not written in time; None where none is wanted."""
        due = [self._reminded(review) for review in self._board.table(Review)]
        return min(due, default=None)

    def remind(self) -> None:
        """Of each review that is overdue, once a day."""
        with self._board.deciding:
            for review in list(self._board.table(Review)):
                if self._reminded(review) <= self._board.now():
                    self._board.record("quarterdeck", ReviewReminded(subject=review.subject))

    def _reminded(self, review: Review) -> datetime:
        """When it is next said that a review is missing: when it is due, then every day, while people are there."""
        policy, zone = self._settings.policy, self._settings.timezone
        due = datetime.fromisoformat(review.due)
        if review.reminded:
            due = max(due, datetime.fromisoformat(review.reminded) + DAY)
        return open_at(due, policy.office_hours, zone)
