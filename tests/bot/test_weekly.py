"""When a week is told of and when a review is asked for again: once each, also after a bot that was off."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.board import Board
from bot.chores.weekly import Weekly
from bot.ledger import Ledger, read
from plans.calendars import OfficeHours
from plans.environment import Policy
from plans.events import ConfigLoaded
from plans.rule_events import ChangeOutside, ReviewGiven

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # nine o'clock in Berlin


class Said:
    """What the weekly bot reads of the settings."""

    def __init__(self, **policy: Any) -> None:
        self.policy = Policy(**policy)
        self.timezone = ZoneInfo("Europe/Berlin")


class Office:
    def __init__(self, folder: Path, **policy: Any) -> None:
        self.now = MONDAY - timedelta(hours=1)
        self.board = Board(Ledger.open(folder), lambda: self.now)
        self.weekly = Weekly(self.board, Said(**policy))  # type: ignore[arg-type]

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record["data"] for record, _ in read(self.board.ledger.path) if record["type"] == kind]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.board.close()


def test_a_week_is_told_of_once(office: Office) -> None:
    assert office.weekly.next_digest() == MONDAY
    office.now = MONDAY
    office.weekly.tell()
    office.weekly.tell()
    assert office.records("week.over") == [
        {"since": "2026-11-16T08:00:00.000Z", "until": "2026-11-23T08:00:00.000Z"},
    ]
    assert ("outbox", "digest/1") in office.board.documents
    assert office.weekly.next_digest() == MONDAY + timedelta(weeks=1)


def test_a_bot_that_was_off_on_monday_tells_of_the_last_week_alone(office: Office) -> None:
    office.now = MONDAY
    office.weekly.tell()
    office.now = MONDAY + timedelta(weeks=3, days=2)
    office.weekly.tell(at_start=True)
    assert [each["until"][:10] for each in office.records("week.over")] == ["2026-11-23", "2026-12-14"]


def test_a_bot_that_was_off_on_its_first_monday_tells_of_it_then(office: Office) -> None:
    office.board.record("quarterdeck", ConfigLoaded(digest="d", changed=()))
    office.now = MONDAY + timedelta(minutes=1)
    office.weekly.tell(at_start=True)
    office.weekly.tell(at_start=True)
    assert [each["until"][:10] for each in office.records("week.over")] == ["2026-11-23"]


def test_a_bot_that_is_new_begins_with_its_first_monday(office: Office) -> None:
    office.now = MONDAY + timedelta(days=2)
    office.board.record("quarterdeck", ConfigLoaded(digest="d", changed=()))
    office.weekly.tell(at_start=True)
    assert office.records("week.over") == []


def test_who_wants_no_digest_gets_none(tmp_path: Path) -> None:
    office = Office(tmp_path, digest="")
    assert office.weekly.next_digest() is None
    office.weekly.tell()
    assert office.records("week.over") == []
    office.board.close()


def test_a_review_is_asked_for_when_it_is_overdue_and_then_daily_until_it_is_there(office: Office) -> None:
    office.board.record("U02ADMIN", ChangeOutside(environment="prod", reason="the disk was full"))
    due = office.weekly.next_reminder()
    assert due == office.now + timedelta(days=2)
    office.weekly.remind()
    assert office.records("review.reminded") == []
    for day in range(3):
        office.now = due + timedelta(days=day)
        office.weekly.remind()
        office.weekly.remind()
    assert office.records("review.reminded") == [{"subject": "prod"}] * 3
    office.board.record("U06ADMIN2", ReviewGiven(subject="prod", text="logs rotate now"))
    assert office.weekly.next_reminder() is None


def test_nobody_is_reminded_at_night_or_on_a_sunday(tmp_path: Path) -> None:
    office = Office(tmp_path, office_hours=OfficeHours())
    office.now = datetime(2026, 11, 26, 20, 0, tzinfo=UTC)  # a Thursday evening: due on Saturday
    office.board.record("U02ADMIN", ChangeOutside(environment="prod", reason="the disk was full"))
    assert office.weekly.next_reminder() == datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
    office.board.close()
