"""People are called again to what a run asks: once a day, as they come to the office, whatever was off meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import begun as step_begun
from builders import handed_off, paused, planned, started

from bot.board import Board
from bot.chores.reminders import Reminders
from bot.ledger import Ledger
from plans import events as e
from plans.calendars import OfficeHours
from plans.records import Run

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
"""Ten in the morning in Berlin."""


class Office:
    """A run whose two checks were asked on Monday, and a clock that only tells what is due when."""

    def __init__(self, folder: Path, hours: OfficeHours | None) -> None:
        self.now = MONDAY
        self.board = Board(Ledger.open(folder), lambda: self.now)
        self.hours = hours
        self.begin()
        self.board.record("U01DEV", handed_off())
        self.board.record("U02ADMIN", started(1, "rehearsal"))
        for step in (1, 2):
            self.board.record("quarterdeck", step_begun(1, planned(step, "test", "", group="deep"), "", 1))
            self.board.record("quarterdeck", paused(1, step, step, ("pass", "fail"), "testers"))

    def begin(self) -> None:
        """The bot starts."""
        self.due: dict[str, tuple[datetime, Callable[[], object]]] = {}
        policy = SimpleNamespace(office_hours=self.hours)
        settings: Any = SimpleNamespace(policy=policy, timezone=ZoneInfo("Europe/Berlin"))
        reminders = Reminders(self.board, settings, self._at)
        self.board.listeners[:] = [reminders.heard]
        reminders.arm()

    def _at(self, name: str, at: datetime, work: Callable[[], object]) -> None:
        self.due[name] = at, work

    @property
    def next(self) -> str:
        at, _ = self.due["remind-1"]
        return f"{at.astimezone(ZoneInfo('Europe/Berlin')):%a %H:%M}"

    def come(self) -> None:
        """The time that is due comes."""
        at, work = self.due.pop("remind-1")
        self.now = max(self.now, at)
        work()

    @property
    def reminded(self) -> str:
        return next(run.reminded for run in self.board.table(Run))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, OfficeHours())


def test_each_day_once_as_the_office_opens(office: Office) -> None:
    seen = []
    for _ in range(5):
        seen.append(office.next)
        office.come()
        assert office.reminded.startswith(office.now.isoformat()[:16])
    assert seen == ["Tue 08:00", "Wed 08:00", "Thu 08:00", "Fri 08:00", "Mon 08:00"]


def test_without_office_hours_a_day_later(tmp_path: Path) -> None:
    office = Office(tmp_path, None)
    assert office.next == "Tue 10:00"


def test_who_was_off_in_the_morning_reminds_at_once_or_when_people_come_again(office: Office) -> None:
    office.now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    office.begin()
    assert office.next == "Tue 13:00"
    office.now = datetime(2026, 11, 24, 21, 0, tzinfo=UTC)
    office.begin()
    assert office.next == "Wed 08:00"
    office.come()
    office.begin()
    assert office.next == "Thu 08:00"


def test_of_what_is_answered_or_being_stopped_nobody_is_reminded(office: Office) -> None:
    office.board.record("U03TESTER", e.RunDecided(run=1, step=1, choice="pass", question=1))
    assert office.next == "Tue 08:00"
    office.board.record("U03TESTER", e.RunDecided(run=1, step=2, choice="pass", question=2))
    office.come()
    assert (office.reminded, office.due) == ("", {})


def test_a_run_that_is_being_stopped_calls_nobody(office: Office) -> None:
    office.board.record("U02ADMIN", e.RunAborting(run=1, now=False))
    office.come()
    assert (office.reminded, office.due) == ("", {})
