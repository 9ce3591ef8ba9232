"""Snapshots of ours that are too old, by a clock that the test moves: removed at their time, and never under a run."""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deck_room import ADMIN, NoMachines, Still, configured

from bot.board import Board
from bot.chores.sweeps import AGAIN, Sweeper
from bot.clock import Clock
from bot.ledger import Ledger
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store
from bot.promotions import Promotions
from plans.actions import Outcome, RemoveSnapshot
from plans.events import (
    Entry,
    EnvironmentLocked,
    EnvironmentUnlocked,
    RunFinished,
    RunStarted,
    SnapshotRemoved,
    SnapshotTaken,
)
from plans.records import Run

HOUR = timedelta(hours=1)


class Machines(NoMachines):
    """Removes what it is told to, unless `outcome` says otherwise; `during` happens meanwhile."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.outcome = Outcome("ok")
        self.during: Callable[[], None] = lambda: None

    def perform(self, action: RemoveSnapshot, **_: Any) -> Outcome:
        assert isinstance(action, RemoveSnapshot)
        self.during()
        self.removed.append(f"{action.at}: {action.snapshot}")
        return self.outcome


class House:
    """A board with a clock of its own, and what sweeps it."""

    def __init__(self, folder: Path) -> None:
        self.time = datetime.now(UTC)
        self.settings = configured(folder)
        self.board = Board(Ledger.open(self.settings.data_dir), lambda: self.time)
        self.gone: list[SnapshotRemoved] = []
        self.board.listeners.append(self._note)
        self.machines = Machines()
        roles: Any = SimpleNamespace(allowed=lambda user, role: True)
        store = Store(self.settings.data_dir, self.settings.max_bytes)
        self.materials = Materials(self.board, self.settings, store)
        machines: Any = self.machines
        self.runs = Still(self.board, self.settings, self.materials, machines, roles, Masker(()))
        self.sweeper = Sweeper(self.board, self.settings, self.materials, machines, self.runs)

    def _note(self, entry: Entry) -> None:
        if isinstance(entry.event, SnapshotRemoved):
            self.gone.append(entry.event)

    def clock(self) -> Clock:
        nobody: Any = None
        promotions = Promotions(self.board, self.settings, self.materials, nobody, self.runs)
        return Clock(self.board, self.settings, self.runs, promotions, self.sweeper)

    def begins(self, run: int, environment: str, kind: str) -> None:
        started = RunStarted(
            run=run, kind=kind, release=None, environment=environment, plans="p", machines=(f"{environment}/db",)
        )
        self.board.record(ADMIN, started)

    def takes(self, run: int, environment: str, *hosts: str, verdict: str = "passed", kind: str = "promotion") -> None:
        """A run that snapshots these hosts and ends."""
        self.begins(run, environment, kind)
        for host in hosts:
            name = f"snapshot-{run}-{host}"
            taken = SnapshotTaken(run=run, host=host, environment=environment, snapshot=name, name=name)
            self.board.record("quarterdeck", taken)
        self.ends(run, verdict)

    def ends(self, run: int, verdict: str = "passed") -> None:
        self.board.record("quarterdeck", RunFinished(run=run, verdict=verdict, clean=True, reason=""))

    def standing(self, environment: str) -> list[str]:
        return [kept.name for snapshots in self.board.environment(environment).snapshots.values() for kept in snapshots]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.board.close()


def test_each_goes_at_its_own_time_and_the_ledger_says_so(house: House) -> None:
    begun = house.time
    house.takes(1, "prod", "db")
    house.time += 10 * HOUR
    house.takes(2, "prod", "db")
    assert house.sweeper.due("prod") == begun.replace(microsecond=begun.microsecond // 1000 * 1000) + 72 * HOUR
    house.time = begun + 71 * HOUR
    assert house.sweeper.sweep("prod") == house.sweeper.due("prod")
    assert house.standing("prod") == ["snapshot-1-db", "snapshot-2-db"]
    house.time = begun + 72 * HOUR
    assert house.sweeper.sweep("prod") == house.sweeper.due("prod")
    assert house.machines.removed == ["prod db: snapshot-1-db"]
    assert house.standing("prod") == ["snapshot-2-db"]
    house.time = begun + 82 * HOUR
    assert house.sweeper.sweep("prod") is None
    assert house.standing("prod") == []
    assert [(gone.run, gone.host, gone.snapshot) for gone in house.gone] == [
        (1, "db", "snapshot-1-db"),
        (2, "db", "snapshot-2-db"),
    ]


def test_nothing_is_removed_under_a_run_and_none_begins_under_a_removal(house: House) -> None:
    house.takes(1, "prod", "db")
    house.time += 73 * HOUR
    house.begins(2, "prod", "promotion")
    assert house.sweeper.sweep("prod") == house.time + AGAIN
    assert house.machines.removed == []
    house.ends(2)
    held: list[bool] = []

    def begin() -> None:
        house.begins(3, "prod", "promotion")
        held.append(house.runs._held(house.board.run(3)))

    house.machines.during = begin
    assert house.sweeper.sweep("prod") is None
    assert held == [True]
    assert not house.runs._held(house.board.run(3))


def test_a_run_on_the_same_machine_is_waited_for_whatever_its_environment(house: House) -> None:
    house.takes(1, "prod", "db")
    house.time += 73 * HOUR
    house.board.record(
        ADMIN,
        RunStarted(run=2, kind="check", release=None, environment="staging", plans="p", machines=("prod/db",)),
    )
    house.sweeper.sweep("prod")
    assert house.machines.removed == []


def test_a_failed_staging_keeps_its_snapshot_as_long_as_somebody_may_look(house: House) -> None:
    house.takes(1, "staging", "web", verdict="failed", kind="rehearsal")
    house.time += 100 * HOUR
    assert house.sweeper.sweep("staging") is None
    assert house.machines.removed == []
    house.takes(2, "staging", kind="reset")
    assert house.sweeper.sweep("staging") is None
    assert house.machines.removed == ["staging web: snapshot-1-web"]


def test_a_locked_environment_is_left_alone(house: House) -> None:
    house.takes(1, "prod", "db")
    house.time += 73 * HOUR
    house.board.record(ADMIN, EnvironmentLocked(environment="prod", reason="the auditors are here"))
    assert house.sweeper.sweep("prod") is None
    assert house.machines.removed == []


def test_what_cannot_be_removed_is_said_and_tried_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.takes(1, "prod", "db", "web")
    house.time += 73 * HOUR
    house.machines.outcome = Outcome("errored", reason="prod db: vCenter cannot be reached")
    with caplog.at_level(logging.WARNING):
        assert house.sweeper.sweep("prod") == house.time + AGAIN
    assert "snapshot-1-db of run 1 is too old and still there: prod db: vCenter cannot be reached" in caplog.text
    assert len(house.standing("prod")) == 2
    house.machines.outcome = Outcome("ok")
    assert house.sweeper.sweep("prod") is None
    assert house.standing("prod") == []


def test_an_environment_that_is_not_configured_any_more_is_nobodys(house: House) -> None:
    house.takes(1, "gone", "db")
    house.takes(2, "prod", "gone")
    house.time += 73 * HOUR
    assert (house.sweeper.due("gone"), house.sweeper.due("prod")) == (None, None)


@pytest.mark.parametrize("how", ["start", "taken", "finished", "unlocked"])
def test_the_clock_sweeps_what_is_due_whatever_told_it(house: House, how: str) -> None:
    swept = threading.Event()
    house.board.listeners.append(lambda entry: swept.set() if isinstance(entry.event, SnapshotRemoved) else None)
    now, house.time = house.time, house.time - 73 * HOUR
    clock = house.clock()
    if how == "taken":
        clock.start()
    house.takes(1, "prod", "db")
    house.time = now
    if how == "finished":
        house.begins(2, "prod", "promotion")
    if how == "unlocked":
        house.board.record(ADMIN, EnvironmentLocked(environment="prod", reason="look at this"))
    if how != "taken":
        clock.start()
    if how == "finished":
        house.ends(2)
    if how == "unlocked":
        house.board.record(ADMIN, EnvironmentUnlocked(environment="prod"))
    try:
        assert swept.wait(20)
        assert house.standing("prod") == []
    finally:
        clock.stop()


def test_no_run_is_left_aside_when_a_sweep_ends_badly(house: House) -> None:
    house.takes(1, "prod", "db")
    house.time += 73 * HOUR

    def fail() -> None:
        raise OSError("the disk is full")

    house.machines.during = fail
    with pytest.raises(OSError, match="the disk is full"):
        house.sweeper.sweep("prod")
    assert house.runs.aside == {}
    assert [run.number for run in house.board.table(Run)] == [1]
