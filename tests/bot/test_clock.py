"""What becomes due: promotions for later, and stagings that were left for a look."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deck_room import ADMIN, DEV, NoMachines, Still, configured, packed

from bot.board import Board
from bot.chores.sweeps import Sweeper
from bot.clock import Clock
from bot.intake import Intake
from bot.ledger import Ledger, stamp
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store
from bot.promotions import WINDOW, Promotions
from plans.errors import Refusal
from plans.events import (
    AnyEvent,
    Entry,
    EnvironmentLocked,
    EnvironmentUnlocked,
    FreezeSet,
    PromotionScheduled,
    PromotionUnscheduled,
    RunFinished,
    SnapshotTaken,
)
from plans.rule_events import InspectionOpened

SOON = timedelta(seconds=0.3)


class Everybody:
    def allowed(self, user: str, role: str) -> bool:
        return True


class Bot:
    """A board with what hangs on it, and a clock that is started when the test says so."""

    def __init__(self, folder: Path, policy: str = "") -> None:
        self.settings = configured(folder, policy)
        self.board = Board(Ledger.open(self.settings.data_dir))
        store = Store(self.settings.data_dir, self.settings.max_bytes)
        machines: Any = NoMachines()
        roles: Any = Everybody()
        materials = Materials(self.board, self.settings, store)
        self.runs = Still(self.board, self.settings, materials, machines, roles, Masker(()))
        self.promotions = Promotions(self.board, self.settings, materials, machines, self.runs)
        sweeper = Sweeper(self.board, self.settings, materials, machines, self.runs)
        self.clock = Clock(self.board, self.settings, self.runs, self.promotions, sweeper)
        self.intake = Intake(self.board, self.settings, store)
        self.seen: list[Entry] = []
        self._news = threading.Condition()
        self.board.listeners.append(self._note)

    def _note(self, entry: Entry) -> None:
        with self._news:
            self.seen.append(entry)
            self._news.notify_all()

    def sees(self, kind: type[AnyEvent]) -> Any:
        """Waits until an event of that type is on the ledger."""
        with self._news:
            assert self._news.wait_for(lambda: any(isinstance(e.event, kind) for e in self.seen), 20), kind
            return next(e.event for e in reversed(self.seen) if isinstance(e.event, kind))

    def sees_run(self, kind: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.runs_of(kind), 20), f"no {kind} began"

    def rehearsed(self, verdict: str = "passed") -> str:
        release = self.intake.hand_off(str(packed(self.settings)), by=DEV)[0].id
        run = self.runs.start("rehearsal", by=ADMIN, environment="staging", release=release).number
        for host in ("web", "db"):
            snapshot = SnapshotTaken(run=run, host=host, snapshot=f"snapshot-{host}", environment="staging", name="q")
            self.board.record("quarterdeck", snapshot)
        self.board.record("quarterdeck", RunFinished(run=run, verdict=verdict, clean=True, reason=""))
        return release

    def runs_of(self, kind: str) -> list[str]:
        return [e.by for e in self.seen if getattr(e.event, "kind", "") == kind]


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Bot]:
    made = Bot(tmp_path, "policy: {inspection: 300ms}\n")
    yield made
    made.clock.stop()
    made.board.close()


def test_a_promotion_for_later_begins_when_it_is_due_in_the_name_of_who_asked(bot: Bot) -> None:
    release = bot.rehearsed()
    bot.clock.start()
    bot.promotions.schedule(release, datetime.now(UTC) + SOON, by=ADMIN)
    bot.sees_run("promotion")
    assert bot.runs_of("promotion") == [ADMIN]
    assert bot.board.release(release).scheduled is None


def test_the_gates_are_asked_again_when_it_is_due(bot: Bot) -> None:
    release = bot.rehearsed()
    bot.clock.start()
    bot.promotions.schedule(release, datetime.now(UTC) + SOON, by=ADMIN)
    bot.board.record(ADMIN, FreezeSet(until=None, reason="the auditors are here"))
    assert "the auditors are here" in bot.sees(PromotionUnscheduled).reason
    assert bot.runs_of("promotion") == []


def test_one_that_was_missed_by_more_than_its_window_is_not_begun(bot: Bot) -> None:
    release = bot.rehearsed()
    missed = datetime.now(UTC) - timedelta(seconds=WINDOW + 60)
    bot.board.record(ADMIN, PromotionScheduled(release=release, at=stamp(missed)))
    bot.clock.start()
    told = bot.sees(PromotionUnscheduled)
    assert "missed by 16 min" in told.reason
    assert told.asked == ADMIN
    assert bot.runs_of("promotion") == []


def is_set(bot: Bot, monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """From here on the machine's clock shows another time, to us and to APScheduler."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    bot.board.now = lambda: datetime.now(UTC) + by
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Wrong)


def is_said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    deadline = time.monotonic() + 20
    while words not in caplog.text:
        assert time.monotonic() < deadline, words
        time.sleep(0.01)


def test_a_clock_that_jumps_forward_is_seen_before_the_old_one_would_have_come_round(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = bot.rehearsed()
    monkeypatch.setattr("bot.clock.LOOK", 0.05)
    bot.clock.start()
    bot.promotions.schedule(release, datetime.now(UTC) + timedelta(hours=2), by=ADMIN)
    is_set(bot, monkeypatch, timedelta(hours=2, minutes=1))
    bot.sees_run("promotion")
    is_said(caplog, "the clock was put forward by 2 h 1 min")


def test_a_jump_past_a_promotions_window_begins_nothing_and_asks(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    release = bot.rehearsed()
    monkeypatch.setattr("bot.clock.LOOK", 0.05)
    bot.clock.start()
    bot.promotions.schedule(release, datetime.now(UTC) + timedelta(hours=2), by=ADMIN)
    is_set(bot, monkeypatch, timedelta(hours=9))
    assert "or its clock was wrong" in bot.sees(PromotionUnscheduled).reason
    assert bot.runs_of("promotion") == []


def test_a_clock_that_is_put_back_again_begins_nothing_twice(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = bot.rehearsed()
    monkeypatch.setattr("bot.clock.LOOK", 0.05)
    bot.clock.start()
    bot.promotions.schedule(release, datetime.now(UTC) + timedelta(hours=2), by=ADMIN)
    is_set(bot, monkeypatch, timedelta(hours=2, minutes=1))
    bot.sees_run("promotion")
    is_said(caplog, "the clock was put forward")
    is_set(bot, monkeypatch, timedelta(0))
    is_said(caplog, "the clock was put back by 2 h 1 min")
    fired = threading.Event()
    bot.clock._at("after", datetime.now(UTC) + timedelta(seconds=0.1), fired.set)
    assert fired.wait(20)
    assert bot.runs_of("promotion") == [ADMIN]


def test_a_clock_that_was_put_back_is_waited_for(bot: Bot) -> None:
    release = bot.rehearsed()
    bot.board.now = lambda: datetime.now(UTC) - timedelta(hours=1)
    bot.clock.start()
    bot.promotions.schedule(release, datetime.now(UTC) - timedelta(minutes=59), by=ADMIN)
    bot.promotions.due(release)
    assert bot.runs_of("promotion") == []
    assert bot.board.release(release).scheduled is not None


def test_one_that_was_missed_by_less_is_begun_after_the_start(bot: Bot) -> None:
    release = bot.rehearsed()
    bot.board.record(ADMIN, PromotionScheduled(release=release, at=stamp(datetime.now(UTC) - timedelta(minutes=5))))
    bot.clock.start()
    bot.sees_run("promotion")


@pytest.mark.parametrize("verdict", ["failed", "passed"])
def test_what_only_a_package_can_mend_is_not_even_scheduled(bot: Bot, verdict: str) -> None:
    release = bot.rehearsed(verdict)
    at = datetime.now(UTC) + timedelta(hours=1)
    if verdict == "passed":
        assert bot.promotions.schedule(release, at, by=ADMIN).scheduled == stamp(at)
    else:
        with pytest.raises(Refusal) as refused:
            bot.promotions.schedule(release, at, by=ADMIN)
        assert refused.value.code == "rehearsal_failed"


def test_a_failed_staging_goes_back_by_itself_after_its_inspection(bot: Bot) -> None:
    bot.clock.start()
    bot.rehearsed("failed")
    bot.sees_run("reset")
    assert bot.runs_of("reset") == ["quarterdeck"]


def test_a_locked_staging_goes_back_once_it_is_unlocked(bot: Bot) -> None:
    bot.rehearsed("failed")
    bot.board.record(ADMIN, EnvironmentLocked(environment="staging", reason="look at this"))
    bot.clock.start()
    fired = threading.Event()
    bot.clock._at("after", datetime.now(UTC) + timedelta(seconds=0.6), fired.set)
    assert fired.wait(20)
    assert bot.runs_of("reset") == []
    bot.board.record(ADMIN, EnvironmentUnlocked(environment="staging"))
    bot.sees_run("reset")


@pytest.mark.parametrize("how", ["off", "set"])
def test_an_inspection_ends_at_once_where_its_end_was_slept_over(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The bot was off then, or the clock was put over it."""
    monkeypatch.setattr("bot.clock.LOOK", 0.05)
    bot.rehearsed("failed")
    hour = timedelta(hours=1)
    until = datetime.now(UTC) + (hour if how == "set" else -hour)
    bot.board.record("quarterdeck", InspectionOpened(run=1, environment="staging", until=stamp(until)))
    bot.clock.start()
    if how == "set":
        is_set(bot, monkeypatch, 2 * hour)
    bot.sees_run("reset")
    assert bot.runs_of("reset") == ["quarterdeck"]
